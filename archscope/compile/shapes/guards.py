"""Conditions of shape rules, `guard(condition)`, and constructors of results on the meta device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from archscope.ops.windows import per_axis


class NoRule(Exception):  # noqa: N818  (an answer, not an error)
    """Raised by a rule for a case that it does not cover; torch runs it on meta then."""


def guard(condition: object) -> None:
    """Raise NoRule unless the condition holds."""
    if not condition:
        raise NoRule


def is_supported(value: object) -> bool:
    """Return whether rules cover a value: dense nonempty meta tensors, lists of them, and all other objects."""
    if isinstance(value, list | tuple):
        return all(map(is_supported, value))
    if not isinstance(value, Tensor):
        return True
    return value.is_meta and value.layout is torch.strided and value.numel() > 0 and not value.is_complex()


def is_int(value: object) -> bool:
    return type(value) is int


def is_finite_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def floating_dtype(*tensors: object) -> torch.dtype:
    """Return the common floating dtype of the tensors (None stands for an absent one). Raises NoRule if they differ."""
    dtypes = {tensor.dtype for tensor in tensors if isinstance(tensor, Tensor)}
    guard(len(dtypes) == 1 and all(tensor is None or isinstance(tensor, Tensor) for tensor in tensors))
    (dtype,) = dtypes
    guard(dtype.is_floating_point)
    return dtype


def guard_default_dtype(*tensors: Tensor) -> None:
    """Raise NoRule unless the tensors have torch's default dtype, as the weights do."""
    guard(floating_dtype(*tensors) is torch.get_default_dtype())


def int_tuple(value: object, count: int) -> tuple[int, ...]:
    """Return `3` or `(3, 3)` as a tuple of `count` integers. Raises NoRule for tuples of another length."""
    guard(is_int(value) or (isinstance(value, tuple | list) and len(value) == count and all(map(is_int, value))))
    return per_axis(value, count)


def axis_index(dim: object, rank: int) -> int:
    """Return the axis counted from the front."""
    guard(is_int(dim) and -rank <= dim < rank)  # type: ignore[operator]
    return dim % rank  # type: ignore[operator]


def axis_indexes(dim: object, rank: int) -> tuple[int, ...]:
    """Return the axes to reduce: None means all of them; no axis twice."""
    if dim is None:
        return tuple(range(rank))
    listed = [axis_index(d, rank) for d in (dim if isinstance(dim, tuple | list) else [dim])]
    guard(listed and len(set(listed)) == len(listed))
    return tuple(listed)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that all shapes broadcast to."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    sizes = [set(column) - {1} for column in zip(*padded, strict=True)]
    guard(all(len(size) <= 1 for size in sizes))
    return tuple(size.pop() if size else 1 for size in sizes)


def empty_contiguous(like: Tensor, shape: Iterable[int], dtype: torch.dtype | None = None) -> Tensor:
    """Return a new contiguous tensor."""
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device="meta")


def empty_in_layout(like: Tensor, shape: Iterable[int]) -> Tensor:
    """Return a new tensor in the memory format of an image: channels last if `like` is."""
    last = torch.channels_last
    keeps = like.dim() == 4 and not like.is_contiguous() and like.is_contiguous(memory_format=last)
    order = last if keeps else torch.contiguous_format
    return torch.empty(tuple(shape), dtype=like.dtype, device="meta", memory_format=order)


def empty_like(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a new tensor of the same shape, and of the same memory format if that leaves no gaps."""
    strides = like.stride() if is_dense(like) else empty_contiguous(like, like.shape).stride()
    return torch.empty_strided(like.shape, strides, dtype=dtype or like.dtype, device="meta")


def is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill their memory without gaps or overlap, in any order of the axes."""
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= size
    return True
