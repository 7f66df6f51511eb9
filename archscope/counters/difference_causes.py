"""Known causes of a difference, as sentences. A cause is only given if its arithmetic yields the counter's figure.

unequal counts of a module ─ not counted | by batch | by output | by two axes | broadcast ─→ FoundCause, or None
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from archscope import units
from archscope.counters.differences import UNEXPLAINED, Difference
from archscope.counters.per_module import ModuleCounts, RowProduct
from archscope.counters.result import CountedOp
from archscope.report import PricedRow

ONE_ROW_COUNTED = "counted for 1 row of {ratio}"
BY_FIRST_AXIS = "counted by the first axis of the output, which is not a batch: {ratio} × too much"
BY_OUTPUT = "counted by the positions of the output: {ratio} × too much"
BY_OUTPUT_LESS = "counted by the positions of the output: 1 of {ratio}"
BY_TWO_AXES = "counted by two axes of the output: {ratio} × too much"
BROADCAST_BATCH = "counted for 1 of {ratio} in a broadcast batch"
UNBATCHED = "counted as if its first axis were a batch: {ratio} × too much"
UNBATCHED_LESS = "counted as if its first axis were a batch: 1 of {ratio}"
COUNTED_AS_CONV = "counted as a convolution because of its name: {ratio} × too much"
ROUNDED = "counted to four digits"
PRUNED_LEFT_OUT = "counted without its pruned weights"
COUNTED_THOUGH_FREE = "counted, though it holds no products"
COUNTED_WITH_BIAS = "counted with the additions of the bias"
COUNTED_THOUGH_UNPRICED = "counted, but unpriced here"

OPERATOR_PATTERNS: Mapping[str, str] = {
    "scaled_dot_product_attention": r"scaled_dot_product\w*_attention\w*|flex_attention",
    "multi_head_attention_forward": r"native_multi_head_attention",
    "lstm": r"lstm|\w*rnn\w*",
    "gru": r"gru|\w*rnn\w*",
    "rnn_tanh": r"\w*rnn\w*",
    "rnn_relu": r"\w*rnn\w*",
}
"""Patterns for the names of a counter's operators, by our function's name; others have the function's own name."""

ENCLOSING_OPERATORS = re.compile(r"aten(::|\.)_(transformer_encoder_layer_fwd|native_multi_head_attention)")
"""Operators that compute everything inside a module."""


@dataclass(frozen=True)
class FoundCause:
    """One cause of a difference in one module.

    cause: its name. subject: the layer, function or kernel. reason: a sentence, which may contain `{ratio}`. amount:
    MACs, theirs − ours. rows: indexes. path: the module's. times: how many rows.
    """

    cause: str
    subject: str
    reason: str
    amount: int
    rows: tuple[int, ...]
    path: str
    times: int = 1
    ratio: Fraction | None = None


def counted_otherwise(
    module: ModuleCounts, products: Sequence[RowProduct], reason: str, amount: int, ratio: Fraction
) -> FoundCause:
    rows = tuple(dict.fromkeys(product.row.index for product in products))
    return FoundCause("counted-otherwise", products[0].subject, reason, amount, rows, module.path, len(rows), ratio)


# ------------------------------------------------------------ not counted
def find_unknown_operator(product: RowProduct, unknown: Iterable[CountedOp]) -> CountedOp | None:
    """Return the counter's operator that does this product and has no formula there."""
    names = {product.kernel.strip("_"), product.row.row.short_name.strip("_")} - {""}
    patterns = [OPERATOR_PATTERNS.get(name, re.escape(name)) for name in names]
    return next((op for op in unknown if any(re.fullmatch(pattern, bare_name(op.name)) for pattern in patterns)), None)


def bare_name(name: str) -> str:
    """Return the name without its namespace: `aten::_native_multi_head_attention` → `native_multi_head_attention`."""
    return re.split(r"::|\.", name, maxsplit=1)[-1].strip("_")


def find_uncounted(module: ModuleCounts, products: Sequence[RowProduct], reason: str) -> list[FoundCause]:
    """Return one cause for each row that is not counted; if a row is counted in part, the cause names the kernel."""
    whole = [product.row.index for product in module.products]
    uncounted = [product.row.index for product in products]
    results = []
    for row in dict.fromkeys(uncounted):
        own = [product for product in products if product.row.index == row]
        partly = whole.count(row) > len(own)
        subject = own[0].kernel if partly else own[0].subject
        amount = -sum(product.macs for product in own)
        results.append(FoundCause("not-counted", subject, reason, amount, (row,), module.path))
    return results


