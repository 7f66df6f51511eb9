"""Findings as text: location, level and rule, message, layout, other locations, steps, help and fixes.

Equal findings are shown once; lines are wrapped to the width of the terminal, with a hanging indent; a summary ends
the text.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from archscope import units
from archscope.errors import Span, escape_invisible, escape_one_line
from archscope.report import FIRST_FIX_PATH, LEVELS, Checked, Finding, Fix, Report, WalkStep

NUMBER_PATTERN = re.compile(r"\d+(?:[.,]\d+)*")
VARIANT_TARGET = re.compile(r"(?P<file>.+\.ya?ml|specs:[^:]+):(?P<variant>.+)")


@dataclass(frozen=True)
class FoldedFinding:
    """A finding that is shown once. others: the targets that have it besides `target`."""

    target: str
    finding: Finding
    others: tuple[str, ...] = ()

    def merge(self, target: str, finding: Finding) -> FoldedFinding:
        """Return the finding joined with an equal one, at another path of this target or in another target."""
        if target != self.target:
            return self if target in self.others else replace(self, others=(*self.others, target))
        paths = dict.fromkeys([*self.finding.also, finding.path, *finding.also])
        paths.pop(self.finding.path, None)
        return replace(self, finding=replace(self.finding, also=tuple(paths)))

    @property
    def other_targets(self) -> tuple[str, ...]:
        """The other targets; variants of the same file by their own names."""
        file, _ = split_variant(self.target)
        return tuple(variant if other_file == file else f"{other_file}:{variant}".rstrip(":")
                     for other_file, variant in map(split_variant, self.others))  # fmt: skip


def split_variant(target: str) -> tuple[str, str]:
    """Return a spec's file and variant; of other targets the whole and ""."""
    match = VARIANT_TARGET.fullmatch(target)
    return (match["file"], match["variant"]) if match else (target, "")


def fold_findings(checked: Iterable[Checked]) -> list[FoldedFinding]:
    """Return every finding once, in the order of first occurrence. Findings without a location are not joined."""
    firsts: dict[object, FoldedFinding] = {}
    for item in checked:
        for finding in item.findings:
            key = (finding.rule, finding.level, finding.place, NUMBER_PATTERN.sub("#", finding.message))
            first = firsts.get(key) if finding.place else None
            firsts[key if finding.place else len(firsts)] = (
                first.merge(item.target, finding) if first else FoldedFinding(item.target, finding)
            )
    return list(firsts.values())


UNBREAKABLE = re.compile(r"\([\d, ]+\)|`[^`]*`|fix \d+|\d %")
"""Texts within which a line is not wrapped: shapes, commands, percentages."""
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
JOIN_RULES = ("residual-shape", "add-shape", "multiply-shape", "concat-shape", "product-shape")
MAX_LISTED_NAMES = 6
MAX_WALK_STEPS = 8
MAX_OTHER_CHANGES = 3


def format_findings(findings: Iterable[Finding], *, target: str = "", width: int = 80) -> str:
    """Return every finding as text; one without a location is below its target."""
    return format_folded(fold_findings([Checked(target, tuple(findings))]), width)


def format_report_findings(reports: Sequence[Report], *, level: str = "note", width: int = 80) -> str:
    """Return the findings of reports down to a level, each once, and the commands that search for fixes of nets that
    fail.
    """
    found = fold_findings(Checked(report.target, report.findings).least(level) for report in reports)
    each = format_folded(found, width)
    fixes = dict.fromkeys(fix_command_hint(report) for report in reports if report.broken)
    return each + "".join(f"{line}\n" for fix in fixes for line in wrap_line(fix, width, "", "  "))


def format_level_findings(reports: Sequence[Report], levels: Collection[str], *, width: int = 80) -> str:
    """Return the findings of reports that have one of these levels, each once."""
    selected = (Checked(r.target, tuple(f for f in r.findings if f.level in levels)) for r in reports)
    return format_folded(fold_findings(selected), width)


def format_folded(found: Sequence[FoldedFinding], width: int) -> str:
    """Return the findings as text; if several targets share locations, below their target, unless the location names
    it.
    """
    several = len({target for folded in found for target in (folded.target, *folded.others)}) > 1
    return escape_invisible("".join(f"{line}\n" for line in lines_by_target(found, width, named=several, files=False)))


