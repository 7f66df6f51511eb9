"""The rows of a report that fail, and those that depend on them.

After operands that do not fit, a run continues with a value of the shape that was meant, so sizes and costs of later
rows that depend on it are assumed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from archscope.trace_index import TraceIndex

FAILS, ASSUMED, UNRUN = "fails", "assumed", "not run"


@dataclass(frozen=True)
class Soundness:
    """The indexes of the rows that fail, and of those whose sizes are assumed. runs: True if nothing failed."""

    runs: bool
    failing: Collection[int] = frozenset()
    assumed: Collection[int] = frozenset()

    def of(self, rows: Iterable[int]) -> str:
        """Return `fails` if one of these rows fails, `assumed` if one depends on a failing row, else ""."""
        found = set(rows)
        if not found.isdisjoint(self.failing):
            return FAILS
        return "" if found.isdisjoint(self.assumed) else ASSUMED


def soundness(index: TraceIndex) -> Soundness:
    """Return the failing and assumed rows of a run. A failed backward pass does not count."""
    trace = index.trace
    failed = trace.failure is not None and not trace.failure.backward
    failing = frozenset(mismatch.row for mismatch in trace.mismatches)
    if not failing:
        return Soundness(not failed)
    return Soundness(False, failing, index.descendants(failing) - failing)
