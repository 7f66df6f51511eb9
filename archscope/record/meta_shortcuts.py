"""Results on the meta device, computed from shapes, for functions that torch decomposes there step by step.

    batch_norm, linear, lstm, gru, rnn on meta tensors → empty results of the right shapes; None: let torch run

On meta, torch needs seconds for an LSTM over 400 steps, as long for a batch norm as for ten convolutions, and three
milliseconds for a linear layer or a ReLU. Tests compare these results with torch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch._C import _functorch as transforms
from torch.autograd import forward_ad

from archscope.record.tensor_trees import tensors_in

MetaShortcut = Callable[[tuple[Any, ...], Mapping[str, Any]], Any]


def batch_norm_shortcut(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a tensor like the input if the batch norm is in eval mode and has as many channels as statistics."""
    arguments = dict(zip(("input", "running_mean", "running_var", "weight", "bias", "training"), args, strict=False))
    arguments |= kwargs
    tensor, mean = arguments["input"], arguments.get("running_mean")
    if not tensor.is_meta or arguments.get("training") or mean is None or tensor.dim() < 2:
        return None
    return torch.empty_like(tensor) if mean.shape == tensor.shape[1:2] else None


def linear(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a tensor with the weight's number of rows as its last dimension."""
    arguments = dict(zip(("input", "weight", "bias"), args, strict=False)) | dict(kwargs)
    tensor, weight, bias = arguments["input"], arguments["weight"], arguments.get("bias")
    plain = all(
        type(operand) in (torch.Tensor, torch.nn.Parameter) for operand in (tensor, weight, bias) if operand is not None
    )
    if not plain or not tensor.is_meta or not weight.is_meta:
        return None
    fits = weight.dim() == 2 and tensor.dim() > 0 and tensor.shape[-1] == weight.shape[1] and tensor.is_contiguous()
    bias_fits = bias is None or (bias.is_meta and bias.shape == weight.shape[:1])
    same_dtype = (
        len({operand.dtype for operand in (tensor, weight, bias) if operand is not None}) == 1
        and tensor.is_floating_point()
    )
    return tensor.new_empty((*tensor.shape[:-1], weight.shape[0])) if fits and bias_fits and same_dtype else None


def elementwise(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return a tensor like the only input: for element-wise functions."""
    tensor = args[0] if len(args) == 1 and kwargs.get("inplace", False) is False else None
    if type(tensor) is not torch.Tensor or not tensor.is_meta:
        return None
    return torch.empty_like(tensor) if tensor.is_floating_point() and tensor.is_contiguous() else None


def rnn_shortcut(states: int) -> MetaShortcut:
    """Return a shortcut for padded sequences: (…, hidden) for every step, and the last states."""

    def shortcut(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[torch.Tensor, ...] | None:
        if len(args) != 9 or kwargs or not isinstance(args[3], bool):  # packed sequences come with their batch sizes
            return None
        tensor, last = args[0], tuple(args[1]) if states == 2 else (args[1],)
        if not tensor.is_meta or tensor.dim() != 3:
            return None
        width = last[0].shape[-1] * (2 if args[7] else 1)
        first, second = tensor.shape[:2]
        batch_first = bool(args[8])  # torch works on (steps, batch, …) and gives a transposed view
        shape = (second, first, width) if batch_first else (first, second, width)
        out = tensor.new_empty(shape).transpose(0, 1) if batch_first else tensor.new_empty(shape)
        return (out, *(torch.empty_like(state) for state in last))

    return shortcut


def unless_differentiated(shortcut: MetaShortcut) -> MetaShortcut:
    """Return the shortcut, or None where its result would lack a derivative or an outer dimension.

    The result has no autograd history, no forward-mode tangent, and torch.func does not see how it came to be.
    """

    def answer(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if forward_ad._current_level >= 0 or transforms.maybe_current_level() is not None:
            return None
        needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors_in((args, kwargs)))
        return None if needs_gradient else shortcut(args, kwargs)

    return answer


META_SHORTCUTS: Mapping[str, MetaShortcut] = {
    "batch_norm": unless_differentiated(batch_norm_shortcut),
    **dict.fromkeys(("relu", "silu", "gelu", "sigmoid", "tanh"), unless_differentiated(elementwise)),
    "linear": unless_differentiated(linear),
    "lstm": unless_differentiated(rnn_shortcut(2)),
    **dict.fromkeys(("gru", "rnn_tanh", "rnn_relu"), unless_differentiated(rnn_shortcut(1))),
}
"""The function that computes the result on meta, by short name."""
