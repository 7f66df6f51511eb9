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

from archscope.checks.rules import CODES, RULES
from archscope.errors import Span, UsageError, did_you_mean
from archscope.report import Finding

FAMILIES: Mapping[str, frozenset[str]] = {
    family: frozenset(rule.code for rule in RULES if rule.family == family) for family in {r.family for r in RULES}
}
NAMES: tuple[str, ...] = tuple(dict.fromkeys([*CODES, *sorted(FAMILIES)]))
ALWAYS = FAMILIES["spec"]
COMMENT = re.compile(r"(?:^|(?<=\s))#\s*archscope:\s*(?:(?P<verb>\w+)\s*\[(?P<codes>[^\]]*)\]|ignore\b)")
NO_KEY = re.compile(r"\s*(?:#.*|---.*|%.*)?")


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
            if code not in NAMES:
                raise UsageError(f"there is no rule {code!r}", hint(code))
        if rules_of(selection.ignore) & ALWAYS:
            raise UsageError("mistakes in a spec cannot be ignored", "leave 'spec' out")
        return selection

    def keeps(self, finding: Finding) -> bool:
        wanted = not self.select or finding.rule in rules_of(self.select)
        return finding.rule in ALWAYS or (wanted and finding.rule not in rules_of(self.ignore))


def rules_of(names: Iterable[str]) -> frozenset[str]:
    """The codes of rules and families."""
    return frozenset(code for name in names for code in FAMILIES.get(name, {name}))


def hint(code: str) -> str:
    return did_you_mean(code, NAMES) or f"families of rules: {', '.join(sorted(FAMILIES))}"


# ------------------------------------------------------------ comments
@dataclass(frozen=True)
class Comment:
    """A comment for archscope. line: the one whose findings it takes away; 0 is the whole file."""

    span: Span
    line: int
    codes: tuple[str, ...]


def uncommented(findings: Iterable[Finding], sources: Mapping[str, str], root: str) -> tuple[Finding, ...]:
    """The findings that no comment takes away, then what is wrong with the comments. `sources`: file → text; what has
    no place belongs to the file `root`."""
    said = [comment for file, text in sources.items() for comment in comments(text, file)]
    ignored = {(c.span.file, c.line, code) for c in said for code in rules_of(c.codes) - ALWAYS}
    kept = [finding for finding in findings if not ignored & keys(finding, root)]
    return (*kept, *(wrong for comment in said for wrong in faults(comment)))


def keys(finding: Finding, root: str) -> set[tuple[str, int, str]]:
    """Under which comments a finding would be: those of its line, and those of its file."""
    file, line = (finding.place.file, finding.place.line) if finding.place else (root, 0)
    return {(file, line, finding.rule), (file, 0, finding.rule)}


def comments(text: str, file: str) -> Iterator[Comment]:
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines, 1) if not NO_KEY.fullmatch(line)), len(lines) + 1)
    for number, line in enumerate(lines, 1):
        match = COMMENT.search(line)
        if match:
            codes = match["codes"] if match["verb"] == "ignore" else ""
            names = tuple(code.strip() for code in codes.split(","))
            yield Comment(Span(file, number, match.start() + 1), covered(lines, number, first), names)


def covered(lines: list[str], number: int, first: int) -> int:
    """The line that a comment on line `number` speaks of; 0 is the whole file. `first`: where the file's keys begin."""
    if number < first:
        return 0
    while number < len(lines) and lines[number - 1].lstrip().startswith("#"):
        number += 1
    return number


def faults(comment: Comment) -> Iterator[Finding]:
    """A comment that ignores nothing is a warning."""
    for code in comment.codes:
        if code in NAMES and not rules_of([code]) & ALWAYS:
            continue
        fact, help = f"there is no rule {code!r} to ignore", hint(code)
        if not code:
            fact, help = "this comment names no rule to ignore", "# archscope: ignore[bias-before-norm]"
        elif code in NAMES:
            fact, help = "mistakes in a spec cannot be ignored", "mend the spec"
        yield Finding("unknown-rule", "warning", fact, place=comment.span, help=help)
