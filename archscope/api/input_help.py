"""An input whose numbers a layer cannot read → how to give another: a Failure and how the input was given → a help.

Embedding and 1×12 float32 → input=("int64", (1, 12))        Conv2d of float32 and float16 → input=(1, 3, 32, 32)
"""

from __future__ import annotations

from archscope.checks.conflicts.refused_calls import RefusedCall, explain_refusal
from archscope.trace import Operand, Trace

FLOAT_DTYPES = ("float32", "float64", "float16", "bfloat16")


def input_dtype_help(trace: Trace, *, made: bool, live: bool) -> str:
    """What gives the layer that ended a run numbers that it reads; empty where that was not for an input's numbers.

    made: whether the inputs were made of shapes. live: whether the module is the caller's.
    """
    refusal = explain_refusal(trace)
    if refusal is None or not refusal.wanted or trace.failure is None:
        return ""
    given = trace.failure.operands[0]
    if given.value.id not in {one.value.id for one in trace.inputs}:
        return ""
    if not made:
        return "" if refusal.rows else f"{given.source}.to(torch.{refusal.wanted})"
    if refusal.wanted in FLOAT_DTYPES:
        return float_dtype_help(trace, given, refusal.wanted, live=live)
    what = f"holds numbers from 0 to {refusal.rows - 1}" if refusal.rows else "holds whole numbers"
    return f"{input_option_help(trace, given, refusal)} {what}"


def input_option_help(trace: Trace, given: Operand, refusal: RefusedCall) -> str:
    """`input=("int64", (1, 12), (0, 100))`; of one of several inputs by its name."""
    reach = f", (0, {refusal.rows})" if refusal.rows else ""
    whole = f'("{refusal.wanted}", {given.value.shape}{reach})'
    return f"input={whole}" if len(trace.inputs) == 1 else f"{given.source} as {whole}"


def float_dtype_help(trace: Trace, given: Operand, wanted: str, *, live: bool) -> str:
    """An input in the dtype of the weights, or weights in that of the input."""
    alone = f"input={given.value.shape}" if len(trace.inputs) == 1 else f"{given.source} as its sizes alone"
    cures = [f"{alone} is made in {wanted}"] if trace.dtype == wanted else []
    if given.value.dtype in FLOAT_DTYPES:
        own = f"model.to(torch.{given.value.dtype})" if live else f'dtype="{given.value.dtype}"'
        cures.append(f"{own} converts the weights")
    return ", or ".join(cures)
