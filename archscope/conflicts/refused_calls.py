"""Explanations of calls that torch rejected because of their operands' shapes or dtypes: a Failure → RefusedCall or
None.

losses that need a class for each place, or a target of the input's shape; norms of a single value; attention with wrong
sizes of keys or values; dimensions that do not exist, permutations of another number of them; embeddings of floats, or
of indices beyond their rows; operands of another dtype than the weights
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.conflicts.size_constraints import norm_refused_operand
from archscope.ops.shape_errors import drop_ones
from archscope.trace import Failure, Operand, Shape, Trace

INDEX_DTYPES = ("int64", "int32")
OUT_OF_RANGE_MESSAGE = re.compile("index out of range|not in the valid range")
DTYPE_MESSAGE = re.compile("same dtype|same datatype|should be the same|scalar type|not match weight dtype|promoting")
"""Parts of torch's messages about indices beyond a table, and about dtypes that differ."""


@dataclass(frozen=True)
class RefusedCall:
    """An explanation of a rejected call: the fact, the fix, and the class of the cause.

    wanted: the dtype that an operand should have. rows: the number of rows of a table.
    """

    fact: str
    help: str
    cause: str = ""
    wanted: str = ""
    rows: int = 0


def explain_refusal(trace: Trace) -> RefusedCall | None:
    """Return why the call that ended a run was rejected, as far as its shapes show; None if unknown."""
    failure = trace.failure
    if failure is None or failure.backward:
        return None
    if (lone := norm_refused_operand(trace)) is not None:
        fact = f"{layer_name(failure)} needs more than one value of each channel to train, its input {lone.value.shape}"
        return RefusedCall(f"{fact} has one", "a larger input, or less pooling before it", "input-size")
    rule = REFUSAL_RULES.get(failure.function.rpartition(".")[2])
    explanation = rule(failure) if rule is not None and len(failure.operands) > 1 else None
    return explanation or explain_dimension(failure) or explain_weight_dtype(failure)


def layer_name(failure: Failure) -> str:
    return failure.site.name if failure.site.kind == "layer" else failure.function.rpartition(".")[2]


def explain_elementwise_loss(failure: Failure) -> RefusedCall | None:
    """Explain a loss whose target must have the shape of its input."""
    given, target = operand_shapes(failure.operands[:2])
    if given == target:
        return None
    fact = f"{layer_name(failure)} wants a target of the input's shape, {given}; it is {target}"
    alike = drop_ones(given) == drop_ones(target)
    squeezed = "squeeze or unsqueeze one of them: they differ in axes of size 1 only"
    return RefusedCall(fact, squeezed if alike else "give both the same shape", "layout" if alike else "channels")


def explain_class_loss(failure: Failure) -> RefusedCall | None:
    """Explain a loss over classes: logits (N, C, …), a class for each place (N, …)."""
    logits, target = operand_shapes(failure.operands[:2])
    wanted = (*logits[:1], *logits[2:]) if len(logits) > 1 else ()
    if not wanted or target in (wanted, logits):
        return None
    fact = f"{layer_name(failure)} of logits {logits}, which are (N, C, …), wants a target {wanted}; it is {target}"
    if len(target) == len(logits) and sorted(drop_ones(target)) == sorted(drop_ones(wanted)):
        return RefusedCall(fact, "squeeze the axis of size 1 of the target", "layout")
    last = len(logits) > 2 and target == logits[:-1]
    order = ", ".join(map(str, (0, len(logits) - 1, *range(1, len(logits) - 1))))
    moved = f"the classes come last: permute({order}) before it brings them to dimension 1"
    return RefusedCall(
        fact, moved if last else "give each place of the logits one class", "layout" if last else "channels"
    )


