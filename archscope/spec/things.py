"""Values of expressions beside plain ones: what a `Thing` answers, what is unknown, and operations on plain values.

A plain value is a number, word, list or tuple. A `Thing` is what the compiler knows and this package does not (a
tensor, a layer, a function, a number of the run): it answers for itself when it is called, added, indexed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from reprlib import Repr

from archscope.spec.numbers import Fault, capped

CONDITIONS = "conditions are made of numbers and words known before the run"


class Unknown:
    """The value of what could not be worked out; it has been reported already."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
MISSING = object()


class Thing:
    """A value of the workshop. `what` names it in messages. Each operation it does not answer is a Fault.

    host: the block being built, None outside of steps.
    """

    what = "value"
    cure = ""  # how to make a tensor of it
    compares = False  # whether `<`, `==` … are operations of its own
    numeric = False  # whether it is a number that is worked out when the net runs
    lists = False  # whether it is such a list

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        raise Fault(f"{self.what} cannot be called", "layers, blocks, functions and declared modules are called")

    def subscript(self, index: object, host: object) -> object:
        raise Fault(f"{self.what} cannot be indexed", "tensors, lists and shapes are indexed")

    def attribute(self, name: str, host: object) -> object:
        raise Fault(f"{self.what} has no attribute {name!r}", "tensors have shape, size() and methods")

    def unary(self, symbol: str, host: object) -> object:
        raise Fault(f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers")

    def binary(self, symbol: str, other: object, *, swapped: bool, host: object) -> object:
        raise Fault(f"{symbol} cannot be applied to {self.what}", "expressions are made of tensors and numbers")

    def joint(self, symbol: str, left: object, right: object, host: object) -> object:
        """An operation of two lists, in one of which this stands."""
        raise Fault(f"{shown(left)} {symbol} {shown(right)} cannot be compared", "compare numbers, or words")

    def choice(self, here: object, otherwise: object) -> object:
        """`here if self else otherwise`, of two numbers."""
        raise Fault(f"{self.what} is neither true nor false", CONDITIONS)

    def truth(self, host: object) -> bool:
        """Whether it holds; what is built then holds for nothing else."""
        raise Fault(f"{self.what} is neither true nor false", CONDITIONS)

    def settled(self, host: object) -> object:
        """The plain value that is built with; what is built then holds for nothing else."""
        raise Fault(f"a number belongs here, not {self.what}")

    def refer(self, text: str) -> None:
        """Told what it is called in the spec, for messages."""

    def pick(self, items: Sequence, host: object) -> object:
        """The item of a plain list whose index this is."""
        raise Fault(f"a list is indexed with a number, not {self.what}")

    def items(self, host: object) -> Sequence:
        """What `*` unpacks."""
        raise Fault(f"* takes a list, not {self.what}")


class Parts(tuple):  # noqa: SLOT001 - a tuple can have no slots for what it is made of
    """A list whose parts may be had when its length is not known; `whole` gives it where the length matters."""

    def whole(self, host: object) -> Parts:
        """The list, for this length alone. host: the block being built."""
        raise NotImplementedError


def shown(value: object) -> str:
    """A value as messages name it: `64`, `'same'`, `a tensor (1, 64, 56, 56)`, `layer Conv2d`."""
    return value.what if isinstance(value, Thing) else WRITER.repr(value)


class Writer(Repr):
    """Python's `repr`, of a long list or word its beginning and end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxstring = self.maxother = self.maxlong = 200

    def repr_instance(self, x: object, level: int) -> str:
        return x.what if isinstance(x, Thing) else super().repr_instance(x, level)


WRITER = Writer()


def numeric(value: object) -> bool:
    """Whether a value is a number that is worked out when the net runs."""
    return isinstance(value, Thing) and value.numeric


def is_number(value: object) -> bool:
    """Whether a value is a number, plain or of the run."""
    return isinstance(value, (int, float)) or numeric(value)


def number_within(value: object) -> Thing | None:
    """A number of the run that stands in a list, however deep; None without one."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(number_within, value)), None)
    return value if isinstance(value, Thing) and value.numeric else None


def known_by_halves(value: object) -> bool:
    """Whether UNKNOWN stands anywhere in a value."""
    if isinstance(value, (list, tuple)):
        return any(known_by_halves(v) for v in value)
    return value is UNKNOWN


def arithmetic(symbol: str, apply: Callable, left: object, right: object) -> object:
    """An operation of plain values, capped. Raises Fault."""
    try:
        return capped(apply(left, right))
    except ZeroDivisionError:
        cure = "what is on the right must not be 0 here"
        raise Fault(f"division by zero: {left} {symbol} {right}", cure) from None
    except (TypeError, ValueError, OverflowError):
        cure = f"{symbol} takes numbers (and + lists)"
        raise Fault(f"{shown(left)} {symbol} {shown(right)} cannot be worked out", cure) from None


def compared(symbol: str, apply: Callable, left: object, right: object) -> bool:
    """A comparison of plain values. Raises Fault."""
    try:
        return bool(apply(left, right))
    except TypeError:
        raise Fault(f"{shown(left)} {symbol} {shown(right)} cannot be compared", "compare numbers, or words") from None


def plain_call(name: str, function: Callable, args: Sequence, kwargs: Mapping) -> object:
    """A function of numbers, with Python's complaint as a Fault."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Thing):
            raise Fault(f"{name} takes numbers, not {value.what}")
    try:
        return capped(function(*args, **kwargs))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise Fault(f"{name}: {error}") from None