def fix_command_hint(report: Report) -> str:
    """Return `` `archscope check net.yaml` looks for fixes; `archscope check --fix net.yaml` applies …``."""
    request = report.request
    command = request.command("check") if request else None
    if command is None or request is None:
        return "`archscope.check`, with what was given to `summarize`, looks for fixes"
    fixable = not request.python and not {"set", "input"} & set(request.options)
    applied = f"; `{request.command('check --fix')}` applies those that change nothing else" if fixable else ""
    return f"`{command}` looks for fixes{applied}"


def finding_lines(folded: FoldedFinding, width: int) -> Iterator[str]:
    finding = folded.finding
    yield from wrap_line(headline(finding, folded.target), width, "", "    ")
    yield from (f"    {escape_one_line(detail)}".rstrip() for detail in finding.details)
    for word, names in (("at", finding.also), ("in", folded.other_targets)):
        if names:
            yield from wrap_line(f"also {word} {format_names(names)}", width, "    ", "      ")
    yield from walk_lines(finding, width)
    if finding.help:
        yield from wrap_line(f"help: {finding.help}", width, "  ", "    ")
    for number, fix in enumerate(finding.fixes, start=1):
        elsewhere = f" in {fix.file}" if fix.file and finding.place and fix.file != finding.place.file else ""
        yield from wrap_line(f"{fix_title(number, fix)}: {fix.description}{elsewhere}", width, "  ", "    ")
        yield from (f"    {escape_one_line(line)}" for line in diff_lines(fix))
        if other_changes := other_changes_text(fix):
            yield from wrap_line(other_changes, width, "    ", "      ")


def headline(finding: Finding, target: str) -> str:
    """Return `net.yaml:12:5: error residual-shape (stride) at layer2.0.add: the two sides of …`."""
    place = str(finding.place) if finding.place else ": ".join(filter(None, [target, finding.path]))
    cause = f" ({finding.cause})" if finding.cause else ""
    where = f" at {finding.path}" if finding.place and finding.path else ""
    return f"{place}: {finding.level} {finding.rule}{cause}{where}: {finding.message}".removeprefix(": ")


def format_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    return ", ".join(names[:MAX_LISTED_NAMES]) + more


