"""Tensors and functions of tensors, as expressions of a network see them.

A `Tensor` is a node of the graph of a block that is being built, together with a meta tensor that knows its shape.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from archscope.compile.functions import Entry, methods
from archscope.compile.metas import is_open
from archscope.compile.number_functions import number_call
from archscope.compile.numbers import RuntimeList, RuntimeNumber, building, known
from archscope.errors import did_you_mean
from archscope.spec.numbers import NUMBERS, Fault
from archscope.spec.things import UNKNOWN, Parts, Thing, known_by_halves, shown

if TYPE_CHECKING:
    from archscope.compile.use import Use

OPERATORS: Mapping[str, tuple[str, Callable]] = {
    "+": ("add", operator.add),
    "-": ("sub", operator.sub),
    "*": ("mul", operator.mul),
    "/": ("truediv", operator.truediv),
    "//": ("floordiv", operator.floordiv),
    "%": ("remainder", operator.mod),
    "**": ("pow", operator.pow),
    "@": ("matmul", operator.matmul),
    "<": ("lt", operator.lt),
    "<=": ("le", operator.le),
    ">": ("gt", operator.gt),
    ">=": ("ge", operator.ge),
    "==": ("eq", operator.eq),
    "!=": ("ne", operator.ne),
}


def holds_tensor(value: object) -> bool:
    """Whether a tensor stands anywhere in a value."""
    if isinstance(value, slice):
        return any(holds_tensor(v) for v in (value.start, value.stop, value.step))
    if isinstance(value, RuntimeList):
        return holds_tensor(value.metas)
    if isinstance(value, (list, tuple)):
        return any(holds_tensor(v) for v in value)
    return isinstance(value, (Tensor, torch.Tensor))


@dataclass(frozen=True, eq=False)
class Tensor(Thing):
    """One tensor of a graph. `inner` holds the labels inside the labelled group that made it.

    owner: the use of a block, or the turn of a loop, in whose graph the node is.
    """

    owner: Use = field(repr=False)
    node: fx.Node
    meta: torch.Tensor
    inner: Mapping[str, object] = field(default_factory=dict, repr=False)

    compares = True

    def __repr__(self) -> str:
        return self.what

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"a tensor {tuple(self.meta.shape)}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        raise Fault(f"{self.what} cannot be called", "does a label hide the layer or function that is meant?")

    def subscript(self, index: object, host: object) -> object:
        return building(host, "an index").function("getitem", operator.getitem, (self, index), {})

    def unary(self, symbol: str, host: object) -> object:
        if symbol == "not":
            self.truth(host)
        return building(host, "-").function("neg", operator.neg, (self,), {}) if symbol == "-" else self

    def binary(self, symbol: str, other: object, *, swapped: bool, host: object) -> object:
        if symbol not in OPERATORS or not isinstance(other, (Tensor, RuntimeNumber, int, float)):
            raise Fault(f"{self.what} {symbol} {shown(other)} cannot be worked out", cure_of(other))
        name, function = OPERATORS[symbol]
        operands = (other, self) if swapped else (self, other)
        return building(host, symbol).function(name, function, operands, {})

    def refer(self, text: str) -> None:
        self.node.meta.setdefault("said", text)

    @property
    def rank(self) -> int | None:
        """The number of dimensions; None where sizes decide it."""
        return None if is_open(self.meta) and not self.owner.rank(self).fixed else self.meta.dim()

    def size(self, axis: int) -> object:
        """The length of one dimension, counted from 0, or from -1 at the end."""
        return known(self.owner.size(self, axis))

    def attribute(self, name: str, host: object) -> object:
        if name in self.inner:
            return self.inner[name]
        if name == "shape":
            return Sizes(self)
        if name in ("size", "dim") or name in methods():
            return Method(self, name)
        near = did_you_mean(name, [*self.inner, *methods(), "shape", "size", "dim"])
        if name in ("weight", "bias"):
            near = "a declared module has parameters: modules: {fc: Linear(4)}, then fc.weight"
        raise Fault(f"a tensor has no method {name!r} in this language", near or "docs/language.md lists the methods")


@dataclass(frozen=True, eq=False)
class Method(Thing):
    """`x.view`: a tensor's method before its call."""

    tensor: Tensor
    name: str

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"the method {self.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        if self.name == "dim":
            return known(self.tensor.owner.rank(self.tensor))
        if self.name == "size":
            axes = (*args, *kwargs.values())
            return self.tensor.size(_axis(self.tensor, axes[0], host)) if axes else Sizes(self.tensor)
        return building(host, self.name).function(self.name, self.name, (self.tensor, *args), kwargs)


OF_A_NUMBER = frozenset(["sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "tanh", "ceil", "floor"])
"""Functions of one number: applied to prev they would be given no other."""


class Sizes(Parts):
    """The sizes of a tensor, each read when the net runs; the last one stays the last one."""

    tensor: Tensor

    def __new__(cls, tensor: Tensor) -> Sizes:
        sizes = super().__new__(cls, (tensor.size(axis) for axis in range(tensor.meta.dim())))
        sizes.tensor = tensor
        return sizes

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and -len(self) <= index < 0:
            return self.tensor.size(index)
        return super().__getitem__(index)

    def whole(self, host: object) -> Sizes:
        use: Any = host or self.tensor.owner
        owner = self.tensor.owner
        at = use.place()
        owner.settle_rank(self.tensor, at._replace(path=use.path_in(owner, at.path)))
        return self


def _axis(tensor: Tensor, axis: object, host: object) -> int:
    axis = axis.settled(host) if isinstance(axis, RuntimeNumber) else axis
    if not isinstance(axis, int) or not -tensor.meta.dim() <= axis < tensor.meta.dim():
        raise Fault(f"{tensor.what} has no dimension {shown(axis)}", f"dimensions go from 0 to {tensor.meta.dim() - 1}")
    return int(axis)


def cure_of(value: object) -> str:
    """How to make a tensor of what stands where a tensor belongs."""
    if isinstance(value, (tuple, list, RuntimeList)):
        return "take the values apart with labels: - out, _: …"
    return value.cure if isinstance(value, Thing) else ""


@dataclass(frozen=True, eq=False)
class Function(Thing):
    """A function of tensors by its name; `max`, `sum`, `exp` and others are functions of plain numbers too."""

    name: str
    entry: Entry

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"the function {self.name}"

    @property
    def cure(self) -> str:  # type: ignore[override]
        return f"name the tensor: {self.name}(prev)"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        given = (*args, *kwargs.values())
        if known_by_halves(given):
            return UNKNOWN
        if self.entry.creates or any(holds_tensor(v) for v in given):
            return building(host, self.name).function(self.name, self.entry.target, args, kwargs)
        if self.name in NUMBERS and args:
            try:
                return number_call(self.name, args, kwargs, host)
            except Fault:
                if self.name in OF_A_NUMBER:
                    raise
                return Pending(self, args, kwargs)
        return Pending(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class Pending(Thing):
    """`flatten(1)`:
    a function's call without a tensor; as a step it is applied to prev, inside an expression it is a fault.
    """

    function: Function
    args: tuple
    kwargs: dict

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"{self.function.name}(…) without a tensor"

    cure = "inside an expression name the tensor: flatten(prev, 1)"
