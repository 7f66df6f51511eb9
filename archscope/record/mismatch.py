"""Operands that do not fit: two shapes → the axes where they part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from archscope.trace import Shape


def pair(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The two tensors of `a + b`, or None where one of them is a number."""
    other = args[1] if len(args) > 1 else kwargs.get("other")
    first = args[0] if args else kwargs.get("input")
    return (first, other) if isinstance(first, torch.Tensor) and isinstance(other, torch.Tensor) else None


def parting_axes(first: Shape, second: Shape, *, strict: bool) -> tuple[int, ...]:
    """The axes, aligned to the right and counted in the longer shape, where the shapes cannot broadcast.

    strict: where they are not equal; an axis that one of them lacks parts them too.
    """
    rank = max(len(first), len(second))
    left, right = (((None,) * (rank - len(shape)) + shape) for shape in (first, second))
    soft = () if strict else (1, None)
    pairs = enumerate(zip(left, right, strict=True))
    return tuple(axis for axis, (a, b) in pairs if a != b and a not in soft and b not in soft)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
