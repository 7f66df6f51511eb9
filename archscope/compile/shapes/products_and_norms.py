# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Shape rules of products with weights or of two tensors, and of normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from archscope.compile.shapes.guards import (
    broadcast_shapes,
    empty_contiguous,
    empty_in_layout,
    floating_dtype,
    guard,
    int_tuple,
    is_finite_number,
    is_int,
)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    floating_dtype(input, weight, bias)
    guard(weight.dim() == 2 and input.dim() > 0 and input.shape[-1] == weight.shape[1])
    guard(bias is None or bias.shape == weight.shape[:1])
    return empty_contiguous(input, (*input.shape[:-1], weight.shape[0]))


def matmul(input: Tensor, other: Tensor) -> Tensor:
    floating_dtype(input, other)
    guard(min(input.dim(), other.dim()) >= 2 and input.shape[-1] == other.shape[-2])
    return empty_contiguous(
        input, (*broadcast_shapes(input.shape[:-2], other.shape[:-2]), input.shape[-2], other.shape[-1])
    )


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    guard(input.dim() == mat2.dim() == 3 and input.shape[0] == mat2.shape[0])
    return matmul(input, mat2)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    guard(input.dim() == mat2.dim() == 2)
    return matmul(input, mat2)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    floating_dtype(input, vec2)
    guard(input.dim() == vec2.dim() == 1)
    return empty_contiguous(input, (*input.shape, *vec2.shape))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    floating_dtype(query, key, value)
    guard(query.dim() == key.dim() == value.dim() and 3 <= query.dim() <= 4)
    guard(query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2])
    guard(query.shape[0] == key.shape[0] == value.shape[0] and key.shape[:-2] == value.shape[:-2])
    grouped = enable_gqa and query.dim() == 4 and query.shape[1] % key.shape[1] == 0
    guard(grouped or query.shape[:-2] == key.shape[:-2])
    guard(is_finite_number(dropout_p) and 0 <= dropout_p <= 1 and (scale is None or is_finite_number(scale)))
    if attn_mask is not None:
        scores = (*query.shape[:-1], key.shape[-2])
        guard(not is_causal and attn_mask.dtype in (torch.bool, query.dtype) and 2 <= attn_mask.dim() <= len(scores))
        guard(broadcast_shapes(attn_mask.shape, scores) == scores)
    return empty_contiguous(query, (*query.shape[:-1], value.shape[-1]))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    guard(input.dtype in (torch.int64, torch.int32) and weight.dim() == 2 and max_norm is None)
    guard(padding_idx is None or (is_int(padding_idx) and -weight.shape[0] <= padding_idx < weight.shape[0]))
    return empty_contiguous(weight, (*input.shape, weight.shape[1]))


# ------------------------------------------------------------ normalisations
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    floating_dtype(input, weight, bias)
    shape = int_tuple(normalized_shape, len(normalized_shape))
    guard(shape and tuple(input.shape[-len(shape) :]) == shape)
    guard(all(tensor is None or tuple(tensor.shape) == shape for tensor in (weight, bias)))
    return empty_contiguous(input, input.shape)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    return layer_norm(input, normalized_shape, weight)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    floating_dtype(input, weight, bias)
    guard(input.dim() >= 2 and is_int(num_groups) and num_groups > 0 and input.shape[1] % num_groups == 0)
    guard(math.prod(input.shape) > num_groups)
    guard(all(tensor is None or tensor.shape == input.shape[1:2] for tensor in (weight, bias)))
    return empty_in_layout(input, input.shape)
