"""Which findings count: --select and --ignore by code or family, and comments in specs.

    codes, families → Selection → findings that are kept
    text → comments: `# archscope: ignore[bias-before-norm, lint] and why`   at the end of the faulty line,
    on a line of its own directly above it, or above the first key of a file: for all of it

Mistakes in a spec (the family `spec`) always count.
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
    """The codes that count, all of them where `select` is empty, less those to `ignore`; families stand for theirs."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @staticmethod
    def of(select: Iterable[str], ignore: Iterable[str]) -> Selection:
        """Raises UsageError for a code that no rule has, and for what cannot be ignored."""
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
    """The codes of rules and families."""
    return frozenset(code for name in names for code in FAMILIES.get(name, {name}))


def rule_hint(code: str) -> str:
    return did_you_mean(code, RULE_NAMES) or f"families of rules: {', '.join(sorted(FAMILIES))}"


# ------------------------------------------------------------ comments
@dataclass(frozen=True)
class IgnoreComment:
    """A comment for archscope. line: the one whose findings it takes away; 0 is the whole file."""

    span: Span
    line: int
    codes: tuple[str, ...]


def apply_ignore_comments(findings: Iterable[Finding], sources: Mapping[str, str], root: str) -> tuple[Finding, ...]:
    """The findings that no comment takes away, then what is wrong with the comments. `sources`: file → text; what has
    no place belongs to the file `root`."""
    said = [comment for file, text in sources.items() for comment in find_comments(text, file)]
    ignored = {(c.span.file, c.line, code) for c in said for code in expand_families(c.codes) - NEVER_IGNORED}
    kept = [finding for finding in findings if not ignored & comment_keys(finding, root)]
    return (*kept, *(wrong for comment in said for wrong in comment_findings(comment)))


def comment_keys(finding: Finding, root: str) -> set[tuple[str, int, str]]:
    """Under which comments a finding would be: those of its line, and those of its file."""
    file, line = (finding.place.file, finding.place.line) if finding.place else (root, 0)
    return {(file, line, finding.rule), (file, 0, finding.rule)}


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
    """The line that a comment on line `number` speaks of; 0 is the whole file. `first`: where the file's keys begin."""
    if number < first:
        return 0
    while number < len(lines) and lines[number - 1].lstrip().startswith("#"):
        number += 1
    return number


def comment_findings(comment: IgnoreComment) -> Iterator[Finding]:
    """A comment that ignores nothing is a warning."""
    for code in comment.codes:
        if code in RULE_NAMES and not expand_families([code]) & NEVER_IGNORED:
            continue
        fact, help = f"there is no rule {code!r} to ignore", rule_hint(code)
        if not code:
            fact, help = "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"
        elif code in RULE_NAMES:
            fact, help = "mistakes in a spec cannot be ignored", "mend the spec"
        yield Finding("unknown-rule", "warning", fact, place=comment.span, help=help)
