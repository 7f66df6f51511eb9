"""Tensors in trees of arguments: tree → tensors. Whatever holds a tensor by a name: see `trees`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from archscope.shape_errors import Dims
from archscope.trace import Shape


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """The tensors of nested lists, tuples and dicts, from left to right."""
    found: list[torch.Tensor] = []
    gather_tensors((tree,), found)
    return found


def gather_tensors(items: Iterable[Any], found: list[torch.Tensor]) -> None:
    for item in items:
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, (list, tuple)):
            gather_tensors(item, found)
        elif isinstance(item, dict):
            gather_tensors(item.values(), found)


SPARSE_LAYOUTS = frozenset([torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc])


def stored_elements(tensor: torch.Tensor) -> int | None:
    """How many elements a sparse tensor stores, zeros among them; None for any other tensor."""
    if tensor.layout not in SPARSE_LAYOUTS:
        return None
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return values.numel()


def layout_key(tensor: torch.Tensor) -> object:
    """What its shape does not tell of a tensor: how much a sparse one stores; a nested one is like no other."""
    return object() if tensor.is_nested else (tensor.layout, stored_elements(tensor))


def shape_of(tensor: torch.Tensor) -> Shape:
    """The shape; of a nested tensor how many parts it has, and the largest size that they have along each axis.

    On meta nobody knows how long its parts are: at most as long as all of them.
    """
    if not tensor.is_nested:
        return tuple(tensor.shape)
    with torch._C.DisableTorchFunction():
        if tensor.is_meta:
            longest = max(tensor.values().shape)
            return tuple(size if type(size) is int else longest for size in tensor.shape)
        parts = [tuple(part.shape) for part in tensor.unbind()]
    return len(parts), *map(max, zip(*parts, strict=True))


def as_dims(tree: Any) -> Any:
    """The tree with every tensor's shape in its place."""
    if isinstance(tree, torch.Tensor):
        return Dims(tree.shape)
    if isinstance(tree, dict):
        return {key: as_dims(item) for key, item in tree.items()}
    return tuple(as_dims(item) for item in tree) if isinstance(tree, (list, tuple)) else tree
