"""Whether two runs are the same: rows, shapes and conflicts."""

from __future__ import annotations

from archscope.report import Report
from archscope.trace import Trace


def is_same_run(first: Report, second: Report) -> bool:
    """Return whether two runs, on any devices, have the same rows and conflicts."""
    return run_signature(first.trace) == run_signature(second.trace)


def run_signature(trace: Trace) -> tuple[object, ...]:
    rows = [(row.path, row.function, [value.shape for value in row.outputs]) for row in trace.rows]
    return rows, conflict_shapes(trace), trace.failure is not None


def conflict_shapes(trace: Trace) -> list[object]:
    """Return each conflict's row with the shapes that do not fit."""
    return [(m.row, tuple(operand.value.shape for operand in m.operands)) for m in trace.mismatches]
