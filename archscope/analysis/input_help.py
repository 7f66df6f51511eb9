"""Help for an input whose dtype or values a layer cannot read.

Embedding, given 1×12 float32          → input=("int64", (1, 12))
Conv2d of float32, given float16       → input=(1, 3, 32, 32)
"""

from __future__ import annotations

from archscope.conflicts.refused_calls import explain_refusal
from archscope.ops.dtypes import FLOAT_DTYPE_NAMES
from archscope.trace import Operand, Trace


def input_dtype_help(trace: Trace, *, made: bool, live: bool) -> str:
    """Return how to give an input that the layer which ended the run can read; "" if the run failed for another
    reason.

    made: the inputs were made from shapes. live: the module is the caller's.
    """
    refusal = explain_refusal(trace)
    if refusal is None or not refusal.wanted or trace.failure is None:
        return ""
    given = trace.failure.operands[0]
    if given.value.id not in {operand.value.id for operand in trace.inputs}:
        return ""
    if not made:
        return "" if refusal.rows else f"{given.source}.to(torch.{refusal.wanted})"
    if refusal.wanted in FLOAT_DTYPE_NAMES:
        return float_dtype_help(trace, given, refusal.wanted, live=live)
    bounds = f", (0, {refusal.rows})" if refusal.rows else ""
    value = f'("{refusal.wanted}", {given.value.shape}{bounds})'
    option = f"input={value}" if len(trace.inputs) == 1 else f"{given.source} as {value}"
    contents = f"numbers from 0 to {refusal.rows - 1}" if refusal.rows else "whole numbers"
    return f"{option} holds {contents}"


def float_dtype_help(trace: Trace, given: Operand, wanted: str, *, live: bool) -> str:
    """Return the help to give the input in the dtype of the weights, or the weights in that of the input."""
    alone = f"input={given.value.shape}" if len(trace.inputs) == 1 else f"{given.source} as its sizes alone"
    options = [f"{alone} is made in {wanted}"] if trace.dtype == wanted else []
    if given.value.dtype in FLOAT_DTYPE_NAMES:
        own = f"model.to(torch.{given.value.dtype})" if live else f'dtype="{given.value.dtype}"'
        options.append(f"{own} converts the weights")
    return ", or ".join(options)
