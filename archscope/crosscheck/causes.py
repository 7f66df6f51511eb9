"""Known causes of a difference, as sentences. A cause is found only where its arithmetic gives the witness's figure.

what is left of a place ─ lost | spread | by output | by two axes | broadcast ─→ FoundCause; None: no known cause
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from archscope import units
from archscope.counter_result import CountedOp
from archscope.crosscheck.differences import UNEXPLAINED, Difference
from archscope.crosscheck.per_module import ModuleCounts, RowProduct
from archscope.report import PricedRow

ONE_ROW_COUNTED = "counted for 1 row of {ratio}"
BY_FIRST_AXIS = "counted by the first axis of the output, which is no batch: {ratio} × too much"
BY_OUTPUT = "counted by the places of the output: {ratio} × too much"
BY_OUTPUT_LESS = "counted by the places of the output: 1 of {ratio}"
BY_TWO_AXES = "counted by two axes of the output: {ratio} × too much"
BROADCAST_BATCH = "counted for 1 of {ratio} in a broadcast batch"
UNBATCHED = "counted as if its first axis were a batch: {ratio} × too much"
UNBATCHED_LESS = "counted as if its first axis were a batch: 1 of {ratio}"
COUNTED_AS_CONV = "counted as a convolution, for its name: {ratio} × too much"
ROUNDED = "counted to four digits"
PRUNED_LEFT_OUT = "counted without its pruned weights"
COUNTED_THOUGH_FREE = "counted, though it holds no products"
COUNTED_WITH_BIAS = "counted with the additions of the bias"
COUNTED_THOUGH_UNPRICED = "counted, which is unpriced here"

OPERATOR_PATTERNS: Mapping[str, str] = {
    "scaled_dot_product_attention": r"scaled_dot_product\w*_attention\w*|flex_attention",
    "multi_head_attention_forward": r"native_multi_head_attention",
    "lstm": r"lstm|\w*rnn\w*",
    "gru": r"gru|\w*rnn\w*",
    "rnn_tanh": r"\w*rnn\w*",
    "rnn_relu": r"\w*rnn\w*",
}
"""How a witness's operators may be called that do what a function of ours does; others have the function's name."""

ENCLOSING_OPERATORS = re.compile(r"aten(::|\.)_(transformer_encoder_layer_fwd|native_multi_head_attention)")
"""Operators that stand for all that is inside a module."""


@dataclass(frozen=True)
class FoundCause:
    """One cause at one place: what it happened to, how often, in which rows; `reason` may name a `{ratio}`."""

    cause: str
    subject: str
    reason: str
    amount: int
    rows: tuple[int, ...]
    path: str
    times: int = 1
    ratio: Fraction | None = None


def counted_otherwise(
    place: ModuleCounts, works: Sequence[RowProduct], reason: str, amount: int, ratio: Fraction
) -> FoundCause:
    rows = tuple(dict.fromkeys(work.row.index for work in works))
    return FoundCause("counted-otherwise", works[0].subject, reason, amount, rows, place.path, len(rows), ratio)


# ------------------------------------------------------------ not counted
def find_unknown_operator(work: RowProduct, unknown: Iterable[CountedOp]) -> CountedOp | None:
    """The operator that does this work and has no formula there."""
    names = {work.kernel.strip("_"), work.row.row.short_name.strip("_")} - {""}
    patterns = [OPERATOR_PATTERNS.get(name, re.escape(name)) for name in names]
    return next((op for op in unknown if any(re.fullmatch(pattern, bare_name(op.name)) for pattern in patterns)), None)


def bare_name(name: str) -> str:
    """`aten::_native_multi_head_attention` → `native_multi_head_attention`."""
    return re.split(r"::|\.", name, maxsplit=1)[-1].strip("_")


def find_uncounted(place: ModuleCounts, works: Sequence[RowProduct], reason: str) -> list[FoundCause]:
    """Works that the witness does not count, row by row; of a row that it counts in part, the kernel is named."""
    whole = [(w.row.index, w.kernel) for w in place.products]
    gone = [(w.row.index, w.kernel) for w in works]
    results = []
    for row in dict.fromkeys(index for index, _ in gone):
        own = [work for work in works if work.row.index == row]
        partly = sum(index == row for index, _ in whole) > len(own)
        subject = own[0].kernel if partly else own[0].subject
        amount = -sum(work.macs for work in own)
        results.append(FoundCause("not-counted", subject, reason, amount, (row,), place.path))
    return results


# ------------------------------------------------------------ counted otherwise
def explain_layer(place: ModuleCounts, works: Sequence[RowProduct], count: CountedOp) -> FoundCause | None:
    """A layer counted by its parameters times axes of its output; the bias is off already."""
    ours, whole = sum(work.macs for work in works), count.weights + count.pruned
    if not count.output or not count.weights or not ours or ours % whole:
        return None
    if count.pruned and ours // whole * count.weights == count.macs:
        return counted_otherwise(place, works, PRUNED_LEFT_OUT, count.macs - ours, Fraction(1))
    ratio = Fraction(count.macs, ours)
    reason = layer_ratio_reason(works[0].row, count, ratio)
    return counted_otherwise(place, works, reason, count.macs - ours, max(ratio, 1 / ratio)) if reason else None


def layer_ratio_reason(row: PricedRow, count: CountedOp, ratio: Fraction) -> str:
    """The sentence whose arithmetic gives the count; nothing where none does."""
    output = count.output
    if "Conv" in count.name and count.macs == count.weights * prod(output[:1] + output[2:]):
        return conv_ratio_reason(row, ratio)
    if count.macs == count.weights * output[0]:
        return ONE_ROW_COUNTED if ratio < 1 else BY_FIRST_AXIS
    if count.macs == count.weights * prod(output[:2]) and ratio > 1:
        return BY_TWO_AXES
    return ""


def conv_ratio_reason(row: PricedRow, ratio: Fraction) -> str:
    """Why the places of a convolution's output are not what its weights are multiplied by."""
    if not row.row.short_name.startswith("conv"):
        return COUNTED_AS_CONV if ratio > 1 else ""
    tensor, weight = (len(operand.value.shape) for operand in row.row.inputs[:2])
    if tensor < weight:
        return UNBATCHED if ratio > 1 else UNBATCHED_LESS
    if "transpose" in row.row.short_name:
        return BY_OUTPUT if ratio > 1 else BY_OUTPUT_LESS
    return ""


