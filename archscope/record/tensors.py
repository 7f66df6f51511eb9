"""Tensors in trees of arguments and results: tree → leaves, with or without their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from archscope.trace import Shape


def tensors(tree: Any) -> list[torch.Tensor]:
    """The tensors of nested lists, tuples and mappings, from left to right."""
    found: list[torch.Tensor] = []
    collect(tree, found)
    return found


def collect(tree: Any, found: list[torch.Tensor]) -> None:
    if isinstance(tree, torch.Tensor):
        found.append(tree)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            collect(item, found)


def named(tree: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors with their names: keys and positions joined by dots."""
    if isinstance(tree, torch.Tensor):
        yield name or "0", tree
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for key, item in items:
        yield from named(item, f"{name}.{key}" if name else str(key))


def shape_of(tensor: torch.Tensor) -> Shape:
    return tuple(tensor.shape)


def version(tensor: torch.Tensor) -> int:
    """How often the tensor was written; 0 for an inference tensor, which does not count."""
    return 0 if tensor.is_inference() else tensor._version
