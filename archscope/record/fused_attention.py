"""Attention on meta as another device has it: fused, where that device fuses it, so that its memory is predicted.

meta takes attention apart, and has the scores of every head at once; a fused kernel has none of them, and keeps a
number for each query. Whether a device fuses a call, torch says of stand-ins there with few queries.
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
"""Queries and keys of a stand-in, at most."""

sdpa = functional.scaled_dot_product_attention
SDPA_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


class FusedAttentionMode(TorchFunctionMode):
    """Answers attention on meta by a fused kernel, where `device` would."""

    def __init__(self, device: str):
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is sdpa:
            return self.attend(*args, **kwargs)
        if func is functional.multi_head_attention_forward:  # inside of a function no mode sees what it calls
            with patched_attribute(functional, sdpa.__name__, self.attend):
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    def attend(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What attention gives."""
        told = {**dict(zip(SDPA_ARGUMENTS, args, strict=False)), **kwargs}
        fuses = told["query"].is_meta and has_fused_kernel(told, self._device)
        return fused_attention(told) if fuses else sdpa(*args, **kwargs)


def fused_attention(told: dict[str, Any]) -> torch.Tensor:
    """By the kernel of a processor, which has shapes on meta, forward and backward. What it makes is as large as what
    others make: the result, and a number for each query of each head. It knows one size of heads only: where values
    have another, the smaller ones are filled up."""
    run: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    mask, scale, last = told.get("attn_mask"), told.get("scale"), told["value"].shape[-1]
    size = max(last, told["query"].shape[-1])
    operands = [widened(told[name], size) for name in SDPA_ARGUMENTS[:3]]
    output, _ = run(*operands, 0.0, bool(told.get("is_causal")), attn_mask=mask, scale=scale)
    return output if last == size else output[..., :last]


def widened(tensor: torch.Tensor, size: int) -> torch.Tensor:
    return tensor if tensor.shape[-1] == size else functional.pad(tensor, (0, size - tensor.shape[-1]))


def has_fused_kernel(told: dict[str, Any], device: str) -> bool:
    """Whether a device has a fused kernel for a call."""
    mask = told.get("attn_mask")
    how: dict[str, Any] = {"dropout_p": told.get("dropout_p") or 0.0, "is_causal": bool(told.get("is_causal"))}
    how |= {"scale": told.get("scale"), "enable_gqa": bool(told.get("enable_gqa"))}
    with torch._C.DisableTorchFunction():
        query, key, value = (stand_in(told[name], device, told[name].shape[-1]) for name in ("query", "key", "value"))
        try:
            chosen = torch._fused_sdp_choice(
                query, key, value, None if mask is None else stand_in(mask, device, MAX_STAND_IN_LENGTH), **how
            )
        except RuntimeError:  # operands that do not fit, which the call itself will say
            return False
    return chosen != SDPBackend.MATH.value


def stand_in(tensor: torch.Tensor, device: str, last: int) -> torch.Tensor:
    """A stand-in of one example: as many heads of the same size, laid out alike along the last axis, which is at most
    so long."""
    sizes = [1] * len(tensor.shape[:-3]) + [*tensor.shape[-3:]]
    sizes[-2:] = [min(sizes[-2], MAX_STAND_IN_LENGTH), min(sizes[-1], last)] if len(sizes) > 1 else sizes[-2:]
    step = 1 if tensor.stride(-1) == 1 else 2
    made = torch.empty(*sizes[:-1], step * sizes[-1], dtype=tensor.dtype, device=device)[..., ::step]
    return made.requires_grad_(tensor.requires_grad)


def attention_fused_as(device: str) -> AbstractContextManager[object]:
    """Inside, attention on meta is fused where a device would fuse it; with an empty name, nothing is changed."""
    return FusedAttentionMode(device) if device else nullcontext()