# ------------------------------------------------------------ counted otherwise
def explain_layer(module: ModuleCounts, products: Sequence[RowProduct], count: CountedOp) -> FoundCause | None:
    """Return the cause if a layer is counted by its parameters times axes of its output; the bias is already
    removed."""
    ours, whole = sum(product.macs for product in products), count.weights + count.pruned
    if not count.output or not count.weights or not ours or ours % whole:
        return None
    if count.pruned and ours // whole * count.weights == count.macs:
        return counted_otherwise(module, products, PRUNED_LEFT_OUT, count.macs - ours, Fraction(1))
    ratio = Fraction(count.macs, ours)
    reason = layer_ratio_reason(products[0].row, count, ratio)
    return counted_otherwise(module, products, reason, count.macs - ours, max(ratio, 1 / ratio)) if reason else None


def layer_ratio_reason(row: PricedRow, count: CountedOp, ratio: Fraction) -> str:
    """Return the sentence whose arithmetic yields the count; an empty string if none does."""
    output = count.output
    if "Conv" in count.name and count.macs == count.weights * prod(output[:1] + output[2:]):
        return conv_ratio_reason(row, ratio)
    if count.macs == count.weights * output[0]:
        return ONE_ROW_COUNTED if ratio < 1 else BY_FIRST_AXIS
    if count.macs == count.weights * prod(output[:2]) and ratio > 1:
        return BY_TWO_AXES
    return ""


def conv_ratio_reason(row: PricedRow, ratio: Fraction) -> str:
    """Return why the positions of a convolution's output are not what its weights are multiplied by."""
    if not row.row.short_name.startswith("conv"):
        return COUNTED_AS_CONV if ratio > 1 else ""
    tensor, weight = (len(operand.value.shape) for operand in row.row.inputs[:2])
    if tensor < weight:
        return UNBATCHED if ratio > 1 else UNBATCHED_LESS
    if "transpose" in row.row.short_name:
        return BY_OUTPUT if ratio > 1 else BY_OUTPUT_LESS
    return ""


def explain_operator(module: ModuleCounts, products: Sequence[RowProduct], count: CountedOp) -> FoundCause | None:
    """Return the cause if the products of an operator are counted by their first factors alone, or rounded."""
    ours = sum(product.macs for product in products)
    if not count.macs:
        return None
    if count.name == "einsum" and count.macs == sum(int(float(f"{2 * product.macs:.3e}") / 2) for product in products):
        return counted_otherwise(module, products, ROUNDED, count.macs - ours, Fraction(1))
    if count.name == "matmul" and count.macs == sum(map(macs_by_first_factor, products)):
        return counted_otherwise(module, products, BROADCAST_BATCH, count.macs - ours, Fraction(ours, count.macs))
    return None


def macs_by_first_factor(product: RowProduct) -> int:
    """Return the MACs of a product whose batch is the first factor's."""
    left, *others = (operand.value.shape for operand in product.row.row.inputs)
    return prod(left) * others[0][-1] if others and others[0] else 0


def unexplained_cause(module: ModuleCounts, products: Sequence[RowProduct], counts: Sequence[CountedOp]) -> FoundCause:
    """Return an unexplained difference, with both figures and the module."""
    theirs, ours = sum(count.macs for count in counts), sum(product.macs for product in products)
    subject = products[0].subject if products else counts[0].name
    reason = f"at {module.path or 'the top'}: theirs {units.format_count(theirs)}, ours {units.format_count(ours)}"
    rows = tuple(dict.fromkeys(product.row.index for product in products))
    return FoundCause(UNEXPLAINED, subject, reason, theirs - ours, rows, module.path)


# ------------------------------------------------------------ grouping
def group_causes(all_found: Iterable[FoundCause]) -> tuple[Difference, ...]:
    """Return one Difference per cause, subject and reason, largest first; an unexplained one has the first's
    figures."""
    groups: dict[tuple[str, str, str], list[FoundCause]] = {}
    for cause in all_found:
        if cause.amount:
            reason = "" if cause.cause == UNEXPLAINED else cause.reason
            groups.setdefault((cause.cause, cause.subject, reason), []).append(cause)
    return tuple(sorted(map(merge_causes, groups.values()), key=lambda d: -abs(d.amount)))


def merge_causes(group: Sequence[FoundCause]) -> Difference:
    first, ratios = group[0], [cause.ratio for cause in group if cause.ratio is not None]
    ends = dict.fromkeys([min(ratios), max(ratios)]) if ratios else ()
    ratio = " to ".join(units.format_quotient(end.numerator, end.denominator) for end in ends)  # 197, or 49 to 3,136
    return Difference(
        cause=first.cause,
        subject=first.subject,
        amount=sum(cause.amount for cause in group),
        reason=first.reason.replace("{ratio}", ratio),
        times=sum(cause.times for cause in group),
        rows=tuple(dict.fromkeys(row for cause in group for row in cause.rows)),
        paths=tuple(dict.fromkeys(cause.path for cause in group)),
    )