def wrap_line(line: str, width: int, indent: str, hanging: str) -> list[str]:
    """Return the line wrapped between words; a word that is wider stays whole."""
    unbreakable = UNBREAKABLE.sub(lambda match: match[0].replace(" ", NO_BREAK_SPACE), escape_invisible(line))
    broken = textwrap.wrap(
        unbreakable,
        max(width, len(hanging) + 20),
        initial_indent=indent,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [part.replace(NO_BREAK_SPACE, " ") for part in broken]


def walk_lines(finding: Finding, width: int) -> Iterator[str]:
    """Yield `where they part: main.0 (line 14) Conv2d 128, 3×3, stride 2: 64 → 128 channels`, then the other steps."""
    first = "where they part:" if finding.rule in JOIN_RULES else "made by:"
    for number, link in enumerate(finding.walk[:MAX_WALK_STEPS]):
        indent = "      " if number else "    "
        after_fix = number == 1 and finding.walk[0].path == FIRST_FIX_PATH
        word = "likely meant:" if link.path == FIRST_FIX_PATH else "then" if number and not after_fix else first
        yield from wrap_line(f"{word} {format_step(link, finding.place)}", width, indent, "        ")
    if len(finding.walk) > MAX_WALK_STEPS:
        yield f"      and {plural(len(finding.walk) - MAX_WALK_STEPS, 'more step')} (JSON has them all)"


def format_step(link: WalkStep, place: Span | None) -> str:
    """Return a step with its line, and with its file if that differs. A fix's change elsewhere has no path."""
    if link.path == FIRST_FIX_PATH and link.place is not None:
        return f"{link.text} (line {link.place.line})"
    if link.place is None:
        return f"{link.path} {link.text}"
    in_same_file = place is not None and place.file == link.place.file
    where = f"line {link.place.line}" if in_same_file else f"{link.place.file}:{link.place.line}"
    return f"{link.path} ({where}) {link.text}"


def other_changes_text(fix: Fix) -> str:
    """Return the changes of a fix outside the conflict: `also changes coarse.0.0: 1×512×26×26 → 1×512×13×13 and 3
    more`.
    """
    if not fix.changes:
        return "changes steps outside the block of the conflict" * fix.outside
    more = f" and {len(fix.changes) - MAX_OTHER_CHANGES} more" if len(fix.changes) > MAX_OTHER_CHANGES else ""
    return f"also changes {', '.join(fix.changes[:MAX_OTHER_CHANGES])}{more}"


def fix_title(number: int, fix: Fix) -> str:
    """Return `fix 1, checked (+8,448 parameters, +6.42 M MACs)`; `fix 1, checked, 2 other conflicts remain`."""
    prices = ((fix.params, units.format_count, "parameters"), (fix.macs, units.format_si, "MACs"))
    known = ", ".join(f"{'+' * (cost >= 0)}{write(cost)} {unit}" for cost, write, unit in prices if cost is not None)
    left = f", {fix.leaves} other conflict{'s remain' if fix.leaves > 1 else ' remains'}" if fix.leaves else ""
    return f"fix {number}{', checked' * fix.checked}{left}{f' ({known})' if known else ''}"


def diff_lines(fix: Fix) -> Iterator[str]:
    """Yield the lines that a fix removes and adds."""
    for line in fix.edit.splitlines():
        if line.startswith(("+", "-")) and not line.startswith(("+++ ", "--- ")):
            yield line.rstrip()


# ------------------------------------------------------------ of check
def format_check_report(
    checked: Sequence[Checked], *, level: str = "warning", width: int = 80, quiet: bool = False
) -> str:
    """Return the output of `check`: the findings of each target, then the number of findings by level.

    quiet: do not mention findings below the level.
    """
    found = fold_findings(item.least(level) for item in checked)
    beside = [] if quiet else [*hidden_levels_note(checked, level), *unjudged_note(checked)]
    last = "; ".join([checked_summary(checked, level=level), *beside, *apply_fix_hint(found)])
    return "\n".join([*lines_by_target(found, width, named=len(checked) > 1), *wrap_line(last, width, "", "  ")]) + "\n"


def lines_by_target(found: Iterable[FoldedFinding], width: int, *, named: bool, files: bool = True) -> Iterator[str]:
    """Yield the findings, below the name of their target if it differs from the file's. files: show a file's name
    too.
    """
    head = ""
    for folded in found:
        place = folded.finding.place
        if named and place and folded.target != head and (files or folded.target != place.file):
            head = folded.target
            yield head
        yield from finding_lines(folded, width)


def checked_summary(checked: Sequence[Checked], *, level: str = "warning") -> str:
    """Return `1 error in net.yaml`, `no problems in 12 targets`."""
    counted = level_counts(fold_findings(item.least(level) for item in checked))
    where = checked[0].target if len(checked) == 1 else plural(len(checked), "target")
    return f"{join_words(counted) or 'no problems'} in {where}"


def level_counts(found: Iterable[FoldedFinding]) -> list[str]:
    levels = [folded.finding.level for folded in found]
    return [plural(levels.count(level), level) for level in LEVELS if level in levels]


def join_words(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def hidden_levels_note(checked: Sequence[Checked], level: str) -> Iterator[str]:
    """Yield `3 notes not shown (--level note)`."""
    below = LEVELS[LEVELS.index(level) + 1 :]
    found = [folded for folded in fold_findings(checked) if folded.finding.level in below]
    if found:
        least = max(below.index(folded.finding.level) for folded in found)
        yield f"{join_words(level_counts(found))} not shown (--level {below[least]})"


def unjudged_note(checked: Iterable[Checked]) -> Iterator[str]:
    """Yield the number of expectations that were not judged because the sizes differ from those in the file."""
    number = sum(len(item.report.unjudged) for item in checked if item.report)
    if number:
        yield f"{plural(number, 'expectation')} not judged, for the file means them at its own sizes"


def apply_fix_hint(found: Sequence[FoldedFinding]) -> Iterator[str]:
    """Yield the command that applies the first checked fix, if there is one."""
    specs = [folded for folded in found if split_variant(folded.target)[0].endswith((".yaml", ".yml"))]
    fixable = [folded for folded in specs if folded.finding.fixes]
    alone = [folded for folded in fixable if not folded.finding.fixes[0].outside]
    files = dict.fromkeys(split_variant(folded.target)[0] for folded in alone or fixable)
    number = "" if alone else " 1"
    if fixable:
        which = f"fix 1{' of each' * (len(alone) > 1)}"
        yield f"`archscope check --fix{number} {' '.join(files)}` applies {which}"


def plural(number: int, noun: str) -> str:
    return f"{units.format_count(number)} {noun}{'s' * (number != 1)}"
