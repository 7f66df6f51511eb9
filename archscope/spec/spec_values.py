"""The values of expressions that are not plain: `SpecValue`, `UNKNOWN`, and operations on plain values with size
limits.

A plain value is a number, word, list or tuple. A `SpecValue` is a value that only the compiler knows (a tensor, a
layer, a function, a runtime number): its methods implement calls, additions, indexing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import Repr
from types import EllipsisType
from typing import Protocol, TypeAlias, TypeGuard

from archscope.spec.bounded_math import EvaluationError, check_size_limit

CONDITION_HELP = "conditions are made of numbers and words known before the run"


class UnknownValue:
    """The value of an expression that could not be computed; the error has been reported already."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = UnknownValue()


class MissingValue:
    """The result of looking up a name that is not defined."""


MISSING = MissingValue()


class Host:
    """The block that is being built: the compiler's `BlockUse`."""


class SpecValue:
    """A value of the compiler. Operations that it does not implement raise EvaluationError.

    host: the block being built, None outside of steps.
    """

    compares = False  # whether it implements `<`, `==` …
    numeric = False  # whether it is a number that is computed when the net runs
    lists = False  # whether it is a list that is computed when the net runs

    @property
    def what(self) -> str:
        """Its name in messages."""
        return "value"

    @property
    def help(self) -> str:
        """The help where a tensor is needed."""
        return ""

    def short_text(self) -> str:
        """Return the value as tables show it among the arguments of a layer."""
        return str(getattr(self, "name", self))

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        raise EvaluationError(
            f"{self.what} cannot be called", "layers, blocks, functions and declared modules are called"
        )

    def subscript(self, index: Value, host: Host | None) -> Value:
        raise EvaluationError(f"{self.what} cannot be indexed", "tensors, lists and shapes are indexed")

    def attribute(self, name: str, host: Host | None) -> Value:
        raise EvaluationError(f"{self.what} has no attribute {name!r}", "tensors have shape, size() and methods")

    def unary(self, symbol: str, host: Host | None) -> Value:
        raise EvaluationError(
            f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers"
        )

    def binary(self, symbol: str, other: Value, *, swapped: bool, host: Host | None) -> Value:
        raise EvaluationError(
            f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers"
        )

    def compare_lists(self, symbol: str, left: Value, right: Value, host: Host | None) -> Value:
        """Return the result of an operation on two lists, one of which contains this value."""
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be compared", "compare numbers, or words"
        )

    def select(self, if_true: Value, otherwise: Value) -> Value:
        """Return `here` if this value is true, else `otherwise`; both are numbers."""
        raise EvaluationError(f"{self.what} is neither true nor false", CONDITION_HELP)

    def to_bool(self, host: Host | None) -> bool:
        """Return the truth value. What is built from it is valid for this value alone."""
        raise EvaluationError(f"{self.what} is neither true nor false", CONDITION_HELP)

    def to_plain(self, host: Host | None) -> Value:
        """Return the plain value to build with. What is built from it is valid for this value alone."""
        raise EvaluationError(f"a number belongs here, not {self.what}")

    def set_source_text(self, text: str) -> None:
        """Set the text of the value in the spec, for messages."""

    def select_item(self, items: Sequence, host: Host | None) -> Value:
        """Return the item of a plain list at this index."""
        raise EvaluationError(f"a list is indexed with a number, not {self.what}")

    def items(self, host: Host | None) -> Sequence:
        """Return the items that `*` unpacks."""
        raise EvaluationError(f"* takes a list, not {self.what}")


@dataclass
class LazyValue:
    """A name's value, computed on first use; a name that depends on itself raises EvaluationError."""

    compute: Callable[[], Value]
    name: str
    value: Value = MISSING
    is_computing: bool = False

    def get(self) -> Value:
        if self.value is MISSING:
            if self.is_computing:
                raise EvaluationError(
                    f"{self.name!r} is defined by itself", "give one of the values in the circle as a number"
                )
            self.is_computing = True
            try:
                value = self.compute()
            finally:
                self.is_computing = False
            if value is UNKNOWN:  # reported already, and reported again at each further use
                return value
            self.value = value
        return self.value


class Dtype(Protocol):
    """A dtype of torch, which this package does not import."""

    @property
    def is_floating_point(self) -> bool: ...


Value: TypeAlias = (
    "SpecValue | LazyValue | UnknownValue | MissingValue | Dtype | Callable | int | float | complex | str | slice"
    " | EllipsisType | Sequence[Value] | Mapping[str, Value] | None"
)
"""The value of an expression of a spec."""


class LazyList(tuple):  # noqa: SLOT001 - a tuple can have no slots for what it is made of
    """A list whose items can be used while its length is unknown; `materialize` fixes the length where it matters."""

    def materialize(self, host: Host | None) -> LazyList:
        """Return the list for the present length alone. host: the block being built."""
        raise NotImplementedError


def describe_value(value: object) -> str:
    """Return a value as messages name it: `64`, `'same'`, `a tensor (1, 64, 56, 56)`, `layer Conv2d`."""
    return value.what if isinstance(value, SpecValue) else SHORT_REPR.repr(value)


class ShortRepr(Repr):
    """Python's `repr`, with long lists and strings shortened in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = self.maxlong = 200

    def repr_instance(self, x: object, level: int) -> str:
        return x.what if isinstance(x, SpecValue) else super().repr_instance(x, level)


SHORT_REPR = ShortRepr()


def is_runtime_number(value: object) -> TypeGuard[SpecValue]:
    """Return whether a value is a number that is computed when the net runs."""
    return isinstance(value, SpecValue) and value.numeric


def is_number(value: object) -> bool:
    """Return whether a value is a number, plain or computed at run time."""
    return isinstance(value, (int, float)) or is_runtime_number(value)


def find_runtime_number(value: Value) -> SpecValue | None:
    """Return a runtime number in a value, in lists at any depth; None if there is none."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(find_runtime_number, value)), None)
    return value if isinstance(value, SpecValue) and value.numeric else None


def has_unknown(value: Value) -> bool:
    """Return whether UNKNOWN occurs anywhere in a value."""
    if isinstance(value, (list, tuple)):
        return any(has_unknown(v) for v in value)
    return value is UNKNOWN


def apply_arithmetic(symbol: str, apply: Callable, left: Value, right: Value) -> Value:
    """Return the result of an operation on plain values. Raise EvaluationError if it fails or is too large."""
    try:
        return check_size_limit(apply(left, right))
    except ZeroDivisionError:
        fix = "the right-hand side must not be 0"
        raise EvaluationError(f"division by zero: {left} {symbol} {right}", fix) from None
    except (TypeError, ValueError, OverflowError):
        fix = f"{symbol} takes numbers (and + lists)"
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be worked out", fix
        ) from None


def apply_comparison(symbol: str, apply: Callable, left: Value, right: Value) -> bool:
    """Return the result of a comparison of plain values. Raise EvaluationError."""
    try:
        return bool(apply(left, right))
    except TypeError:
        raise EvaluationError(
            f"{describe_value(left)} {symbol} {describe_value(right)} cannot be compared", "compare numbers, or words"
        ) from None


def call_number_function(name: str, function: Callable, args: Sequence, kwargs: Mapping) -> Value:
    """Return the result of a function of numbers. Raise EvaluationError with Python's message."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, SpecValue):
            raise EvaluationError(f"{name} takes numbers, not {value.what}")
    try:
        return check_size_limit(function(*args, **kwargs))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise EvaluationError(f"{name}: {error}") from None
