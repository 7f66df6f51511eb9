# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Shape rules of reductions, concatenation, reshaping (a copy where a view is impossible), and constants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from archscope.compile.shapes.guards import (
    axis_index,
    axis_indexes,
    empty_contiguous,
    empty_in_layout,
    floating_dtype,
    guard,
    int_tuple,
    is_finite_number,
    is_int,
)
from archscope.ops.shape_errors import concat_shape, differing_other_axes
from archscope.trace import Shape


def reduction(input: Tensor, dim: object = None, keepdim: bool = False) -> Tensor:
    """Return the result of mean, sum, amax, amin."""
    floating_dtype(input)
    guard(isinstance(keepdim, bool) and dim != () and dim != [])
    reduced = axis_indexes(dim, input.dim())
    kept = [1 if place in reduced else size for place, size in enumerate(input.shape)]
    return empty_contiguous(
        input, kept if keepdim else [n for place, n in enumerate(input.shape) if place not in reduced]
    )


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    guard(isinstance(tensors, tuple | list) and tensors and len({tensor.dtype for tensor in tensors}) == 1)
    out = cat_shape([tuple(tensor.shape) for tensor in tensors], dim)
    alike = all(empty_in_layout(tensor, tensor.shape).stride() == tensor.stride() for tensor in tensors)
    return empty_in_layout(tensors[0], out) if alike else empty_contiguous(tensors[0], out)


def cat_shape(shapes: Sequence[Shape], dim: object) -> Shape:
    """Return the shape of torch.cat; the inputs must be equal in all other axes."""
    guard(shapes and len(shapes[0]) > 0)
    place = axis_index(dim, len(shapes[0]))
    guard(len({len(shape) for shape in shapes}) == 1 and not differing_other_axes(shapes, place))
    return concat_shape(shapes, place)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    guard(isinstance(tensors, tuple | list) and tensors)
    guard(len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1)
    shape = tensors[0].shape
    place = axis_index(dim, len(shape) + 1)
    return empty_contiguous(tensors[0], (*shape[:place], len(tensors), *shape[place:]))


def contiguous(input: Tensor) -> Tensor:
    return input if input.is_contiguous() else empty_contiguous(input, input.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the result of torch.flatten; a memory format that cannot be viewed is copied."""
    guard(input.dim() > 0)
    first, last = axis_index(start_dim, input.dim()), axis_index(end_dim, input.dim())
    guard(first <= last)
    return reshape(input, (*input.shape[:first], math.prod(input.shape[first : last + 1]), *input.shape[last + 1 :]))


def reshape(input: Tensor, *shape: object) -> Tensor:
    guard(shape)
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    guard(all(is_int(size) and size >= -1 for size in sizes) and sizes.count(-1) <= 1)  # type: ignore[operator]
    known = math.prod(size for size in sizes if size != -1)  # type: ignore[misc]
    guard(known > 0)
    guard(input.numel() % known == 0 if -1 in sizes else input.numel() == known)
    try:
        return input.view(sizes)  # type: ignore[arg-type]
    except RuntimeError:
        return empty_contiguous(input, input.shape).view(sizes)  # type: ignore[arg-type]


def arange(*bounds: object, step: object = 1, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    if len(bounds) == 3:
        *bounds, step = bounds  # type: ignore[assignment]
    return torch.empty(arange_length(tuple(bounds), step), dtype=dtype or torch.int64, device="meta")


def arange_length(bounds: tuple[object, ...], step: object) -> int:
    """Return the number of entries of torch.arange over integers."""
    guard(len(bounds) in (1, 2) and all(map(is_int, (*bounds, step))) and step)
    start, end = bounds if len(bounds) == 2 else (0, bounds[0])
    count = -((start - end) // step)  # type: ignore[operator]
    guard(count >= 0)
    return count


def zeros_or_ones(*size: object, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    """Return the result of zeros and ones."""
    guard(size)
    sizes = size[0] if len(size) == 1 and isinstance(size[0], tuple | list) else size
    return torch.empty(int_tuple(sizes, len(sizes)), dtype=dtype, device="meta")


def full(size: Sequence[int], fill_value: object, *, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    guard(isinstance(size, tuple | list) and (is_finite_number(fill_value) or isinstance(fill_value, bool)))
    own = {bool: torch.bool, int: torch.int64, float: torch.get_default_dtype()}[type(fill_value)]
    return torch.empty(int_tuple(size, len(size)), dtype=dtype or own, device="meta")
