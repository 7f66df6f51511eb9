# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Shape rules of image functions: convolutions, pools, padding, resampling. `count` is the number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from archscope.compile.shapes import window_sizes
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
    out = window_sizes.conv_sizes(input.shape[2:], weight.shape[2:], stride, padding, dilation)
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
    out = window_sizes.pool_sizes(input.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
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
    out = window_sizes.pool_sizes(input.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    return empty_in_layout(input, (*input.shape[:2], *out))


def adaptive_avg_pool(count: int, input: Tensor, output_size: object) -> Tensor:
    floating_dtype(input)
    guard(input.dim() == count + 2)
    return empty_in_layout(input, (*input.shape[:2], *window_sizes.adaptive_sizes(input.shape[2:], output_size)))


def adaptive_max_pool(
    count: int, input: Tensor, output_size: object, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    values = adaptive_avg_pool(count, input, output_size)
    return (values, empty_like(values, torch.int64)) if return_indices else values


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    floating_dtype(input)
    guard(value is None or is_finite_number(value))
    return empty_in_layout(input, window_sizes.pad_shape(input.shape, pad, mode))


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
    out = window_sizes.interpolate_sizes(input.shape[2:], size, scale_factor, mode, align_corners)
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
    window, count = window_sizes.unfold_sizes(input.shape[2:], kernel_size, dilation, padding, stride)
    return empty_contiguous(input, (input.shape[0], input.shape[1] * window, count))
