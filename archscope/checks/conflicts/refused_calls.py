"""Calls that torch refused for the shapes of their operands, in our words: a Failure → RefusedCall; None for others.

losses that want a class for each place, or a target of the input's shape; norms of one value; attention told another
size of keys or values; dimensions that are not there, permutations of another number of them; tables that are looked up
by floats, or by numbers beyond their rows; operands of another dtype than the weights
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.checks.conflicts.size_constraints import norm_refused_operand
from archscope.trace import Failure, Operand, Shape, Trace

INDEX_DTYPES = ("int64", "int32")
OUT_OF_RANGE_MESSAGE = re.compile("index out of range|not in the valid range")
DTYPE_MESSAGE = re.compile("same dtype|same datatype|should be the same|scalar type|not match weight dtype|promoting")
"""What torch says of numbers beyond a table, and of dtypes that differ."""


@dataclass(frozen=True)
class RefusedCall:
    """What does not fit, what would, and the class of the cause of shapes that do not fit.

    wanted: of an operand whose numbers do not fit, the dtype that would; rows: of a table, for how many numbers it has
    one.
    """

    fact: str
    help: str
    cause: str = ""
    wanted: str = ""
    rows: int = 0


def explain_refusal(trace: Trace) -> RefusedCall | None:
    """Why the call that ended a run was refused, as far as its shapes tell."""
    failure = trace.failure
    if failure is None or failure.backward:
        return None
    if (lone := norm_refused_operand(trace)) is not None:
        fact = f"{layer_name(failure)} needs more than one value of each channel to train, its input {lone.value.shape}"
        return RefusedCall(f"{fact} has one", "a larger input, or less pooling before it", "input-size")
    rule = REFUSAL_RULES.get(failure.function.rpartition(".")[2])
    told = rule(failure) if rule is not None and len(failure.operands) > 1 else None
    return told or explain_dimension(failure) or explain_weight_dtype(failure)


def layer_name(failure: Failure) -> str:
    return failure.site.name if failure.site.kind == "layer" else failure.function.rpartition(".")[2]


def explain_elementwise_loss(failure: Failure) -> RefusedCall | None:
    """A loss whose target must have the shape of its input."""
    given, target = operand_shapes(failure.operands[:2])
    if given == target:
        return None
    fact = f"{layer_name(failure)} wants a target of the input's shape, {given}; it is {target}"
    alike = drop_ones(given) == drop_ones(target)
    squeezed = "squeeze or unsqueeze one of them: they differ in axes of size 1 only"
    return RefusedCall(fact, squeezed if alike else "bring both to one shape", "layout" if alike else "channels")


def explain_class_loss(failure: Failure) -> RefusedCall | None:
    """A loss over classes: logits (N, C, …), a class for each place (N, …)."""
    logits, target = operand_shapes(failure.operands[:2])
    wanted = (*logits[:1], *logits[2:]) if len(logits) > 1 else ()
    if not wanted or target in (wanted, logits):
        return None
    fact = f"{layer_name(failure)} of logits {logits}, which are (N, C, …), wants a target {wanted}; it is {target}"
    if len(target) == len(logits) and sorted(drop_ones(target)) == sorted(drop_ones(wanted)):
        return RefusedCall(fact, "squeeze the axis of size 1 of the target", "layout")
    last = len(logits) > 2 and target == logits[:-1]
    order = ", ".join(map(str, (0, len(logits) - 1, *range(1, len(logits) - 1))))
    moved = f"the classes stand last: permute({order}) before it brings them to dimension 1"
    return RefusedCall(
        fact, moved if last else "give each place of the logits one class", "layout" if last else "channels"
    )


def explain_attention(failure: Failure) -> RefusedCall | None:
    """Attention whose keys or values have another number of features than it was told."""
    given = {one.source.rpartition(".")[2]: one.value.shape for one in failure.operands[3:]}
    for word, operand in zip(("embed_dim", "kdim", "vdim"), failure.operands[:3], strict=False):
        own = {"embed_dim": "q", "kdim": "k", "vdim": "v"}[word] + "_proj_weight"
        weight = given.get(own, given.get("in_proj_weight"))
        has = operand.value.shape[-1] if operand.value.shape else 0
        if weight is not None and len(weight) == 2 and weight[1] != has:
            what = {"embed_dim": "query", "kdim": "key", "vdim": "value"}[word]
            fact = f"{layer_name(failure)} says {word}={weight[1]} but its {what} has {has} features"
            cure = f"{word}={has} fits it" if word != "embed_dim" else f"a query of {weight[1]} features fits it"
            return RefusedCall(fact, cure, "channels")
    return None


def explain_dimension(failure: Failure) -> RefusedCall | None:
    """A function that was told a dimension which its operand does not have, or an order of more or fewer of them."""
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
    """A table that is looked up by floats, or by numbers that it has no rows for."""
    indices, table = failure.operands[:2]
    shape = table.value.shape
    if not is_float_dtype(table.value.dtype) or len(shape) != 2:
        return None
    given = f"{indices.source}, {units.format_shape(indices.value.shape)} {indices.value.dtype}"
    if indices.value.dtype not in INDEX_DTYPES and "scalar type" in failure.message:
        fact = f"{layer_name(failure)} wants the numbers of its rows, int64 or int32; it is given {given}"
        return RefusedCall(fact, "whole numbers", wanted="int64")
    if OUT_OF_RANGE_MESSAGE.search(failure.message):
        rows = f"{units.format_count(shape[0])} rows, for 0 to {units.format_count(shape[0] - 1)}"
        fact = f"{layer_name(failure)} has a table of {rows}, and {indices.source} holds a number beyond them"
        cure = "numbers that the table has rows for, or a larger table"
        return RefusedCall(fact, cure, wanted=indices.value.dtype, rows=shape[0])
    return None


def explain_weight_dtype(failure: Failure) -> RefusedCall | None:
    """A layer whose input has another dtype than all of its weights, where torch says that it is for their types."""
    given, *others = failure.operands or (None,)
    weights = {one.value.dtype for one in others if one.source.rpartition(".")[2] in ("weight", "bias")}
    if given is None or len(weights) != 1 or given.value.dtype in weights or not DTYPE_MESSAGE.search(failure.message):
        return None
    (own,) = weights
    fact = f"{layer_name(failure)} has {own} weights; it is given {given.source}, "
    return RefusedCall(
        f"{fact}{units.format_shape(given.value.shape)} {given.value.dtype}", f"bring it to {own}", wanted=own
    )


def is_float_dtype(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


def operand_shapes(operands: Sequence[Operand]) -> list[Shape]:
    return [operand.value.shape for operand in operands]


def drop_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


REFUSAL_RULES: Mapping[str, Callable[[Failure], RefusedCall | None]] = {
    **dict.fromkeys(("binary_cross_entropy", "binary_cross_entropy_with_logits"), explain_elementwise_loss),
    **dict.fromkeys(("cross_entropy", "nll_loss"), explain_class_loss),
    **dict.fromkeys(("embedding", "embedding_bag"), explain_table_lookup),
    "multi_head_attention_forward": explain_attention,
}
"""Function → why it may have refused its operands."""
