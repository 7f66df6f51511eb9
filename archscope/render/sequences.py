"""Attention that failed since batch and length stand in another order: a Failure → what to say of it."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.sequence_order import ATTENTION, Misread, misplaced, misread
from archscope.trace import Failure, Site, Trace

FUNCTION = "multi_head_attention_forward"
MAKERS = ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
"""Modules of torch's that make attention, and hand it their own `batch_first`."""
HOLDERS = (*MAKERS, "TransformerEncoder", "TransformerDecoder")
"""Those that hand it masks."""


def misread_by(failure: Failure) -> Misread | None:
    """What attention has taken the axes of its sequences for, where that is why it failed."""
    operands, path = failure.operands, failure.site.path
    if failure.site.name != ATTENTION or not failure.function.endswith(FUNCTION) or len(operands) < 3:
        return None
    turned = operands[0].source == path  # the layer has turned them itself, to have lengths first
    query, key = (_turned(one.value.shape) if turned else one.value.shape for one in operands[:2])
    others = [one for one in operands[3:] if not one.source.startswith(f"{path}.")]
    masks = [one.value.shape for one in others if len(one.value.shape) == 2]
    named = {name: one.value.shape for name, one in failure.named}
    heads = failure.numbers[1] if len(failure.numbers) > 1 else 0
    return misread(query, key, masks, batch_first=turned) or misplaced(query, key, named, heads, batch_first=turned)


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[1], shape[0], *shape[2:]) if len(shape) == 3 else shape


PREFIXES = {"multihead_attn": "memory_", "encoder": "src_", "decoder": "tgt_"}
"""What an attention, or the stack that it stands in, is called → how the masks of it are called further out."""
STACKS = {"TransformerEncoderLayer": "src_", "TransformerEncoder": "src_"}
"""Holders whose masks are of one sequence; of all others they are those of the target."""


def argument_for(mask: str, failure: Failure, trace: Trace) -> tuple[str, Site]:
    """What a mask is called where the author gives it, and the module that takes it: the outermost of torch's."""
    site = holder_of(failure, trace)
    if site is failure.site:
        return mask, site
    inside = failure.site.path.removeprefix(f"{site.path}.").split(".")
    known = (PREFIXES[name] for name in (inside[-1], inside[0]) if name in PREFIXES)
    prefix = STACKS.get(site.name) or next(known, "tgt_")
    if mask == "attn_mask":
        return ("mask" if site.name == "TransformerEncoder" else f"{prefix}mask"), site
    return f"{prefix}key_padding_mask", site


def holder_of(failure: Failure, trace: Trace, kinds: Sequence[str] = HOLDERS) -> Site:
    """The outermost module of torch's that has made an attention, or the attention itself."""
    path = failure.site.path
    around = [
        call.site
        for call in trace.calls
        if call.site.name in kinds and (path.startswith(f"{call.site.path}.") or not call.site.path)
    ]
    return min(around, key=lambda one: len(one.path), default=failure.site)


def cure_of(found: Misread, failure: Failure, trace: Trace) -> str:
    """Which layer is to be told the order: the one that has made the attention, if that is one of torch's."""
    if found.repeated:
        return f"repeat_interleave({found.repeated}, dim=0) gives each of its {found.repeated} heads an example's mask"
    if found.mask:
        name, site = argument_for(found.mask, failure, trace)
        return f"{name} of the {site.name} `{site.path}` takes this mask" if site.path else f"{name} takes this mask"
    if found.batch_first is None:
        return found.cure
    site = holder_of(failure, trace, MAKERS)
    return f"{found.cure} in " + (f"`{site.path}`" if site is failure.site else f"the {site.name} `{site.path}`")
