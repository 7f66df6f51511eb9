"""The results of `check` as Markdown for a pull request: a headline, a table of the targets, then every finding."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from archscope import units
from archscope.errors import escape_one_line
from archscope.render.findings import (
    FoldedFinding,
    checked_summary,
    diff_lines,
    fix_title,
    fold_findings,
    format_names,
    format_step,
    hidden_levels_note,
    join_words,
    level_counts,
    other_changes_text,
)
from archscope.render.markdown import code_block, escape_markdown, join_paragraphs, longest_backtick_run
from archscope.report import Checked, CostFigures


def format_pull_request(checked: Sequence[Checked], *, level: str = "warning") -> str:
    """Return the whole comment. The table has changes if there is a baseline."""
    found = fold_findings(item.least(level) for item in checked)
    failed = any(finding.level == "error" for item in checked for finding in item.findings)
    verdict = (
        f"**archscope check {'failed' if failed else 'passed'}**: "
        f"{escape_markdown(checked_summary(checked, level=level))}"
    )
    return join_paragraphs(
        [verdict, targets_table(checked), *map(finding_block, found), *hidden_levels_note(checked, level)]
    )


# ------------------------------------------------------------ the table
def targets_table(checked: Sequence[Checked]) -> str:
    """Return one row for each target that ran or has findings."""
    against = any(item.before for item in checked)
    rows = [target_row(item, against=against) for item in checked if item.report or item.findings]
    change = ["±"] * against
    headers = ["target", "parameters", *change, "MACs", *change, "verdict"]
    sides = ["left", *["right"] * (len(headers) - 2), "left"]
    return tabulate(rows, headers=headers, tablefmt="pipe", colalign=sides, disable_numparse=True) if rows else ""


def target_row(item: Checked, *, against: bool) -> list[str]:
    now = CostFigures(item.report.total.params, item.report.total.macs) if item.report else CostFigures(None, None)
    verdict = join_words(level_counts(fold_findings([item.least("warning")]))) or "ok"
    cells = [escape_markdown(item.target), format_count(now.params), format_count(now.macs), verdict]
    if against:
        cells.insert(2, baseline_change(item, "params", now))
        cells.insert(4, baseline_change(item, "macs", now))
    return cells


def baseline_change(item: Checked, quantity: str, now: CostFigures) -> str:
    """Return the change from the baseline; a target that it does not contain is new."""
    if item.report and not item.before:
        return "new"
    return units.format_change(getattr(item.before, quantity, None), getattr(now, quantity))


def format_count(count: int | None) -> str:
    return "?" if count is None else units.format_count(count)


# ------------------------------------------------------------ findings
def finding_block(folded: FoldedFinding) -> str:
    """Return a list item: the headline, then the layout as code, other locations, the steps, the help and the fixes."""
    finding = folded.finding
    blocks = [finding_head(folded), code_block(map(escape_one_line, finding.details))]
    for word, names in (("at", finding.also), ("in", folded.other_targets)):
        if names:
            blocks.append(escape_markdown(f"also {word} {format_names(names)}"))
    steps = [escape_markdown(format_step(link, finding.place)) for link in finding.walk]
    blocks.append("\n".join(f"{at}. {step}" for at, step in enumerate(steps, 1)))
    if finding.help:
        blocks.append(f"*help:* {escape_markdown(finding.help)}")
    for at, fix in enumerate(finding.fixes, 1):
        blocks += [
            f"*{fix_title(at, fix)}:* {escape_markdown(fix.description)}",
            code_block(list(diff_lines(fix)), language="diff"),
        ]
        blocks.append(escape_markdown(other_changes_text(fix)))
    first, *rest = [block for block in blocks if block]
    return "\n\n".join([f"- {first}", *(indent_block(block) for block in rest)])


def finding_head(folded: FoldedFinding) -> str:
    finding = folded.finding
    place = str(finding.place) if finding.place else folded.target
    cause = f" ({escape_markdown(finding.cause)})" if finding.cause else ""
    where = f" at {inline_code(finding.path)}" if finding.path else ""
    return (
        f"**{finding.level}** {inline_code(finding.rule)}{cause} in {inline_code(place)}{where}: "
        f"{escape_markdown(finding.message)}"
    )


def inline_code(text: str) -> str:
    """Return a text as code, in more backticks than it contains in a row."""
    text = escape_one_line(text)
    marks = "`" * (longest_backtick_run(text) + 1)
    gap = " " * (text.startswith("`") or text.endswith("`"))
    return f"{marks}{gap}{text}{gap}{marks}"


def indent_block(block: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in block.splitlines())