def explain_operator(place: ModuleCounts, works: Sequence[RowProduct], count: CountedOp) -> FoundCause | None:
    """Products of one operator, that the witness sums: batched by their first factors alone, or rounded one by one."""
    ours = sum(work.macs for work in works)
    if not count.macs:
        return None
    if count.name == "einsum" and count.macs == sum(int(float(f"{2 * work.macs:.3e}") / 2) for work in works):
        return counted_otherwise(place, works, ROUNDED, count.macs - ours, Fraction(1))
    if count.name == "matmul" and count.macs == sum(map(macs_by_first_factor, works)):
        return counted_otherwise(place, works, BROADCAST_BATCH, count.macs - ours, Fraction(ours, count.macs))
    return None


def macs_by_first_factor(work: RowProduct) -> int:
    """The multiply-adds of a product whose batch is the first factor's."""
    left, *others = (operand.value.shape for operand in work.row.row.inputs)
    return prod(left) * others[0][-1] if others and others[0] else 0


def unexplained_cause(place: ModuleCounts, works: Sequence[RowProduct], counts: Sequence[CountedOp]) -> FoundCause:
    """No known cause: both figures, and where."""
    theirs, ours = sum(count.macs for count in counts), sum(work.macs for work in works)
    subject = works[0].subject if works else counts[0].name
    reason = f"at {place.path or 'the top'}: theirs {units.format_count(theirs)}, ours {units.format_count(ours)}"
    rows = tuple(dict.fromkeys(work.row.index for work in works))
    return FoundCause(UNEXPLAINED, subject, reason, theirs - ours, rows, place.path)


# ------------------------------------------------------------ grouping
def group_causes(all_found: Iterable[FoundCause]) -> tuple[Difference, ...]:
    """One Difference for each cause, subject and reason, the largest first; of the unexplained, the first's figures."""
    groups: dict[tuple[str, str, str], list[FoundCause]] = {}
    for one in all_found:
        if one.amount:
            reason = "" if one.cause == UNEXPLAINED else one.reason
            groups.setdefault((one.cause, one.subject, reason), []).append(one)
    return tuple(sorted(map(merge_causes, groups.values()), key=lambda d: -abs(d.amount)))


def merge_causes(group: Sequence[FoundCause]) -> Difference:
    first = group[0]
    return Difference(
        cause=first.cause,
        subject=first.subject,
        amount=sum(one.amount for one in group),
        reason=first.reason.replace("{ratio}", ratio_range([one.ratio for one in group if one.ratio is not None])),
        times=sum(one.times for one in group),
        rows=tuple(dict.fromkeys(row for one in group for row in one.rows)),
        paths=tuple(dict.fromkeys(one.path for one in group)),
    )


def ratio_range(ratios: Sequence[Fraction]) -> str:
    """`197`, or `49 to 3,136` where they are not all the same."""
    ends = dict.fromkeys([min(ratios), max(ratios)]) if ratios else ()
    return " to ".join(units.format_quotient(end.numerator, end.denominator) for end in ends)
