"""Help for attention that failed because batch and length are in another order."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ops.sequence_order import ATTENTION_CLASS, OrderProblem, find_mask_problem, find_order_problem
from archscope.trace import Failure, Location, Trace

ATTENTION_FUNCTION = "multi_head_attention_forward"
ATTENTION_MAKERS = ("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer")
"""Modules of torch that make attention layers and pass them their own `batch_first`."""
MASKED_MODULES = (*ATTENTION_MAKERS, "TransformerEncoder", "TransformerDecoder")
"""Modules that pass masks to attention layers."""


def find_misread(failure: Failure) -> OrderProblem | None:
    """Return the reading of the sequence axes that made attention fail; None if it failed for another reason."""
    operands, path = failure.operands, failure.site.path
    if failure.site.name != ATTENTION_CLASS or not failure.function.endswith(ATTENTION_FUNCTION) or len(operands) < 3:
        return None
    turned = operands[0].source == path  # the layer has transposed them itself, to length first
    query, key = (operand.value.shape for operand in operands[:2])
    if turned:
        query, key = _swap_first_axes(query), _swap_first_axes(key)
    others = [operand for operand in operands[3:] if not operand.source.startswith(f"{path}.")]
    masks = [operand.value.shape for operand in others if len(operand.value.shape) == 2]
    named = {name: operand.value.shape for name, operand in failure.named_operands}
    heads = failure.int_arguments[1] if len(failure.int_arguments) > 1 else 0
    return find_order_problem(query, key, masks, batch_first=turned) or find_mask_problem(
        query, key, named, heads, batch_first=turned
    )


def _swap_first_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[1], shape[0], *shape[2:]) if len(shape) == 3 else shape


MASK_PREFIXES = {"multihead_attn": "memory_", "encoder": "src_", "decoder": "tgt_"}
"""Name of an attention layer, or of the stack around it → prefix of its mask arguments in the outer module."""
STACK_PREFIXES = {"TransformerEncoderLayer": "src_", "TransformerEncoder": "src_"}
"""Stacks with masks of one sequence; masks of all others are those of the target."""


def mask_argument(mask: str, failure: Failure, trace: Trace) -> tuple[str, Location]:
    """Return the name of a mask where the model's code passes it, and the module that takes it: the outermost one of
    torch.
    """
    site = outermost_module(failure, trace)
    if site is failure.site:
        return mask, site
    inside = failure.site.path.removeprefix(f"{site.path}.").split(".")
    known = (MASK_PREFIXES[name] for name in (inside[-1], inside[0]) if name in MASK_PREFIXES)
    prefix = STACK_PREFIXES.get(site.name) or next(known, "tgt_")
    if mask == "attn_mask":
        return ("mask" if site.name == "TransformerEncoder" else f"{prefix}mask"), site
    return f"{prefix}key_padding_mask", site


def outermost_module(failure: Failure, trace: Trace, kinds: Sequence[str] = MASKED_MODULES) -> Location:
    """Return the outermost module of torch that made an attention layer, or the layer itself."""
    path = failure.site.path
    around = [
        call.site
        for call in trace.calls
        if call.site.name in kinds and (path.startswith(f"{call.site.path}.") or not call.site.path)
    ]
    return min(around, key=lambda site: len(site.path), default=failure.site)


def misread_help(found: OrderProblem, failure: Failure, trace: Trace) -> str:
    """Return the layer whose argument sets the order: the one that made the attention layer, if it is one of torch."""
    if found.repeats:
        return f"repeat_interleave({found.repeats}, dim=0) gives each of its {found.repeats} heads an example's mask"
    if found.mask:
        name, site = mask_argument(found.mask, failure, trace)
        return f"{name} of the {site.name} `{site.path}` takes this mask" if site.path else f"{name} takes this mask"
    if found.batch_first is None:
        return found.help
    site = outermost_module(failure, trace, ATTENTION_MAKERS)
    return f"{found.help} in " + (f"`{site.path}`" if site is failure.site else f"the {site.name} `{site.path}`")
