"""How much work one spec may make: what its expressions work out, and the steps of the net that they make.

Counted as the work is done, so that a refusal does not hang on the machine; what doubles is refused early.
"""

from __future__ import annotations

from dataclasses import dataclass

from archscope.spec.bounded_math import MAX_LENGTH, EvaluationError

MAX_STEPS = 20_000
"""How many steps a net may have, those of its blocks counted at every use, and how many turns its nested loops."""
MAX_VALUES = 5_000_000
"""How many values the expressions of a spec may work out, items of lists among them."""
EXPRESSION_COST = 100
"""What one expression takes, in values, beside the lists in it."""
BLOCK_COST = 4_000
"""What it takes to build a block for arguments or shapes that it was not built for yet."""
REPEAT_HELP = "is a repeat count meant to be that large?"


@dataclass
class WorkBudget:
    """What one compilation has used up. steps: of the net so far. work: values that were worked out."""

    steps: int = 0
    work: int = 0

    def step(self, count: int) -> None:
        """Counts steps of the net. Raises Fault where there are too many."""
        self.steps += count
        if self.steps > MAX_STEPS:
            raise EvaluationError(f"more than {MAX_STEPS:,} steps", REPEAT_HELP)

    def value(self, count: int) -> None:
        """Counts values that an expression works out. Raises Fault where there are too many."""
        self.work += count
        if self.work > MAX_VALUES:
            fact = f"the expressions of this spec work out more than {MAX_VALUES:,} values"
            raise EvaluationError(fact, "fewer values: does a definition use another one twice, again and again?")

    def items(self, value: object) -> None:
        """Counts the items of a list, those of lists in it too. Raises Fault where there are too many."""
        if type(value) in (list, tuple):
            self.value(count_items(value))  # type: ignore[arg-type]


def count_items(value: list | tuple) -> int:
    """How many items a list has, those of lists in it too. Raises Fault for more than a list may have."""
    total, waiting = 0, [value]
    while waiting:
        items = waiting.pop()
        total += len(items)
        if total > MAX_LENGTH:
            raise EvaluationError(f"a list of lists with more than {MAX_LENGTH:,} items in all", "a shorter list")
        waiting += [item for item in items if type(item) in (list, tuple)]
    return total
