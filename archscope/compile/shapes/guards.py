"""What a rule may rely on: `guard(condition)` or no answer; and the makers of results on the meta device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class NoRule(Exception):  # noqa: N818  (an answer, not an error)
    """The rule does not know this case; torch has to be asked."""


def guard(condition: object) -> None:
    """Raises Unsure unless the condition holds."""
    if not condition:
        raise NoRule


def is_supported(value: object) -> bool:
    """True of what rules reason about: plain meta tensors that are not empty, lists of them, whatever is no tensor."""
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
    """The one floating dtype of the tensors; None among them stands for an absent one. Unsure if they differ."""
    dtypes = {tensor.dtype for tensor in tensors if isinstance(tensor, Tensor)}
    guard(len(dtypes) == 1 and all(tensor is None or isinstance(tensor, Tensor) for tensor in tensors))
    (dtype,) = dtypes
    guard(dtype.is_floating_point)
    return dtype


def guard_default_dtype(*tensors: Tensor) -> None:
    """The tensors may meet weights of torch's default dtype."""
    guard(floating_dtype(*tensors) is torch.get_default_dtype())


def int_tuple(value: object, count: int) -> tuple[int, ...]:
    """`3` or `(3, 3)` as so many whole numbers."""
    if is_int(value):
        return (value,) * count  # type: ignore[return-value]
    guard(isinstance(value, tuple | list) and len(value) == count and all(map(is_int, value)))
    return tuple(value)  # type: ignore[arg-type]


def axis_index(dim: object, rank: int) -> int:
    """The axis counted from the front."""
    guard(is_int(dim) and -rank <= dim < rank)  # type: ignore[operator]
    return dim % rank  # type: ignore[operator]


def axis_indexes(dim: object, rank: int) -> tuple[int, ...]:
    """Axes to reduce: None is all of them; no axis twice."""
    if dim is None:
        return tuple(range(rank))
    listed = [axis_index(d, rank) for d in (dim if isinstance(dim, tuple | list) else [dim])]
    guard(listed and len(set(listed)) == len(listed))
    return tuple(listed)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    sizes = [set(column) - {1} for column in zip(*padded, strict=True)]
    guard(all(len(size) <= 1 for size in sizes))
    return tuple(size.pop() if size else 1 for size in sizes)


def empty_contiguous(like: Tensor, shape: Iterable[int], dtype: torch.dtype | None = None) -> Tensor:
    """A new contiguous tensor."""
    return torch.empty(tuple(shape), dtype=dtype or like.dtype, device="meta")


def empty_in_layout(like: Tensor, shape: Iterable[int]) -> Tensor:
    """A new tensor in the memory order of an image: channels last where `like` is."""
    last = torch.channels_last
    keeps = like.dim() == 4 and not like.is_contiguous() and like.is_contiguous(memory_format=last)
    order = last if keeps else torch.contiguous_format
    return torch.empty(tuple(shape), dtype=like.dtype, device="meta", memory_format=order)


def empty_like(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A new tensor of the same shape, and of the same memory order where that leaves no gaps."""
    strides = like.stride() if is_dense(like) else empty_contiguous(like, like.shape).stride()
    return torch.empty_strided(like.shape, strides, dtype=dtype or like.dtype, device="meta")


def is_dense(tensor: Tensor) -> bool:
    """True where the elements fill their memory without gaps or overlap, in whatever order of the axes."""
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= size
    return True
