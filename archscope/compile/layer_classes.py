"""Layers and blocks in the expressions of a spec.

LayerClass (Conv2d, a block) → called with arguments → Layer → called with tensors → GraphTensor DeclaredLayer (a layer
under `modules:`) → called with tensors → GraphTensor
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from archscope.compile.graph_tensor import GraphTensor, has_tensor
from archscope.compile.runtime_numbers import RuntimeList, fix_value, require_block_use
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_values import UNKNOWN, Host, SpecValue, Value, describe_value, has_unknown
from archscope.torch_layers.layer_text import format_block_arguments, format_layer_arguments

if TYPE_CHECKING:
    from archscope.compile.block_use import BlockUse


LINSPACE_HELP = (
    "linspace makes a tensor; for numbers write a list, or start + (end - start) * i / (n - 1) with i of range(n)"
)


def linspace_help(value: Value) -> str:
    """Return how to write numbers instead of linspace; empty for a value that linspace did not make."""
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(linspace_help, value)), "")
    waiting = [value.node] if isinstance(value, GraphTensor) else []
    while waiting:
        node = waiting.pop()
        if node.target is torch.linspace:
            return LINSPACE_HELP
        waiting += node.all_input_nodes
    return ""


def as_block_argument(value: Value, host: Host | None) -> Value:
    """Return an argument of a block with lists as tuples of known length, so that it can be part of a key."""
    if isinstance(value, RuntimeList):
        value = value.to_plain(host)
    return tuple(as_block_argument(part, host) for part in value) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class LayerClass(SpecValue):
    """A layer class or a block without arguments. `bind(kind, args, kwargs)` checks them and returns the Layer."""

    name: str
    source: Any = field(repr=False)  # an nn.Module class, or a block's definition
    bind: Callable[[LayerClass, tuple, dict], Layer] = field(compare=False, repr=False)

    @property
    def what(self) -> str:
        return f"layer {self.name}"

    @property
    def help(self) -> str:
        return f"apply it first: {self.name}(…)(prev)"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        given = (*args, *kwargs.values())
        if any(has_tensor(v) for v in given):
            example = f"arguments first, then inputs: {self.name}(…)(x)"
            suggestion = next(filter(None, map(linspace_help, given)), example)
            raise EvaluationError(f"{self.name} is given a tensor where its arguments stand", suggestion)
        if has_unknown(given):
            return UNKNOWN
        if isinstance(self.source, type):  # a layer of torch.nn is made before the run, so its numbers must be known
            args, kwargs = fix_value(args, host), {name: fix_value(value, host) for name, value in kwargs.items()}
        named = {name: as_block_argument(value, host) for name, value in kwargs.items()}
        return self.bind(self, tuple(as_block_argument(value, host) for value in args), named)


@dataclass(frozen=True)
class Layer(SpecValue):
    """A layer or block with its arguments. inferred: the arguments that are inferred from the input."""

    kind: LayerClass
    arguments: tuple[tuple[str, Value], ...]
    inferred: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        return f"layer {self.kind.name}"

    @property
    def help(self) -> str:
        return f"apply it first: {self.kind.name}(…)(prev)"

    def short_text(self) -> str:
        is_torch_layer = isinstance(self.kind.source, type)
        given = (
            format_layer_arguments(self.kind.name, dict(self.arguments))
            if is_torch_layer
            else format_block_arguments(self.arguments, ())
        )
        return f"{self.kind.name}({given})" if given else self.kind.name

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        if has_unknown((*args, *kwargs.values())):
            return UNKNOWN
        return require_block_use(host, self.kind.name).apply(self, args, kwargs)


@dataclass(frozen=True, eq=False)
class ParameterFunction(SpecValue):
    """The function `Parameter(*shape, init=…)`, which makes a learned tensor."""

    what = "Parameter"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        if has_unknown((*args, *kwargs.values())):
            return UNKNOWN
        shape = fix_value(tuple(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else args, host)
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
            said = ", ".join(describe_value(n) for n in shape)
            raise EvaluationError(
                f"Parameter takes the numbers of its shape, not {said}", "for example Parameter(1, 197, dim)"
            )
        init = fix_value(kwargs.get("init"), host)
        if set(kwargs) - {"init"} or not isinstance(init, (int, float, type(None))):
            raise EvaluationError(
                "Parameter takes numbers and init=number", "for example Parameter(64, 1, 1, init=1e-6)"
            )
        return require_block_use(host, "Parameter").add_parameter(tuple(int(n) for n in shape), init)


@dataclass(eq=False)
class DeclaredLayer(SpecValue):
    """A layer declared under `modules:`, whose calls share its weights. The first call sets `built` and `member_name`.

    owner: the use of the block that declares it. Blocks that it is passed to, and blocks of the same file, hold it too.
    """

    owner: BlockUse = field(repr=False)
    name: str
    layer: Layer
    built: Any = None
    member_name: str = ""

    @property
    def what(self) -> str:
        return f"module {self.name}"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        given = (*args, *kwargs.values())
        if has_unknown(given):
            return UNKNOWN
        if not any(has_tensor(v) for v in given):
            raise EvaluationError(
                f"module {self.name} has its arguments already",
                f"call it with tensors, {self.name}(x), or name it alone",
            )
        return require_block_use(host, self.name).apply(self, args, kwargs)

    def attribute(self, name: str, host: Host | None) -> Value:
        return require_block_use(host, f"{self.name}.{name}").declared_weight(self, name)
