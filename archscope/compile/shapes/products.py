# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Rules of functions that multiply with weights or each other, and of normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from archscope.compile.shapes.certain import broadcast, floating, following, ints, is_int, is_number, made, sure


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    floating(input, weight, bias)
    sure(weight.dim() == 2 and input.dim() > 0 and input.shape[-1] == weight.shape[1])
    sure(bias is None or bias.shape == weight.shape[:1])
    return made(input, (*input.shape[:-1], weight.shape[0]))


def matmul(input: Tensor, other: Tensor) -> Tensor:
    floating(input, other)
    sure(min(input.dim(), other.dim()) >= 2 and input.shape[-1] == other.shape[-2])
    return made(input, (*broadcast(input.shape[:-2], other.shape[:-2]), input.shape[-2], other.shape[-1]))


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    sure(input.dim() == mat2.dim() == 3 and input.shape[0] == mat2.shape[0])
    return matmul(input, mat2)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    sure(input.dim() == mat2.dim() == 2)
    return matmul(input, mat2)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    floating(input, vec2)
    sure(input.dim() == vec2.dim() == 1)
    return made(input, (*input.shape, *vec2.shape))


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
    floating(query, key, value)
    sure(query.dim() == key.dim() == value.dim() and 3 <= query.dim() <= 4)
    sure(query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2])
    sure(query.shape[0] == key.shape[0] == value.shape[0] and key.shape[:-2] == value.shape[:-2])
    grouped = enable_gqa and query.dim() == 4 and query.shape[1] % key.shape[1] == 0
    sure(grouped or query.shape[:-2] == key.shape[:-2])
    sure(is_number(dropout_p) and 0 <= dropout_p <= 1 and (scale is None or is_number(scale)))
    _sure_of_mask(attn_mask, query, (*query.shape[:-1], key.shape[-2]), is_causal)
    return made(query, (*query.shape[:-1], value.shape[-1]))


def _sure_of_mask(mask: Tensor | None, query: Tensor, scores: tuple[int, ...], is_causal: bool) -> None:
    if mask is not None:
        sure(not is_causal and mask.dtype in (torch.bool, query.dtype) and 2 <= mask.dim() <= len(scores))
        sure(broadcast(mask.shape, scores) == scores)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    sure(input.dtype in (torch.int64, torch.int32) and weight.dim() == 2 and max_norm is None)
    sure(padding_idx is None or (is_int(padding_idx) and -weight.shape[0] <= padding_idx < weight.shape[0]))
    return made(weight, (*input.shape, weight.shape[1]))


# Normalisations.


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    floating(input, weight, bias)
    shape = ints(normalized_shape, len(normalized_shape))
    sure(shape and tuple(input.shape[-len(shape) :]) == shape)
    sure(all(tensor is None or tuple(tensor.shape) == shape for tensor in (weight, bias)))
    return made(input, input.shape)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    return layer_norm(input, normalized_shape, weight)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    floating(input, weight, bias)
    sure(input.dim() >= 2 and is_int(num_groups) and num_groups > 0 and input.shape[1] % num_groups == 0)
    sure(math.prod(input.shape) > num_groups)
    sure(all(tensor is None or tensor.shape == input.shape[1:2] for tensor in (weight, bias)))
    return following(input, input.shape)
