"""The sizes of convolutions, pools, padding, resampling and lists of values, for arguments that rules cover.

The formulas of windows are those of `ops.windows`; that of resampling is in the Shape section of torch.nn.Upsample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from archscope.compile.shapes.guards import NoRule, axis_index, guard, int_tuple, is_finite_number, is_int
from archscope.ops.shape_errors import concat_shape, differing_other_axes
from archscope.ops.windows import largest_pool_padding, transposed_output_size, window_output_size

Shape = tuple[int, ...]
_MODE_RANKS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def conv_sizes(sizes: Shape, kernel: Shape, stride: object, padding: object, dilation: object) -> Shape:
    """Return the spatial sizes after a convolution; padding may be `same` or `valid`."""
    count = len(sizes)
    stride, dilation = int_tuple(stride, count), int_tuple(dilation, count)
    guard(min(stride) > 0 and min(dilation) > 0 and min(kernel) > 0)
    if padding == "same":
        guard(set(stride) == {1})
        return sizes
    padding = int_tuple(0 if padding == "valid" else padding, count)
    out = tuple(map(window_output_size, sizes, kernel, stride, padding, dilation))
    guard(min(padding) >= 0 and min(out) > 0)
    return out


def conv_transpose_sizes(
    sizes: Shape, kernel: Shape, stride: object, padding: object, output: object, dilation: object
) -> Shape:
    """Return the spatial sizes after a transposed convolution; `output` is its output_padding."""
    count = len(sizes)
    stride, padding, output, dilation = (int_tuple(value, count) for value in (stride, padding, output, dilation))
    guard(min(stride) > 0 and min(dilation) > 0 and min(kernel) > 0 and min(padding) >= 0 and min(output) >= 0)
    guard(all(o < max(s, d) for o, s, d in zip(output, stride, dilation, strict=True)))
    out = tuple(map(transposed_output_size, sizes, kernel, stride, padding, dilation, output))
    guard(min(out) > 0)
    return out


def pool_sizes(sizes: Shape, kernel: object, stride: object, padding: object, dilation: object, ceil: object) -> Shape:
    """Return the spatial sizes after a pool. With `ceil` the last window may extend beyond the input, if it begins
    before the right padding."""
    count = len(sizes)
    kernel = int_tuple(kernel, count)
    stride = kernel if stride is None else int_tuple(stride, count)
    padding, dilation = int_tuple(padding, count), int_tuple(dilation, count)
    guard(min(kernel) > 0 and min(stride) > 0 and min(dilation) > 0 and min(padding) >= 0 and isinstance(ceil, bool))
    guard(all(p <= largest_pool_padding(k) for p, k in zip(padding, kernel, strict=True)))
    out = tuple(map(partial(window_output_size, ceil=ceil is True), sizes, kernel, stride, padding, dilation))
    guard(min(out) > 0)
    return out


def adaptive_sizes(sizes: Shape, output: object) -> Shape:
    """Return the spatial sizes of `7`, `(7, 7)` or `(7, None)`: None keeps the input's size."""
    count = len(sizes)
    if isinstance(output, tuple | list):
        guard(len(output) == count and (count > 1 or None not in output))
        output = [size if wanted is None else wanted for size, wanted in zip(sizes, output, strict=True)]
    out = int_tuple(output, count)
    guard(min(out) > 0)
    return out


def pad_shape(shape: Shape, pad: object, mode: object) -> Shape:
    """Return the shape after torch.nn.functional.pad: pairs (before, after), the last axis first."""
    guard(isinstance(pad, tuple | list) and len(pad) % 2 == 0 and len(pad) <= 2 * len(shape))
    numbers = int_tuple(pad, len(pad))  # type: ignore[arg-type]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    guard(mode == "constant" or _can_pad(shape, pairs, mode))
    out = list(shape)
    for place, (before, after) in enumerate(pairs):
        out[-1 - place] += before + after
        guard(shape[-1 - place] + min(before, 0) + min(after, 0) > 0)
    guard(min(out) > 0)
    return tuple(out)


def _can_pad(shape: Shape, pairs: list[tuple[int, int]], mode: object) -> bool:
    """Return whether a padding mode that copies (`reflect`, …) supports these axes and this much padding."""
    reach = {"reflect": 1, "circular": 0, "replicate": -math.inf}.get(str(mode))
    if reach is None or len(shape) != len(pairs) + 2:
        return False
    return all(0 <= p <= shape[-1 - place] - reach for place, pair in enumerate(pairs) for p in pair)


def interpolate_sizes(sizes: Shape, size: object, scale: object, mode: object, align: object) -> Shape:
    """Return the spatial sizes after torch.nn.functional.interpolate."""
    rank = len(sizes) + 2
    guard(3 <= rank <= 5 and (size is None) != (scale is None))
    if mode in _MODE_RANKS:
        guard(_MODE_RANKS[str(mode)] == rank and align in (None, True, False))
    else:
        guard(mode in ("nearest", "nearest-exact", "area") and align is None)
    if scale is None:
        out = int_tuple(size, len(sizes))
    else:
        scales = list(scale) if isinstance(scale, tuple | list) else [scale] * len(sizes)
        guard(len(scales) == len(sizes) and all(map(is_finite_number, scales)))
        out = tuple(math.floor(float(n) * s) for n, s in zip(sizes, scales, strict=True))  # type: ignore[operator]
    guard(min(out) > 0)
    return out


def unfold_sizes(sizes: Shape, kernel: object, dilation: object, padding: object, stride: object) -> tuple[int, int]:
    """Return (elements of a window, number of windows) of torch.nn.functional.unfold on an image."""
    kernel = int_tuple(kernel, 2)
    return math.prod(kernel), math.prod(conv_sizes(sizes, kernel, stride, padding, dilation))


def cat_shape(shapes: Sequence[Shape], dim: object) -> Shape:
    """Return the shape of torch.cat; the inputs must be equal in all other axes."""
    guard(shapes and len(shapes[0]) > 0)
    place = axis_index(dim, len(shapes[0]))
    guard(len({len(shape) for shape in shapes}) == 1 and not differing_other_axes(shapes, place))
    return concat_shape(shapes, place)


def arange_length(bounds: tuple[object, ...], step: object) -> int:
    """Return the number of entries of torch.arange over integers."""
    guard(len(bounds) in (1, 2) and all(map(is_int, (*bounds, step))) and step)
    start, end = bounds if len(bounds) == 2 else (0, bounds[0])
    count = -((start - end) // step)  # type: ignore[operator]
    if count < 0:
        raise NoRule
    return count