def explain_attention(failure: Failure) -> RefusedCall | None:
    """Explain attention whose keys or values have another number of features than its arguments state."""
    given = {operand.source.rpartition(".")[2]: operand.value.shape for operand in failure.operands[3:]}
    for word, operand in zip(("embed_dim", "kdim", "vdim"), failure.operands[:3], strict=False):
        own = {"embed_dim": "q", "kdim": "k", "vdim": "v"}[word] + "_proj_weight"
        weight = given.get(own, given.get("in_proj_weight"))
        features = operand.value.shape[-1] if operand.value.shape else 0
        if weight is not None and len(weight) == 2 and weight[1] != features:
            what = {"embed_dim": "query", "kdim": "key", "vdim": "value"}[word]
            fact = f"{layer_name(failure)} says {word}={weight[1]} but its {what} has {features} features"
            help = f"{word}={features} fits it" if word != "embed_dim" else f"a query of {weight[1]} features fits it"
            return RefusedCall(fact, help, "channels")
    return None


def explain_dimension(failure: Failure) -> RefusedCall | None:
    """Explain a dimension that the operand does not have, or a permutation of more or fewer dimensions."""
    shape = failure.operands[0].value.shape if failure.operands else ()
    name, rank = failure.function.rpartition(".")[2], len(shape)
    missing = re.search(r"Dimension out of range \(expected .*, but got (-?\d+)\)", failure.message)
    if missing and rank and not -rank <= int(missing[1]) < rank:
        fact = f"{name}: there is no dimension {missing[1]} in {shape}"
        return RefusedCall(fact, f"its dimensions go from 0 to {rank - 1}", "layout")
    order = re.search(r"length of the desired ordering .*len\(dims\) = (\d+)", failure.message)
    if order and int(order[1]) != rank:
        fact = f"{name} orders {order[1]} dimensions, its input {shape} has {rank}"
        return RefusedCall(fact, f"name each dimension from 0 to {rank - 1} once", "layout")
    return None


def explain_table_lookup(failure: Failure) -> RefusedCall | None:
    """Explain a table that is indexed by floats, or by numbers beyond its rows."""
    indices, table = failure.operands[:2]
    shape = table.value.shape
    if not table.value.dtype.startswith(("float", "bfloat")) or len(shape) != 2:
        return None
    given = f"{indices.source}, {units.format_shape(indices.value.shape)} {indices.value.dtype}"
    if indices.value.dtype not in INDEX_DTYPES and "scalar type" in failure.message:
        fact = f"{layer_name(failure)} wants the numbers of its rows, int64 or int32; it is given {given}"
        return RefusedCall(fact, "whole numbers", wanted="int64")
    if OUT_OF_RANGE_MESSAGE.search(failure.message):
        rows = f"{units.format_count(shape[0])} rows, for 0 to {units.format_count(shape[0] - 1)}"
        fact = f"{layer_name(failure)} has a table of {rows}, and {indices.source} holds a number beyond them"
        help = "numbers that the table has rows for, or a larger table"
        return RefusedCall(fact, help, wanted=indices.value.dtype, rows=shape[0])
    return None


def explain_weight_dtype(failure: Failure) -> RefusedCall | None:
    """Explain a layer whose input has another dtype than all of its weights, if torch's message is about dtypes."""
    given, *others = failure.operands or (None,)
    weights = {operand.value.dtype for operand in others if operand.source.rpartition(".")[2] in ("weight", "bias")}
    if given is None or len(weights) != 1 or given.value.dtype in weights or not DTYPE_MESSAGE.search(failure.message):
        return None
    (own,) = weights
    fact = f"{layer_name(failure)} has {own} weights; it is given {given.source}, "
    return RefusedCall(
        f"{fact}{units.format_shape(given.value.shape)} {given.value.dtype}", f"bring it to {own}", wanted=own
    )


def operand_shapes(operands: Sequence[Operand]) -> list[Shape]:
    return [operand.value.shape for operand in operands]


REFUSAL_RULES: Mapping[str, Callable[[Failure], RefusedCall | None]] = {
    **dict.fromkeys(("binary_cross_entropy", "binary_cross_entropy_with_logits"), explain_elementwise_loss),
    **dict.fromkeys(("cross_entropy", "nll_loss"), explain_class_loss),
    **dict.fromkeys(("embedding", "embedding_bag"), explain_table_lookup),
    "multi_head_attention_forward": explain_attention,
}
"""Function → the rule that explains why torch rejected its operands."""
