"""What expressions of a network are made of, beside numbers and words.

    Kind (Conv2d, a block) → called with arguments → Layer → called with tensors → Tensor

A `Tensor` is a node of the graph being built together with a meta tensor that knows its shape. A `Size` is an int
that remembers which
dimension it came from, so that the compiled net works at other batch and image sizes too.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import fx

from archscope.compile.functions import Entry, methods
from archscope.errors import did_you_mean
from archscope.spec.evaluate import UNKNOWN, Thing, known_by_halves, plain_call, shown
from archscope.spec.numbers import Fault


class Builder(Protocol):
    """What values ask of the block that is being built."""

    def function(self, name: str, function: Callable | str, args: tuple, kwargs: dict) -> object: ...

    def apply(self, layer: Layer | Declaration, args: tuple, kwargs: dict) -> object: ...

    def parameter(self, shape: tuple[int, ...], init: float | None) -> Tensor: ...

    def weight(self, declaration: Declaration, name: str) -> object: ...


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


class Size(int):
    """An int that came from a tensor's shape;
    `node()` is the graph node that reads it at run time, made when first asked for.
    """

    node: Callable[[], fx.Node]

    def __new__(cls, value: int, make: Callable[[], fx.Node]) -> Size:
        size = super().__new__(cls, value)
        size.node = functools.cache(make)
        return size

    def _with(self, apply: Callable, left: object, right: object) -> object:
        result = apply(int(left), int(right)) if _whole(left, right) else NotImplemented  # type: ignore[call-overload]
        if not isinstance(result, int) or isinstance(result, bool):
            return result
        return Size(result, lambda: _graph(self).call_function(apply, (at_run_time(left), at_run_time(right))))

    def __add__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.add, self, other)

    def __radd__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.add, other, self)

    def __sub__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.sub, self, other)

    def __rsub__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.sub, other, self)

    def __mul__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.mul, self, other) if _whole(other) else int(self) * other

    def __rmul__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.mul, other, self) if _whole(other) else other * int(self)

    def __floordiv__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.floordiv, self, other)

    def __rfloordiv__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.floordiv, other, self)

    def __mod__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.mod, self, other)

    def __rmod__(self, other):  # type: ignore[no-untyped-def]
        return self._with(operator.mod, other, self)

    def __pow__(self, other, modulo=None):  # type: ignore[no-untyped-def]
        return self._with(operator.pow, self, other) if _whole(other) and other >= 0 else int(self) ** other

    def __neg__(self):  # type: ignore[no-untyped-def]
        return self._with(operator.mul, self, -1)


def _whole(*values: object) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def _graph(size: Size) -> fx.Graph:
    return size.node().graph


def at_run_time(value: object) -> Any:
    """`value` as an argument of a graph node: nodes for tensors and sizes, plain data as it is."""
    if isinstance(value, Tensor):
        return value.node
    if isinstance(value, Size):
        return value.node()
    if isinstance(value, slice):
        return slice(at_run_time(value.start), at_run_time(value.stop), at_run_time(value.step))
    if isinstance(value, (list, tuple)):
        return type(value)(at_run_time(v) for v in value)
    return value


def on_meta(value: object) -> Any:
    """`value` as an argument of the shape pass: meta tensors for tensors, ints for sizes."""
    if isinstance(value, Tensor):
        return value.meta
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, slice):
        return slice(on_meta(value.start), on_meta(value.stop), on_meta(value.step))
    if isinstance(value, (list, tuple)):
        return type(value)(on_meta(v) for v in value)
    return value


def settled(value: object) -> object:
    """`value` as an argument of a layer or block:
    sizes become plain ints, lists become tuples (so that it can be a key).
    """
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, (list, tuple)):
        return tuple(settled(v) for v in value)
    return value


def holds_tensor(value: object) -> bool:
    """Whether a tensor stands anywhere in a value."""
    if isinstance(value, slice):
        return any(holds_tensor(v) for v in (value.start, value.stop, value.step))
    if isinstance(value, (list, tuple)):
        return any(holds_tensor(v) for v in value)
    return isinstance(value, Tensor)


@dataclass(frozen=True, eq=False)
class Tensor(Thing):
    """One tensor of the graph. `inner` holds the labels inside the labelled group that made it."""

    builder: Builder = field(repr=False)
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

    def subscript(self, index: object) -> object:
        return self.builder.function("getitem", operator.getitem, (self, index), {})

    def unary(self, symbol: str) -> object:
        return self.builder.function("neg", operator.neg, (self,), {}) if symbol == "-" else self

    def binary(self, symbol: str, other: object, *, swapped: bool) -> object:
        if symbol not in OPERATORS or not isinstance(other, (Tensor, int, float)):
            raise Fault(f"{self.what} {symbol} {shown(other)} cannot be worked out", cure_of(other))
        name, function = OPERATORS[symbol]
        return self.builder.function(name, function, (other, self) if swapped else (self, other), {})

    def size(self, axis: int) -> Size:
        """The length of one dimension."""
        return Size(self.meta.shape[axis], lambda: self.node.graph.call_method("size", (self.node, axis)))

    def attribute(self, name: str) -> object:
        if name in self.inner:
            return self.inner[name]
        if name == "shape":
            return tuple(self.size(axis) for axis in range(self.meta.dim()))
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
            return self.tensor.meta.dim()
        if self.name == "size":
            axes = (*args, *kwargs.values())
            return self.tensor.size(_axis(self.tensor, axes[0])) if axes else self.tensor.attribute("shape")
        return self.tensor.builder.function(self.name, self.name, (self.tensor, *args), kwargs)


def _axis(tensor: Tensor, axis: object) -> int:
    if not isinstance(axis, int) or not -tensor.meta.dim() <= axis < tensor.meta.dim():
        raise Fault(f"{tensor.what} has no dimension {axis}", f"dimensions go from 0 to {tensor.meta.dim() - 1}")
    return int(axis)


@dataclass(frozen=True, eq=False)
class Function(Thing):
    """A function of tensors by its name; `number` is its namesake for plain numbers (`max`, `sum`)."""

    name: str
    entry: Entry
    number: Callable | None = None

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"the function {self.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        given = (*args, *kwargs.values())
        if known_by_halves(given):
            return UNKNOWN
        if self.entry.creates or any(holds_tensor(v) for v in given):
            return building(host, self.name).function(self.name, self.entry.target, args, kwargs)
        if self.number and args:
            try:
                return of_sizes(plain_call(self.name, self.number, args, kwargs), self.number, args)
            except Fault:
                return Pending(self, args, kwargs)
        return Pending(self, args, kwargs)


def of_sizes(value: object, function: Callable, args: tuple) -> object:
    """`min` and `max` of sizes are worked out at run time, as the sizes are."""
    sizes = [a for a in args if isinstance(a, Size)]
    if function not in (min, max) or not sizes or not _whole(value, *args):
        return value
    graph = _graph(sizes[0])
    return Size(int(value), lambda: graph.call_function(function, tuple(at_run_time(a) for a in args)))  # type: ignore[call-overload]


def building(host: object, name: str) -> Builder:
    """The block being built; in `params`, `let` and signatures there is none, and tensors cannot be made."""
    if host is None:
        raise Fault(f"{name} makes a tensor, which only steps can do", "move it into `layers:`")
    return host  # type: ignore[return-value]


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


@dataclass(frozen=True)
class Kind(Thing):
    """A layer class or a block, before it has arguments. `bind(kind, args, kwargs)` checks them and gives the Layer."""

    name: str
    source: Any = field(repr=False)  # an nn.Module class, or a block's definition
    bind: Callable[[Kind, tuple, dict], Layer] = field(compare=False, repr=False)

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"layer {self.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        given = (*args, *kwargs.values())
        if any(holds_tensor(v) for v in given):
            cure = f"arguments first, then inputs: {self.name}(…)(x)"
            raise Fault(f"{self.name} is given a tensor where its arguments stand", cure)
        if known_by_halves(given):
            return UNKNOWN
        return self.bind(self, tuple(settled(v) for v in args), {k: settled(v) for k, v in kwargs.items()})


@dataclass(frozen=True)
class Layer(Thing):
    """A layer or block with its arguments: what one use of it is made from. `struck` are those left to inference."""

    kind: Kind
    arguments: tuple[tuple[str, object], ...]
    struck: tuple[str, ...] = ()

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"layer {self.kind.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        return building(host, self.kind.name).apply(self, args, kwargs)


def cure_of(value: object) -> str:
    """How to make a tensor of what stands where a tensor belongs."""
    if isinstance(value, (tuple, list)):
        return "take the values apart with labels: - out, _: …"
    if isinstance(value, Kind):
        return f"apply it first: {value.name}(…)(prev)"
    if isinstance(value, Layer):
        return f"apply it first: {value.kind.name}(…)(prev)"
    if isinstance(value, Function):
        return f"name the tensor: {value.name}(prev)"
    return "inside an expression name the tensor: flatten(prev, 1)" if isinstance(value, Pending) else ""


@dataclass(frozen=True, eq=False)
class RawParameter(Thing):
    """The function `Parameter(*shape, init=…)`: a learned tensor."""

    what = "Parameter"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        shape = tuple(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
            said = ", ".join(shown(n) for n in shape)
            raise Fault(f"Parameter takes the numbers of its shape, not {said}", "for example Parameter(1, 197, dim)")
        init = kwargs.get("init")
        if set(kwargs) - {"init"} or not isinstance(init, (int, float, type(None))):
            raise Fault("Parameter takes numbers and init=number", "for example Parameter(64, 1, 1, init=1e-6)")
        return building(host, "Parameter").parameter(tuple(int(n) for n in shape), init)


@dataclass(eq=False)
class Declaration(Thing):
    """A layer declared under `modules:`: every call shares its weights. The first call sets `made` and `member`."""

    builder: Builder = field(repr=False)
    name: str
    layer: Layer
    made: Any = None
    member: str = ""

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"module {self.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        given = (*args, *kwargs.values())
        if known_by_halves(given):
            return UNKNOWN
        if not any(holds_tensor(v) for v in given):
            raise Fault(
                f"module {self.name} has its arguments already",
                f"call it with tensors, {self.name}(x), or name it alone",
            )
        return self.builder.apply(self, args, kwargs)

    def attribute(self, name: str) -> object:
        return self.builder.weight(self, name)
