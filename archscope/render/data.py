"""Report, Comparison or findings → JSON and CSV: exact numbers for programs; what is not known is null, or empty."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from archscope.comparison import Comparison
from archscope.render.columns import BACKWARD, NAMES, Column, chosen, usual
from archscope.render.sheet import Wish
from archscope.report import LEVELS, Checked, Line, Report, breakdown, finding_data, leaves, outline, prune, unfolded

SUMMARY_CSV = tuple(name for name in NAMES if name != "calls")
FLOPS_CSV = ("path", "calls", "params", "macs", "flops", "share", "read", "written", *BACKWARD)
PARTS = tuple(name for name in FLOPS_CSV if name != "share")
COMPARED = ("params", "trainable_params", "param_bytes", "macs", "flops", "unpriced")


def dumped(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def table(rows: Iterable[Sequence[object]]) -> str:
    """CSV as RFC 4180 has it, with plain newlines; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def summary_csv(report: Report, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    """One line per written step (with `expand`: per row), none folded: every column sums to the report's total."""
    return lines_csv(report, single(report, wish), wish.columns or usual(SUMMARY_CSV, report))


def single(report: Report, wish: Wish) -> list[Line]:
    """The leaves of the outline, none folded."""
    lines = outline(report, expand=True) if wish.expand else unfolded(report)
    return [line for _, line in leaves(prune(lines, wish.depth) if wish.depth else lines)]


def flops_csv(report: Report, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    """The costs by module, type or depth; the lines are disjoint."""
    lines = breakdown(report, wish.by or "module", depth=wish.depth)
    names = wish.columns or usual(FLOPS_CSV, report)
    return lines_csv(report, [line for _, line in leaves(lines)], names)


def lines_csv(report: Report, lines: Iterable[Line], names: Sequence[str], extra: Sequence[Column] = ()) -> str:
    columns = chosen(names, extra)
    head = [column.data or column.name for column in columns]
    return table([head, *([column.value(line, report) for column in columns] for line in lines)])


def flops_document(report: Report, wish: Wish = Wish()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The report's document with `by` and the `parts` of that breakdown."""
    by = wish.by or "module"
    columns = chosen(usual(PARTS, report))
    parts: list[dict[str, Any]] = [
        {column.data or column.name: column.value(line, report) for column in columns} | {"rows": list(line.rows)}
        for _, line in leaves(breakdown(report, by, depth=wish.depth))
    ]
    return {**report.to_dict(), "by": by, "parts": parts}


def comparison_csv(comparison: Comparison) -> str:
    entries: list[dict[str, Any]] = comparison.to_dict()["targets"]
    rows = [[entry["target"], entry["label"], *(entry["totals"][key] for key in COMPARED)] for entry in entries]
    return table([["target", "label", *COMPARED], *rows])


def findings_document(checked: Iterable[Checked]) -> dict[str, Any]:
    """The JSON document `archscope.findings/1`."""
    targets: list[dict[str, Any]] = [
        {"target": item.target, "findings": [finding_data(finding) for finding in item.findings]} for item in checked
    ]
    levels = [finding["level"] for target in targets for finding in target["findings"]]
    counts = {f"{level}s": levels.count(level) for level in LEVELS}
    return {"schema": "archscope.findings/1", "targets": targets, **counts}
