"""How much work one spec may make: what its expressions work out, and the steps of the net that they make.

Counted as the work is done, so that a refusal does not hang on the machine; what doubles is refused early.
"""

from __future__ import annotations

from dataclasses import dataclass

from archscope.spec.numbers import LENGTH, Fault

STEPS = 20_000
"""How many steps a net may have, those of its blocks counted at every use, and how many turns its nested loops."""
WORK = 5_000_000
"""How many values the expressions of a spec may work out, items of lists among them."""
EXPRESSION = 100
"""What one expression takes, in values, beside the lists in it."""
BLOCK = 4_000
"""What it takes to build a block for arguments or shapes that it was not built for yet."""
CURE = "is a repeat count meant to be that large?"


@dataclass
class Budget:
    """What one compilation has used up. steps: of the net so far. work: values that were worked out."""

    steps: int = 0
    work: int = 0

    def step(self, count: int) -> None:
        """Counts steps of the net. Raises Fault where there are too many."""
        self.steps += count
        if self.steps > STEPS:
            raise Fault(f"more than {STEPS:,} steps", CURE)

    def value(self, count: int) -> None:
        """Counts values that an expression works out. Raises Fault where there are too many."""
        self.work += count
        if self.work > WORK:
            fact = f"the expressions of this spec work out more than {WORK:,} values"
            raise Fault(fact, "fewer values: does a definition use another one twice, again and again?")

    def items(self, value: object) -> None:
        """Counts the items of a list, those of lists in it too. Raises Fault where there are too many."""
        if type(value) in (list, tuple):
            self.value(items_in(value))  # type: ignore[arg-type]


def items_in(value: list | tuple) -> int:
    """How many items a list has, those of lists in it too. Raises Fault for more than a list may have."""
    total, waiting = 0, [value]
    while waiting:
        items = waiting.pop()
        total += len(items)
        if total > LENGTH:
            raise Fault(f"a list of lists with more than {LENGTH:,} items in all", "a shorter list")
        waiting += [item for item in items if type(item) in (list, tuple)]
    return total
