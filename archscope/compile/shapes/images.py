# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Shape rules of image functions: convolutions, pools, padding, resampling. `count` is the number of spatial axes.

The sizes of windows follow the formulas of `ops.windows`, that of resampling the Shape section of torch.nn.Upsample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from archscope.compile.shapes.guards import (
    empty_contiguous,
    empty_in_layout,
    empty_like,
    floating_dtype,
    guard,
    int_tuple,
    is_finite_number,
    is_int,
)
from archscope.ops.windows import largest_pool_padding, transposed_output_size, window_output_size
from archscope.trace import Shape

_MODE_RANKS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


# ------------------------------------------------------------ functions
def convolution(
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    groups: int = 1,
) -> Tensor:
    floating_dtype(input, weight, bias)
    guard(input.dim() == weight.dim() == count + 2 and is_int(groups) and groups > 0)
    guard(input.shape[1] == weight.shape[1] * groups and weight.shape[0] % groups == 0)
    guard(bias is None or bias.shape == weight.shape[:1])
    out = conv_sizes(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    return empty_in_layout(input, (input.shape[0], weight.shape[0], *out))


def max_pool(
    count: int,
    input: Tensor,
    kernel_size: object,
    stride: object = None,
    padding: object = 0,
    dilation: object = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    floating_dtype(input)
    guard(input.dim() == count + 2)
    out = pool_sizes(input.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    values = empty_in_layout(input, (*input.shape[:2], *out))
    return (values, empty_like(values, torch.int64)) if return_indices else values


def avg_pool(
    count: int,
    input: Tensor,
    kernel_size: object,
    stride: object = None,
    padding: object = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    floating_dtype(input)
    guard(input.dim() == count + 2 and (divisor_override is None or (is_int(divisor_override) and divisor_override)))
    guard(count < 3 or all(n >= k for n, k in zip(input.shape[2:], int_tuple(kernel_size, 3), strict=True)))
    out = pool_sizes(input.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    return empty_in_layout(input, (*input.shape[:2], *out))


def adaptive_avg_pool(count: int, input: Tensor, output_size: object) -> Tensor:
    floating_dtype(input)
    guard(input.dim() == count + 2)
    return empty_in_layout(input, (*input.shape[:2], *adaptive_sizes(input.shape[2:], output_size)))


def adaptive_max_pool(
    count: int, input: Tensor, output_size: object, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    values = adaptive_avg_pool(count, input, output_size)
    return (values, empty_like(values, torch.int64)) if return_indices else values


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    floating_dtype(input)
    guard(value is None or is_finite_number(value))
    return empty_in_layout(input, pad_shape(input.shape, pad, mode))


def interpolate(
    input: Tensor,
    size: object = None,
    scale_factor: object = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    floating_dtype(input)
    guard(not recompute_scale_factor and not antialias)
    out = interpolate_sizes(input.shape[2:], size, scale_factor, mode, align_corners)
    return empty_in_layout(input, (*input.shape[:2], *out))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    floating_dtype(input)
    guard(input.dim() >= 3 and is_int(upscale_factor) and upscale_factor > 0)
    *batch, channels, height, width = input.shape
    guard(channels % upscale_factor**2 == 0)
    out = (channels // upscale_factor**2, height * upscale_factor, width * upscale_factor)
    return empty_contiguous(input, (*batch, *out))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    floating_dtype(input)
    guard(input.dim() >= 3 and is_int(downscale_factor) and downscale_factor > 0)
    *batch, channels, height, width = input.shape
    guard(height % downscale_factor == 0 and width % downscale_factor == 0)
    out = (channels * downscale_factor**2, height // downscale_factor, width // downscale_factor)
    return empty_contiguous(input, (*batch, *out))


def unfold(input: Tensor, kernel_size: object, dilation: object = 1, padding: object = 0, stride: object = 1) -> Tensor:
    floating_dtype(input)
    guard(input.dim() == 4 and padding not in ("same", "valid"))
    window, count = unfold_sizes(input.shape[2:], kernel_size, dilation, padding, stride)
    return empty_contiguous(input, (input.shape[0], input.shape[1] * window, count))


# ------------------------------------------------------------ sizes along the spatial axes
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
