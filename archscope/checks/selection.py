"""Selection of findings: --select and --ignore by code or family, and ignore comments in specs.

    codes, families → Selection → findings that are kept
    `# archscope: ignore[bias-before-norm, lint] and why`: at the end of the faulty line, on its own line directly
    above it, or above the first key of a file for all of it

Mistakes in a spec (the family `spec`) are never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from archscope.checks.rules import RULE_CODES, RULES
from archscope.errors import Span, UsageError, did_you_mean
from archscope.report import Finding

FAMILIES: Mapping[str, frozenset[str]] = {
    family: frozenset(rule.code for rule in RULES if rule.family == family) for family in {r.family for r in RULES}
}
RULE_NAMES: tuple[str, ...] = tuple(dict.fromkeys([*RULE_CODES, *sorted(FAMILIES)]))
NEVER_IGNORED = FAMILIES["spec"]
IGNORE_COMMENT = re.compile(r"(?:^|(?<=\s))#\s*archscope:\s*(?:(?P<verb>\w+)\s*\[(?P<codes>[^\]]*)\]|ignore\b)")
LINE_WITHOUT_KEY = re.compile(r"\s*(?:#.*|---.*|%.*)?")


@dataclass(frozen=True)
class Selection:
    """The codes that count (all if `select` is empty) without those in `ignore`; a family stands for its codes."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @staticmethod
    def of(select: Iterable[str], ignore: Iterable[str]) -> Selection:
        """Return the selection. Raises UsageError for an unknown code, and for one that cannot be ignored."""
        selection = Selection(tuple(select), tuple(ignore))
        for code in (*selection.select, *selection.ignore):
            if code not in RULE_NAMES:
                raise UsageError(f"there is no rule {code!r}", rule_hint(code))
        if expand_families(selection.ignore) & NEVER_IGNORED:
            raise UsageError("mistakes in a spec cannot be ignored", "leave 'spec' out")
        return selection

    def keeps(self, finding: Finding) -> bool:
        wanted = not self.select or finding.rule in expand_families(self.select)
        return finding.rule in NEVER_IGNORED or (wanted and finding.rule not in expand_families(self.ignore))


def expand_families(names: Iterable[str]) -> frozenset[str]:
    """Return the codes, with families replaced by theirs."""
    return frozenset(code for name in names for code in FAMILIES.get(name, {name}))


def rule_hint(code: str) -> str:
    return did_you_mean(code, RULE_NAMES) or f"families of rules: {', '.join(sorted(FAMILIES))}"


# ------------------------------------------------------------ comments
@dataclass(frozen=True)
class IgnoreComment:
    """An ignore comment. line: the line whose findings it ignores; 0 for the whole file."""

    span: Span
    line: int
    codes: tuple[str, ...]


def apply_ignore_comments(findings: Iterable[Finding], sources: Mapping[str, str], root: str) -> tuple[Finding, ...]:
    """Return the findings that no comment ignores, then findings about faulty comments.

    sources: file → text. root: the file of findings without a place.
    """
    comments = [comment for file, text in sources.items() for comment in find_comments(text, file)]
    ignored = {(c.span.file, c.line, code) for c in comments for code in expand_families(c.codes) - NEVER_IGNORED}
    kept = []
    for finding in findings:
        file, line = (finding.place.file, finding.place.line) if finding.place else (root, 0)
        if not ignored & {(file, line, finding.rule), (file, 0, finding.rule)}:  # of its line, and of its file
            kept.append(finding)
    return (*kept, *(wrong for comment in comments for wrong in comment_findings(comment)))


def find_comments(text: str, file: str) -> Iterator[IgnoreComment]:
    lines = text.splitlines()
    first = next(
        (number for number, line in enumerate(lines, 1) if not LINE_WITHOUT_KEY.fullmatch(line)), len(lines) + 1
    )
    for number, line in enumerate(lines, 1):
        match = IGNORE_COMMENT.search(line)
        if match:
            codes = match["codes"] if match["verb"] == "ignore" else ""
            names = tuple(code.strip() for code in codes.split(","))
            yield IgnoreComment(Span(file, number, match.start() + 1), ignored_line(lines, number, first), names)


def ignored_line(lines: list[str], number: int, first: int) -> int:
    """Return the line that a comment on line `number` refers to; 0 for the whole file. first: the line of the file's
    first key."""
    if number < first:
        return 0
    while number < len(lines) and lines[number - 1].lstrip().startswith("#"):
        number += 1
    return number


def comment_findings(comment: IgnoreComment) -> Iterator[Finding]:
    """Yield a warning for each code of a comment that ignores nothing."""
    for code in comment.codes:
        if code in RULE_NAMES and not expand_families([code]) & NEVER_IGNORED:
            continue
        fact, help = f"there is no rule {code!r} to ignore", rule_hint(code)
        if not code:
            fact, help = "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"
        elif code in RULE_NAMES:
            fact, help = "mistakes in a spec cannot be ignored", "fix the spec"
        yield Finding("unknown-rule", "warning", fact, place=comment.span, help=help)
