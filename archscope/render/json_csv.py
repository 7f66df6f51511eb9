"""Reports, comparisons and findings as JSON and CSV: exact numbers for programs; unknown values are null, or empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from archscope.errors import escape_invisible
from archscope.graph import outline
from archscope.graph.outline import breakdown, full_outline
from archscope.graph.outline_lines import OutlineLine, detach_lines, leaf_lines, prune_lines
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
from archscope.render.table_content import TableOptions, sort_lines
from archscope.report import LEVELS, Checked, Finding, Report, finding_json
from archscope.report_comparison import Comparison

SUMMARY_CSV = tuple(name for name in COLUMN_NAMES if name != "calls")
STATE_COLUMNS = ("state", "findings", "set")
"""The columns that say whether figures are reliable, and which params were set."""
FLOPS_CSV = ("path", "calls", "params", "macs", "flops", "share", "read", "written", *BACKWARD_COLUMNS, *STATE_COLUMNS)
PART_COLUMNS = tuple(name for name in FLOPS_CSV if name not in ("share", *STATE_COLUMNS))


def format_json(document: Any) -> str:
    """Return a document as JSON; control characters in its texts are escaped, so that they are read back unchanged."""
    return escape_invisible(json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def format_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return CSV as in RFC 4180, with "\\n" as line ends; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def summary_csv(report: Report, table_options: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    """Return one line per step (with `expand`: per row), none folded: every column sums to the report's total."""
    return report_csv(report, outline_leaves(report, table_options), table_options, SUMMARY_CSV)


def outline_leaves(report: Report, table_options: TableOptions) -> list[OutlineLine]:
    """Return the leaves of the outline, none folded, in the selected order."""
    lines = outline(report, expand=True) if table_options.expand else full_outline(report)
    return [line for _, line in leaf_lines(prune_lines(lines, table_options.depth) if table_options.depth else lines)]


def report_csv(
    report: Report, lines: Iterable[OutlineLine], table_options: TableOptions, usually: Sequence[str]
) -> str:
    """Return the lines, none folded, and below them each finding that belongs to none of them, with its path and no
    figures.

    If the net fails, or a param was set, columns with that information follow the selected ones.
    """
    names = table_options.columns or default_columns(usually, report)
    added = [*(STATE_COLUMNS[:2] if report.failed else ()), *(STATE_COLUMNS[2:] if set_params_text(report) else ())]
    columns = columns_named((*names, *(name for name in added if name not in names)))
    shown = sort_lines(table_options.sort, detach_lines(lines, report), report)
    without_line = [f for f in report.findings if not any(is_finding_of_line(f, line, report) for line in shown)]
    return format_csv(
        [
            [column.data or column.name for column in columns],
            *([column.value(line, report) for column in columns] for line in shown),
            *(finding_row(finding, columns, report) for finding in without_line),
        ]
    )


def finding_row(finding: Finding, columns: Iterable[Column], report: Report) -> list[object]:
    cells = {"path": finding.path or "net", "findings": short_finding(finding), "set": set_params_text(report)}
    return [cells.get(column.name) for column in columns]


def flops_csv(report: Report, table_options: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    """Return the costs by module, type or depth; the lines are disjoint."""
    lines = breakdown(report, table_options.by or "module", depth=table_options.depth, expand=table_options.expand)
    return report_csv(report, [line for _, line in leaf_lines(lines)], table_options, FLOPS_CSV)


def lines_csv(report: Report, lines: Iterable[OutlineLine], names: Sequence[str], extra: Sequence[Column] = ()) -> str:
    columns = columns_named(names, extra)
    head = [column.data or column.name for column in columns]
    return format_csv([head, *([column.value(line, report) for column in columns] for line in lines)])


def flops_document(report: Report, table_options: TableOptions = TableOptions()) -> dict[str, Any]:  # noqa: B008 - frozen
    """Return the report's document with `by` and the `parts` of that breakdown."""
    by = table_options.by or "module"
    columns = columns_named(default_columns(PART_COLUMNS if report.runs else (*PART_COLUMNS, "state"), report))
    parts: list[dict[str, Any]] = [
        {column.data or column.name: column.value(line, report) for column in columns} | {"rows": list(line.rows)}
        for _, line in leaf_lines(breakdown(report, by, depth=table_options.depth, expand=table_options.expand))
    ]
    return {**report.to_dict(), "by": by, "parts": parts}


def comparison_csv(comparison: Comparison, table_options: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    return format_csv(comparison_rows(comparison, table_options))


def findings_document(checked: Iterable[Checked]) -> dict[str, Any]:
    """Return the JSON document `archscope.findings/1`."""
    targets: list[dict[str, Any]] = [
        {"target": item.target, "findings": [finding_json(finding) for finding in item.findings]} for item in checked
    ]
    levels = [finding["level"] for target in targets for finding in target["findings"]]
    counts = {f"{level}s": levels.count(level) for level in LEVELS}
    return {"schema": "archscope.findings/1", "targets": targets, **counts}
