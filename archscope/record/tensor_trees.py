"""The tensors in trees of arguments (lists, tuples and dicts), and their shapes; for other trees see
`named_tensors`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from archscope.ops.shape_errors import Dims
from archscope.trace import Shape


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return the tensors of nested lists, tuples and dicts, left to right."""
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
    """Return the number of elements that a sparse tensor stores, including zeros; None for any other tensor."""
    if tensor.layout not in SPARSE_LAYOUTS:
        return None
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return values.numel()


def layout_key(tensor: torch.Tensor) -> object:
    """Return a key beside the shape: how much a sparse tensor stores; a nested tensor equals no other."""
    return object() if tensor.is_nested else (tensor.layout, stored_elements(tensor))


def shape_of(tensor: torch.Tensor) -> Shape:
    """Return the shape; of a nested tensor the number of its parts, and their largest size along each axis.

    On meta the lengths of its parts are unknown: the total length is the limit.
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
    """Return the tree with every tensor replaced by its shape."""
    if isinstance(tree, torch.Tensor):
        return Dims(tree.shape)
    if isinstance(tree, dict):
        return {key: as_dims(item) for key, item in tree.items()}
    return tuple(as_dims(item) for item in tree) if isinstance(tree, (list, tuple)) else tree
