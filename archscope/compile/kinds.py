"""Layers and blocks, as expressions of a network see them.

Kind (Conv2d, a block) → called with arguments → Layer → called with tensors → Tensor
Declaration (a layer under `modules:`) → called with tensors → Tensor
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from archscope.compile.numbers import RuntimeList, building, settled
from archscope.compile.values import Tensor, holds_tensor
from archscope.spec.numbers import Fault
from archscope.spec.things import UNKNOWN, Thing, known_by_halves, shown

if TYPE_CHECKING:
    from archscope.compile.use import Use


LINSPACE = (
    "linspace makes a tensor; for numbers write a list, or start + (end - start) * i / (n - 1) with i of range(n)"
)


def of_linspace(value: object) -> str:
    """How to write numbers, where linspace is asked for them; empty for what is not made by it."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(of_linspace, value)), "")
    waiting = [value.node] if isinstance(value, Tensor) else []
    while waiting:
        node = waiting.pop()
        if node.target is torch.linspace:
            return LINSPACE
        waiting += node.all_input_nodes
    return ""


def as_argument(value: object, host: object) -> object:
    """An argument of a block: lists become tuples, of a known length, so that they can be part of a key."""
    if isinstance(value, RuntimeList):
        value = value.settled(host)
    return tuple(as_argument(part, host) for part in value) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Kind(Thing):
    """A layer class or a block, before it has arguments. `bind(kind, args, kwargs)` checks them and gives the Layer."""

    name: str
    source: Any = field(repr=False)  # an nn.Module class, or a block's definition
    bind: Callable[[Kind, tuple, dict], Layer] = field(compare=False, repr=False)

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"layer {self.name}"

    @property
    def cure(self) -> str:  # type: ignore[override]
        return f"apply it first: {self.name}(…)(prev)"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        given = (*args, *kwargs.values())
        if any(holds_tensor(v) for v in given):
            cure = next(filter(None, map(of_linspace, given)), f"arguments first, then inputs: {self.name}(…)(x)")
            raise Fault(f"{self.name} is given a tensor where its arguments stand", cure)
        if known_by_halves(given):
            return UNKNOWN
        if isinstance(self.source, type):  # a layer is made once, for numbers that are known by then
            args, kwargs = settled(args, host), {name: settled(value, host) for name, value in kwargs.items()}
        named = {name: as_argument(value, host) for name, value in kwargs.items()}
        return self.bind(self, tuple(as_argument(value, host) for value in args), named)


@dataclass(frozen=True)
class Layer(Thing):
    """A layer or block with its arguments: what one use of it is made from. `struck` are those left to inference."""

    kind: Kind
    arguments: tuple[tuple[str, object], ...]
    struck: tuple[str, ...] = ()

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"layer {self.kind.name}"

    @property
    def cure(self) -> str:  # type: ignore[override]
        return f"apply it first: {self.kind.name}(…)(prev)"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        return building(host, self.kind.name).apply(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class RawParameter(Thing):
    """The function `Parameter(*shape, init=…)`: a learned tensor."""

    what = "Parameter"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        if known_by_halves((*args, *kwargs.values())):
            return UNKNOWN
        shape = settled(tuple(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else args, host)
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
            said = ", ".join(shown(n) for n in shape)
            raise Fault(f"Parameter takes the numbers of its shape, not {said}", "for example Parameter(1, 197, dim)")
        init = settled(kwargs.get("init"), host)
        if set(kwargs) - {"init"} or not isinstance(init, (int, float, type(None))):
            raise Fault("Parameter takes numbers and init=number", "for example Parameter(64, 1, 1, init=1e-6)")
        return building(host, "Parameter").parameter(tuple(int(n) for n in shape), init)


@dataclass(eq=False)
class Declaration(Thing):
    """A layer declared under `modules:`: every call shares its weights. The first call sets `made` and `member`.

    owner: the use of the block that declares it. Blocks that it is handed to, and blocks of the same file, hold it too.
    """

    owner: Use = field(repr=False)
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
        return building(host, self.name).apply(self, args, kwargs)

    def attribute(self, name: str, host: object) -> object:
        return building(host, f"{self.name}.{name}").weight(self, name)
