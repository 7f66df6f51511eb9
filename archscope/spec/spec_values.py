"""Values of expressions beside plain ones: what a `SpecValue` answers, what is unknown, and operations on plain values.

A plain value is a number, word, list or tuple. A `SpecValue` is what the compiler knows and this package does not (a
tensor, a layer, a function, a number of the run): it answers for itself when it is called, added, indexed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from reprlib import Repr

from archscope.spec.bounded_math import EvaluationError, check_size_limit

CONDITION_HELP = "conditions are made of numbers and words known before the run"


class UnknownValue:
    """The value of what could not be worked out; it has been reported already."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = UnknownValue()
MISSING = object()


class SpecValue:
    """A value of the workshop. `what` names it in messages. Each operation it does not answer is a EvaluationError.

    host: the block being built, None outside of steps.
    """

    what = "value"
    cure = ""  # how to make a tensor of it
    compares = False  # whether `<`, `==` … are operations of its own
    numeric = False  # whether it is a number that is worked out when the net runs
    lists = False  # whether it is such a list

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        raise EvaluationError(
            f"{self.what} cannot be called", "layers, blocks, functions and declared modules are called"
        )

    def subscript(self, index: object, host: object) -> object:
        raise EvaluationError(f"{self.what} cannot be indexed", "tensors, lists and shapes are indexed")

    def attribute(self, name: str, host: object) -> object:
        raise EvaluationError(f"{self.what} has no attribute {name!r}", "tensors have shape, size() and methods")

    def unary(self, symbol: str, host: object) -> object:
        raise EvaluationError(
            f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers"
        )

    def binary(self, symbol: str, other: object, *, swapped: bool, host: object) -> object:
        raise EvaluationError(
            f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers"
        )

    def compare_lists(self, symbol: str, left: object, right: object, host: object) -> object:
        """An operation of two lists, in one of which this stands."""
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be compared", "compare numbers, or words"
        )

    def select(self, here: object, otherwise: object) -> object:
        """`here if self else otherwise`, of two numbers."""
        raise EvaluationError(f"{self.what} is neither true nor false", CONDITION_HELP)

    def to_bool(self, host: object) -> bool:
        """Whether it holds; what is built then holds for nothing else."""
        raise EvaluationError(f"{self.what} is neither true nor false", CONDITION_HELP)

    def to_plain(self, host: object) -> object:
        """The plain value that is built with; what is built then holds for nothing else."""
        raise EvaluationError(f"a number belongs here, not {self.what}")

    def set_source_text(self, text: str) -> None:
        """Told what it is called in the spec, for messages."""

    def select_item(self, items: Sequence, host: object) -> object:
        """The item of a plain list whose index this is."""
        raise EvaluationError(f"a list is indexed with a number, not {self.what}")

    def items(self, host: object) -> Sequence:
        """What `*` unpacks."""
        raise EvaluationError(f"* takes a list, not {self.what}")


class LazyList(tuple):  # noqa: SLOT001 - a tuple can have no slots for what it is made of
    """A list whose parts may be had when its length is not known; `whole` gives it where the length matters."""

    def materialize(self, host: object) -> LazyList:
        """The list, for this length alone. host: the block being built."""
        raise NotImplementedError


def describe_value(value: object) -> str:
    """A value as messages name it: `64`, `'same'`, `a tensor (1, 64, 56, 56)`, `layer Conv2d`."""
    return value.what if isinstance(value, SpecValue) else SHORT_REPR.repr(value)


class ShortRepr(Repr):
    """Python's `repr`, of a long list or word its beginning and end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = self.maxlong = 200

    def repr_instance(self, x: object, level: int) -> str:
        return x.what if isinstance(x, SpecValue) else super().repr_instance(x, level)


SHORT_REPR = ShortRepr()


def is_runtime_number(value: object) -> bool:
    """Whether a value is a number that is worked out when the net runs."""
    return isinstance(value, SpecValue) and value.numeric


def is_number(value: object) -> bool:
    """Whether a value is a number, plain or of the run."""
    return isinstance(value, (int, float)) or is_runtime_number(value)


def find_runtime_number(value: object) -> SpecValue | None:
    """A number of the run that stands in a list, however deep; None without one."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(find_runtime_number, value)), None)
    return value if isinstance(value, SpecValue) and value.numeric else None


def has_unknown(value: object) -> bool:
    """Whether UNKNOWN stands anywhere in a value."""
    if isinstance(value, (list, tuple)):
        return any(has_unknown(v) for v in value)
    return value is UNKNOWN


def apply_arithmetic(symbol: str, apply: Callable, left: object, right: object) -> object:
    """An operation of plain values, capped. Raises Fault."""
    try:
        return check_size_limit(apply(left, right))
    except ZeroDivisionError:
        cure = "what is on the right must not be 0 here"
        raise EvaluationError(f"division by zero: {left} {symbol} {right}", cure) from None
    except (TypeError, ValueError, OverflowError):
        cure = f"{symbol} takes numbers (and + lists)"
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be worked out", cure
        ) from None


def apply_comparison(symbol: str, apply: Callable, left: object, right: object) -> bool:
    """A comparison of plain values. Raises Fault."""
    try:
        return bool(apply(left, right))
    except TypeError:
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be compared", "compare numbers, or words"
        ) from None


def call_number_function(name: str, function: Callable, args: Sequence, kwargs: Mapping) -> object:
    """A function of numbers, with Python's complaint as a EvaluationError."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, SpecValue):
            raise EvaluationError(f"{name} takes numbers, not {value.what}")
    try:
        return check_size_limit(function(*args, **kwargs))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise EvaluationError(f"{name}: {error}") from None
