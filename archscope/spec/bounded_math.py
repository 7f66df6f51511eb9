"""Arithmetic on plain numbers and lists with size limits, so that no expression takes too much time or memory.

value → checked → value, or an EvaluationError. WorkBudget counts the values and steps that one spec may cause.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

MAX_INTEGER_BITS = 128
MAX_LENGTH = 1_000_000

T = TypeVar("T")


class EvaluationError(Exception):
    """An operation that is not possible: the fact and the help. The caller adds the place.

    argument: the keyword argument at fault, if there is one.
    """

    def __init__(self, message: str, help: str = "", argument: str = ""):
        self.message, self.help, self.argument = message, help, argument
        super().__init__(message)


def check_size_limit(value: T) -> T:
    """Return `value`. Raise EvaluationError if it is an integer or a list that is too large."""
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise EvaluationError(
            f"an integer of {value.bit_length()} bits; at most {MAX_INTEGER_BITS} are allowed", "a smaller number"
        )
    if isinstance(value, (list, tuple, str)) and len(value) > MAX_LENGTH:
        raise EvaluationError(f"a list of {len(value):,} items; at most {MAX_LENGTH:,} are allowed", "a shorter list")
    return value


def power(base: object, exponent: object) -> object:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1 and exponent > 0:
        bits = base.bit_length() * exponent
        if bits > 2 * MAX_INTEGER_BITS:
            shown = f"{base}**{exponent}" if exponent.bit_length() < 64 else "the power"
            raise EvaluationError(
                f"{shown} is too large; integers may have {MAX_INTEGER_BITS} bits", "a smaller number"
            )
    return base**exponent  # type: ignore[operator]


def multiply(left: object, right: object) -> object:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, (list, tuple, str)) and isinstance(times, int) and len(many) * times > MAX_LENGTH:
            raise EvaluationError(
                f"a list of {len(many) * times:,} items; at most {MAX_LENGTH:,} are allowed", "a shorter list"
            )
    return left * right  # type: ignore[operator]


def remainder(left: object, right: object) -> object:
    if isinstance(left, str):  # Python would pad the string to any width
        raise TypeError
    return left % right  # type: ignore[operator]


def bounded_round(number: float, digits: int | None = None) -> float:
    """Return `round(number, digits)`. Refuse a large number of digits: `round` would compute that power of 10."""
    if digits is not None and abs(digits) > MAX_INTEGER_BITS:
        raise ValueError(f"{digits} digits; at most {MAX_INTEGER_BITS} are allowed")
    return round(number, digits)


def bounded_sum(values: Iterable[Any], start: Any = 0) -> Any:
    """Return `sum(values, start)`, also for lists, which are joined in one pass."""
    if not isinstance(start, list):
        return sum(values, start)
    parts = [start, *values]
    if sum(map(len, parts)) > MAX_LENGTH:
        raise ValueError(f"a list of more than {MAX_LENGTH:,} items")
    if not all(isinstance(part, list) for part in parts):
        raise TypeError("lists are added to lists alone")
    return list(itertools.chain(*parts))


def make_divisible(value: float, divisor: int = 8, least: int | None = None) -> int:
    """Return the multiple of `divisor` nearest to `value`, at least 0.9 × value (MobileNetV2's rule for channel
    counts).
    """
    rounded = max(least or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def bounded_range(*limits: int) -> list[int]:
    turns = range(*limits)
    if len(turns) > MAX_LENGTH:
        raise EvaluationError(f"a range of {len(turns):,} turns; at most {MAX_LENGTH:,} are allowed", "a shorter list")
    return list(turns)


NUMBER_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "inf": math.inf}
NUMBER_FUNCTIONS: Mapping[str, Callable] = {
    "min": min,
    "max": max,
    "abs": abs,
    "round": bounded_round,
    "int": int,
    "float": float,
    "len": len,
    "sum": bounded_sum,
    "range": bounded_range,
    "zip": lambda *lists: list(zip(*lists, strict=True)),
    "enumerate": lambda items, start=0: list(enumerate(items, start)),
    "reversed": lambda items: list(reversed(items)),
    "ceil": math.ceil,
    "floor": math.floor,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "tanh": math.tanh,
    "make_divisible": make_divisible,
}


# ------------------------------------------------------------ the work of one spec
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
