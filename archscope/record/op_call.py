"""One call of a torch function as its lowering sees it: arguments as passed, shapes of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from archscope.record.tensor_trees import shape_of, tensors_in
from archscope.trace import Kernels, Shape

OPERAND_NAMES = ("input", "self", "mat", "mat1", "batch1", "tensor", "other", "mat2", "batch2", "vec")
"""The names of the operands of products, in the order of their signatures."""


@dataclass(frozen=True)
class ShapeOnly:
    """The shape of a plain (strided) tensor, in place of the tensor after a run."""

    shape: Shape
    layout: torch.layout = torch.strided
    is_nested: bool = False


@dataclass(frozen=True)
class OpCall:
    """One call of a torch function: its arguments as passed, and the shapes of its outputs."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Shape, ...]

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def shape(self, position: int, name: str) -> Shape:
        return shape_of(self.get(position, name))

    def operands(self) -> list[Any]:
        """Return the tensors that a product multiplies and adds, in the order of its signature, also if passed by
        keyword."""
        named = [self.kwargs[name] for name in OPERAND_NAMES if name in self.kwargs]
        return [value for value in (*self.args, *named) if isinstance(value, (torch.Tensor, ShapeOnly))]

    @property
    def is_strided(self) -> bool:
        """True if every tensor is strided: not sparse, not nested."""
        return all(is_strided(tensor) for tensor in tensors_in((self.args, self.kwargs)))


def is_strided(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested


Lowering = Callable[[OpCall], Kernels | None]
