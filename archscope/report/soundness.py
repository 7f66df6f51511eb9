"""Which rows of a report rest on what did not run: Trace → the rows that fail, and those after them.

A run goes on behind operands that do not fit, with a value of the shape that was meant. So sizes and costs behind it
are assumed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from archscope.trace_index import TraceIndex

FAILS, ASSUMED, UNRUN = "fails", "assumed", "not run"


@dataclass(frozen=True)
class Soundness:
    """The indexes of the rows that fail, and of those whose sizes are assumed. runs: whether nothing failed."""

    runs: bool
    failing: Collection[int] = frozenset()
    assumed: Collection[int] = frozenset()

    def of(self, rows: Iterable[int]) -> str:
        """`fails` where one of these rows does, `assumed` where one stands behind such a row, else nothing."""
        found = set(rows)
        if not found.isdisjoint(self.failing):
            return FAILS
        return "" if found.isdisjoint(self.assumed) else ASSUMED


def soundness(index: TraceIndex) -> Soundness:
    """What of a run can be relied on. A failed backward pass leaves the forward pass as it is."""
    trace = index.trace
    failed = trace.failure is not None and not trace.failure.backward
    failing = frozenset(mismatch.row for mismatch in trace.mismatches)
    if not failing:
        return Soundness(not failed)
    return Soundness(False, failing, index.descendants(failing) - failing)
