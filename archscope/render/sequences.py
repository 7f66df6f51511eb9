"""Attention that failed since batch and length stand in another order: a Failure → what to say of it."""

from __future__ import annotations

from archscope.sequence_order import ATTENTION, Misread, misread
from archscope.trace import Failure, Trace

FUNCTION = "multi_head_attention_forward"
HOLDERS = ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
"""Modules of torch's that make attention, and hand it their own `batch_first`."""


def misread_by(failure: Failure) -> Misread | None:
    """What attention has taken the axes of its sequences for, where that is why it failed."""
    operands, path = failure.operands, failure.site.path
    if failure.site.name != ATTENTION or not failure.function.endswith(FUNCTION) or len(operands) < 3:
        return None
    turned = operands[0].source == path  # the layer has turned them itself, to have lengths first
    query, key = (_turned(one.value.shape) if turned else one.value.shape for one in operands[:2])
    others = [one for one in operands[3:] if not one.source.startswith(f"{path}.")]
    masks = [one.value.shape for one in others if len(one.value.shape) == 2]
    return misread(query, key, masks, batch_first=turned)


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[1], shape[0], *shape[2:]) if len(shape) == 3 else shape


def cure_of(found: Misread, failure: Failure, trace: Trace) -> str:
    """Which layer is to be told the order: the one that has made the attention, if that is one of torch's."""
    if found.batch_first is None:
        return found.cure
    path = failure.site.path
    around = [call.site for call in trace.calls if call.site.name in HOLDERS and path.startswith(f"{call.site.path}.")]
    site = min(around, key=lambda one: len(one.path), default=failure.site)
    return f"{found.cure} in " + (f"`{site.path}`" if site is failure.site else f"the {site.name} `{site.path}`")
