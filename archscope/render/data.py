"""Report, Comparison or findings → JSON and CSV: exact numbers for programs; what is not known is null, or empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from archscope.comparison import Comparison
from archscope.errors import visible
from archscope.render.columns import BACKWARD, NAMES, Column, asked, chosen, in_short, stands_at, usual
from archscope.render.comparisons import values
from archscope.render.sheet import Wish, sorted_by
from archscope.report import (
    LEVELS,
    Checked,
    Finding,
    Line,
    Report,
    apart,
    breakdown,
    finding_data,
    leaves,
    outline,
    prune,
    unfolded,
)

SUMMARY_CSV = tuple(name for name in NAMES if name != "calls")
STATED = ("state", "findings", "set")
"""The columns that say whether figures can be relied on, and what they are of."""
FLOPS_CSV = ("path", "calls", "params", "macs", "flops", "share", "read", "written", *BACKWARD, *STATED)
PARTS = tuple(name for name in FLOPS_CSV if name not in ("share", *STATED))


def dumped(document: Any) -> str:
    """The document as JSON; what a terminal would obey is escaped in its texts, and read back as it is."""
    return visible(json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def table(rows: Iterable[Sequence[object]]) -> str:
    """CSV as RFC 4180 has it, with plain newlines; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def summary_csv(report: Report, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    """One line per written step (with `expand`: per row), none folded: every column sums to the report's total."""
    return stated_csv(report, single(report, wish), wish, SUMMARY_CSV)


def single(report: Report, wish: Wish) -> list[Line]:
    """The leaves of the outline, none folded, in the order that is wished for."""
    lines = outline(report, expand=True) if wish.expand else unfolded(report)
    return [line for _, line in leaves(prune(lines, wish.depth) if wish.depth else lines)]


def stated_csv(report: Report, lines: Iterable[Line], wish: Wish, usually: Sequence[str]) -> str:
    """The lines, each apart, and below them each finding that is of none of them, with its path and no figures. Where
    the net does not do what it should, or a param was set, the columns that say so follow those that were chosen."""
    names = wish.columns or usual(usually, report)
    said = [*(STATED[:2] if report.failed else ()), *(STATED[2:] if asked(report) else ())]
    columns = chosen((*names, *(name for name in said if name not in names)))
    shown = sorted_by(wish.sort, apart(lines, report), report)
    return table(
        [
            [column.data or column.name for column in columns],
            *([column.value(line, report) for column in columns] for line in shown),
            *(of_no_line(finding, columns, report) for finding in loose(report, shown)),
        ]
    )


def loose(report: Report, lines: Iterable[Line]) -> list[Finding]:
    """The findings that are of none of the lines."""
    shown = list(lines)
    return [f for f in report.findings if not any(stands_at(f, line, report) for line in shown)]


def of_no_line(finding: Finding, columns: Iterable[Column], report: Report) -> list[object]:
    cells = {"path": finding.path or "net", "findings": in_short(finding), "set": asked(report)}
    return [cells.get(column.name) for column in columns]


def flops_csv(report: Report, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    """The costs by module, type or depth; the lines are disjoint."""
    lines = breakdown(report, wish.by or "module", depth=wish.depth, expand=wish.expand)
    return stated_csv(report, [line for _, line in leaves(lines)], wish, FLOPS_CSV)


def lines_csv(report: Report, lines: Iterable[Line], names: Sequence[str], extra: Sequence[Column] = ()) -> str:
    columns = chosen(names, extra)
    head = [column.data or column.name for column in columns]
    return table([head, *([column.value(line, report) for column in columns] for line in lines)])


def flops_document(report: Report, wish: Wish = Wish()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The report's document with `by` and the `parts` of that breakdown."""
    by = wish.by or "module"
    columns = chosen(usual(PARTS if report.runs else (*PARTS, "state"), report))
    parts: list[dict[str, Any]] = [
        {column.data or column.name: column.value(line, report) for column in columns} | {"rows": list(line.rows)}
        for _, line in leaves(breakdown(report, by, depth=wish.depth, expand=wish.expand))
    ]
    return {**report.to_dict(), "by": by, "parts": parts}


def comparison_csv(comparison: Comparison, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    return table(values(comparison, wish))


def findings_document(checked: Iterable[Checked]) -> dict[str, Any]:
    """The JSON document `archscope.findings/1`."""
    targets: list[dict[str, Any]] = [
        {"target": item.target, "findings": [finding_data(finding) for finding in item.findings]} for item in checked
    ]
    levels = [finding["level"] for target in targets for finding in target["findings"]]
    counts = {f"{level}s": levels.count(level) for level in LEVELS}
    return {"schema": "archscope.findings/1", "targets": targets, **counts}
