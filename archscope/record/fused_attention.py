"""Fused attention on the meta device, as another device would run it, so that its memory is predicted.

meta decomposes attention and stores the scores of every head; a fused kernel stores only one number for each query.
torch is asked whether a device would fuse a call, with short stand-in tensors on that device.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode

from archscope.record.override_queries import patched_attribute

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
