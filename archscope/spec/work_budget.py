"""Limits on the work that one spec may cause: values that its expressions compute, and steps of the net.

Work is counted while it is done, so that the limit does not depend on the machine; exponential growth is refused early.
"""

from __future__ import annotations

from dataclasses import dataclass

from archscope.spec.bounded_math import MAX_LENGTH, EvaluationError

MAX_STEPS = 20_000
"""The largest number of steps of a net, with those of its blocks at every use; also of turns of nested loops."""
MAX_VALUES = 5_000_000
"""The largest number of values that the expressions of a spec may compute, including items of lists."""
EXPRESSION_COST = 100
"""The cost of one expression, in values, without the lists in it."""
CALL_COST = 200
"""The cost of a call of a definition of `let`, in values, in addition to that of its expression."""
BLOCK_COST = 4_000
"""The cost of building a block for arguments or shapes that it was not built for before."""
REPEAT_HELP = "is a repeat count meant to be that large?"


@dataclass
class WorkBudget:
    """The work of one compilation so far. steps: of the net. work: values computed."""

    steps: int = 0
    work: int = 0

    def step(self, count: int) -> None:
        """Count steps of the net. Raise EvaluationError if there are too many."""
        self.steps += count
        if self.steps > MAX_STEPS:
            raise EvaluationError(f"more than {MAX_STEPS:,} steps", REPEAT_HELP)

    def value(self, count: int) -> None:
        """Count values that an expression computes. Raise EvaluationError if there are too many."""
        self.work += count
        if self.work > MAX_VALUES:
            fact = f"the expressions of this spec compute more than {MAX_VALUES:,} values"
            raise EvaluationError(fact, "fewer values: does a definition use another one twice, again and again?")

    def items(self, value: object) -> None:
        """Count the items of a list, including those of nested lists. Raise EvaluationError if there are too many."""
        if type(value) in (list, tuple):
            self.value(count_items(value))  # type: ignore[arg-type]


def count_items(value: list | tuple) -> int:
    """Return the number of items of a list, including those of nested lists. Raise EvaluationError if there are too
    many.
    """
    total, waiting = 0, [value]
    while waiting:
        items = waiting.pop()
        total += len(items)
        if total > MAX_LENGTH:
            raise EvaluationError(f"a list of lists with more than {MAX_LENGTH:,} items in all", "a shorter list")
        waiting += [item for item in items if type(item) in (list, tuple)]
    return total
