"""Results on the meta device, computed from shapes, for functions that torch decomposes there step by step.

    batch_norm, linear, lstm, gru, rnn on meta tensors → empty results of the right shapes; None: let torch run

On meta, torch needs seconds for an LSTM over 400 steps, as long for a batch norm as for ten convolutions, and three
milliseconds for a linear layer or a ReLU. Tests compare these results with torch's own. Fused attention is run there as
another device would run it, so that its memory is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch._C import _functorch as transforms
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode

from archscope.record.op_call import tensors_in
from archscope.record.override_queries import patched_attribute

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


# ------------------------------------------------------------ fused attention
MAX_STAND_IN_LENGTH = 16
"""The largest number of queries and keys of a stand-in."""

sdpa = functional.scaled_dot_product_attention
SDPA_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


class FusedAttentionMode(TorchFunctionMode):
    """A function mode that runs attention on meta by a fused kernel if `device` would."""

    def __init__(self, device: str):
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is sdpa:
            return self.attend(*args, **kwargs)
        if func is functional.multi_head_attention_forward:  # a mode does not see the calls inside this function
            with patched_attribute(functional, sdpa.__name__, self.attend):
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    def attend(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the result of attention, from a fused kernel if `device` has one for these arguments."""
        arguments = {**dict(zip(SDPA_ARGUMENTS, args, strict=False)), **kwargs}
        fuses = arguments["query"].is_meta and has_fused_kernel(arguments, self._device)
        return fused_attention(arguments) if fuses else sdpa(*args, **kwargs)


def fused_attention(arguments: dict[str, Any]) -> torch.Tensor:
    """Return the result of the CPU's fused kernel, which has forward and backward shapes on meta.

    What it allocates is as large as with other fused kernels: the result, and a number for each query of each head. Its
    heads have one size only: if that of the values differs, the smaller ones are padded. Operands without a batch get
    one, as torch 2.15 does for the CPU.
    """
    run: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    mask, scale, last = arguments.get("attn_mask"), arguments.get("scale"), arguments["value"].shape[-1]
    size = max(last, arguments["query"].shape[-1])
    operands = [padded(arguments[name], size) for name in SDPA_ARGUMENTS[:3]]
    has_batch = operands[0].dim() > 3
    if not has_batch:
        operands = [operand.unsqueeze(0) for operand in operands]
    output, _ = run(*operands, 0.0, bool(arguments.get("is_causal")), attn_mask=mask, scale=scale)
    output = output if has_batch else output.squeeze(0)
    return output if last == size else output[..., :last]


def padded(tensor: torch.Tensor, size: int) -> torch.Tensor:
    return tensor if tensor.shape[-1] == size else functional.pad(tensor, (0, size - tensor.shape[-1]))


def has_fused_kernel(arguments: dict[str, Any], device: str) -> bool:
    """Return whether a device has a fused kernel for a call."""
    mask = arguments.get("attn_mask")
    options: dict[str, Any] = {
        "dropout_p": arguments.get("dropout_p") or 0.0,
        "is_causal": bool(arguments.get("is_causal")),
    }
    options |= {"scale": arguments.get("scale"), "enable_gqa": bool(arguments.get("enable_gqa"))}
    with torch._C.DisableTorchFunction():
        query, key, value = (
            stand_in(arguments[name], device, arguments[name].shape[-1]) for name in ("query", "key", "value")
        )
        try:
            chosen = torch._fused_sdp_choice(
                query, key, value, None if mask is None else stand_in(mask, device, MAX_STAND_IN_LENGTH), **options
            )
        except RuntimeError:  # operands that do not fit: the call itself will raise
            return False
    return chosen != SDPBackend.MATH.value


def stand_in(tensor: torch.Tensor, device: str, last: int) -> torch.Tensor:
    """Return a stand-in of one example: as many heads of the same size, contiguous along the last axis or not, as the
    tensor is; the last axis is at most `last` long."""
    sizes = [1] * len(tensor.shape[:-3]) + [*tensor.shape[-3:]]
    sizes[-2:] = [min(sizes[-2], MAX_STAND_IN_LENGTH), min(sizes[-1], last)] if len(sizes) > 1 else sizes[-2:]
    step = 1 if tensor.stride(-1) == 1 else 2
    stand_in_tensor = torch.empty(*sizes[:-1], step * sizes[-1], dtype=tensor.dtype, device=device)[..., ::step]
    return stand_in_tensor.requires_grad_(tensor.requires_grad)


def attention_fused_as(device: str) -> AbstractContextManager[object]:
    """Inside, attention on meta is fused if `device` would fuse it; with an empty name, nothing is changed."""
    return FusedAttentionMode(device) if device else nullcontext()
