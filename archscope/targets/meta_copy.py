"""Calls at other sizes: a copy of a module on the meta device, and the arguments of its call in other shapes.

module → copy on meta: modules of its own, with tensors without memory; everything else is shared
args, kwargs, a shape for each input → the same tree, each tensor repeated or cut to its shape
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from archscope.errors import ArchscopeError
from archscope.record.named_tensors import named_tensors
from archscope.targets.forward_calls import named_inputs
from archscope.targets.inputs import Shape, map_leaves
from archscope.targets.inputs import iter_leaves as plain_leaves
from archscope.targets.substitution import shallow_copy


class ResizeError(ArchscopeError):
    """The reason why a call cannot be made at other sizes."""


def resize_inputs(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], shapes: Sequence[Shape]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call in these shapes, one for each tensor in the order of the report's inputs.

    Raises ResizeError.
    """
    found = [tensor for tree in named_inputs(module, args, kwargs).values() for _, tensor in named_tensors(tree)]
    if len(found) != len(shapes):
        raise ResizeError("the inputs are different")
    wanted = {id(tensor): (tensor, shape) for tensor, shape in zip(found, shapes, strict=True)}
    changed = {key for key, (tensor, shape) in wanted.items() if tuple(tensor.shape) != tuple(shape)}
    if changed - {id(leaf) for leaf in plain_leaves((args, kwargs))}:
        raise ResizeError("an input is inside an object")
    resized = map_leaves(
        (args, dict(kwargs)), lambda leaf: resize_tensor(*wanted[id(leaf)]) if id(leaf) in changed else leaf
    )
    return resized[0], resized[1]


def resize_tensor(tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Return a tensor with the same elements, repeated or cut along each axis. Raise ResizeError."""
    if tensor.layout is not torch.strided or tensor.is_nested or 0 in tensor.shape:
        raise ResizeError("an input is not a plain tensor")
    resized = torch.empty(shape, dtype=tensor.dtype, device="meta") if tensor.is_meta else tensor.detach()
    for axis, size in enumerate(shape):
        if resized.shape[axis] != size:
            resized = resized.index_select(axis, torch.arange(size, device=resized.device) % resized.shape[axis])
    return resized.requires_grad_(tensor.requires_grad)


def copy_to_meta(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Return a copy of a module and of the arguments of its call on the meta device (its first operator is slow to
    load).

    The original is not changed. Raises ReplacementError if code may refer to the module itself.
    """
    copier = MetaCopier()
    copied = copier.module(module, "")
    torch.empty(1, device="meta").add(1)
    return copied, *copier.tree((args, dict(kwargs)))


class MetaCopier:
    """The tensors and modules copied so far, by the identity of their originals."""

    def __init__(self) -> None:
        self.modules: dict[int, nn.Module] = {}
        self.tensors: dict[int, torch.Tensor] = {}

    def module(self, module: nn.Module, path: str) -> nn.Module:
        if id(module) in self.modules:
            return self.modules[id(module)]
        copied = self.modules[id(module)] = shallow_copy(module, path)
        attributes = vars(copied)
        for name, value in list(attributes.items()):
            if name != "_modules":
                attributes[name] = self.tree(value)
        for name, child in attributes["_modules"].items():
            if child is not None:
                attributes["_modules"][name] = self.module(child, f"{path}.{name}" if path else name)
        return copied

    def tree(self, value: Any) -> Any:
        """Return a plain tree with meta tensors; a tree without tensors is returned as it is."""
        if not any(isinstance(leaf, torch.Tensor) for leaf in iter_flat(value)):
            return value
        return map_leaves(value, lambda leaf: self.tensor(leaf) if isinstance(leaf, torch.Tensor) else leaf)

    def tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self.tensors:
            empty = torch.empty_like(tensor.detach(), device="meta")
            learned = isinstance(tensor, nn.Parameter)
            flag = tensor.requires_grad
            self.tensors[id(tensor)] = nn.Parameter(empty, flag) if learned else empty.requires_grad_(flag)
        return self.tensors[id(tensor)]


def iter_flat(value: Any, depth: int = 4) -> Iterator[Any]:
    """Yield the leaves of a plain tree, down to a depth: an attribute may contain itself."""
    if type(value) in (list, tuple, dict) and depth:
        for item in value.values() if isinstance(value, dict) else value:
            yield from iter_flat(item, depth - 1)
    else:
        yield value
