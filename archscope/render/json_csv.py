"""Report, Comparison or findings → JSON and CSV: exact numbers for programs; what is not known is null, or empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from archscope.comparison import Comparison
from archscope.errors import escape_invisible
from archscope.render.columns import (
    BACKWARD_COLUMNS,
    COLUMN_NAMES,
    Column,
    columns_named,
    default_columns,
    is_finding_of_line,
    set_params_text,
    short_finding,
)
from archscope.render.comparisons import comparison_rows
from archscope.render.sheet import TableOptions, sort_lines
from archscope.report import (
    LEVELS,
    Checked,
    Finding,
    OutlineLine,
    Report,
    breakdown,
    detach_lines,
    finding_json,
    full_outline,
    leaf_lines,
    outline,
    prune_lines,
)

SUMMARY_CSV = tuple(name for name in COLUMN_NAMES if name != "calls")
STATE_COLUMNS = ("state", "findings", "set")
"""The columns that say whether figures can be relied on, and what they are of."""
FLOPS_CSV = ("path", "calls", "params", "macs", "flops", "share", "read", "written", *BACKWARD_COLUMNS, *STATE_COLUMNS)
PART_COLUMNS = tuple(name for name in FLOPS_CSV if name not in ("share", *STATE_COLUMNS))


def format_json(document: Any) -> str:
    """The document as JSON; what a terminal would obey is escaped in its texts, and read back as it is."""
    return escape_invisible(json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def format_csv(rows: Iterable[Sequence[object]]) -> str:
    """CSV as RFC 4180 has it, with plain newlines; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def summary_csv(report: Report, wish: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    """One line per written step (with `expand`: per row), none folded: every column sums to the report's total."""
    return report_csv(report, outline_leaves(report, wish), wish, SUMMARY_CSV)


def outline_leaves(report: Report, wish: TableOptions) -> list[OutlineLine]:
    """The leaves of the outline, none folded, in the order that is wished for."""
    lines = outline(report, expand=True) if wish.expand else full_outline(report)
    return [line for _, line in leaf_lines(prune_lines(lines, wish.depth) if wish.depth else lines)]


def report_csv(report: Report, lines: Iterable[OutlineLine], wish: TableOptions, usually: Sequence[str]) -> str:
    """The lines, each apart, and below them each finding that is of none of them, with its path and no figures. Where
    the net does not do what it should, or a param was set, the columns that say so follow those that were chosen."""
    names = wish.columns or default_columns(usually, report)
    said = [*(STATE_COLUMNS[:2] if report.failed else ()), *(STATE_COLUMNS[2:] if set_params_text(report) else ())]
    columns = columns_named((*names, *(name for name in said if name not in names)))
    shown = sort_lines(wish.sort, detach_lines(lines, report), report)
    return format_csv(
        [
            [column.data or column.name for column in columns],
            *([column.value(line, report) for column in columns] for line in shown),
            *(finding_row(finding, columns, report) for finding in findings_without_line(report, shown)),
        ]
    )


def findings_without_line(report: Report, lines: Iterable[OutlineLine]) -> list[Finding]:
    """The findings that are of none of the lines."""
    shown = list(lines)
    return [f for f in report.findings if not any(is_finding_of_line(f, line, report) for line in shown)]


def finding_row(finding: Finding, columns: Iterable[Column], report: Report) -> list[object]:
    cells = {"path": finding.path or "net", "findings": short_finding(finding), "set": set_params_text(report)}
    return [cells.get(column.name) for column in columns]


def flops_csv(report: Report, wish: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    """The costs by module, type or depth; the lines are disjoint."""
    lines = breakdown(report, wish.by or "module", depth=wish.depth, expand=wish.expand)
    return report_csv(report, [line for _, line in leaf_lines(lines)], wish, FLOPS_CSV)


def lines_csv(report: Report, lines: Iterable[OutlineLine], names: Sequence[str], extra: Sequence[Column] = ()) -> str:
    columns = columns_named(names, extra)
    head = [column.data or column.name for column in columns]
    return format_csv([head, *([column.value(line, report) for column in columns] for line in lines)])


def flops_document(report: Report, wish: TableOptions = TableOptions()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The report's document with `by` and the `parts` of that breakdown."""
    by = wish.by or "module"
    columns = columns_named(default_columns(PART_COLUMNS if report.runs else (*PART_COLUMNS, "state"), report))
    parts: list[dict[str, Any]] = [
        {column.data or column.name: column.value(line, report) for column in columns} | {"rows": list(line.rows)}
        for _, line in leaf_lines(breakdown(report, by, depth=wish.depth, expand=wish.expand))
    ]
    return {**report.to_dict(), "by": by, "parts": parts}


def comparison_csv(comparison: Comparison, wish: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    return format_csv(comparison_rows(comparison, wish))


def findings_document(checked: Iterable[Checked]) -> dict[str, Any]:
    """The JSON document `archscope.findings/1`."""
    targets: list[dict[str, Any]] = [
        {"target": item.target, "findings": [finding_json(finding) for finding in item.findings]} for item in checked
    ]
    levels = [finding["level"] for target in targets for finding in target["findings"]]
    counts = {f"{level}s": levels.count(level) for level in LEVELS}
    return {"schema": "archscope.findings/1", "targets": targets, **counts}
