"""The rule `silent-broadcast`: operands of unequal shapes in losses, sums, products and comparisons.

row → its two operands → what broadcasting does with them → Finding; nothing if the broadcast is explicit
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from math import prod

from archscope import units
from archscope.checks.lint.lint_context import CONV_OPS, COPIES, LintContext, is_passthrough, op_name, rule_finding
from archscope.checks.lint.lint_rule import lint_rule
from archscope.ops.norms import NORM_OPS
from archscope.report import Finding
from archscope.trace import Operand, Row, Shape

OperandPair = Sequence[Operand]
SUM_OPS = frozenset(["add", "sub", "rsub"])
PRODUCT_OPS = frozenset(["mul", "div"])
COMPARISON_OPS = frozenset(["eq", "ne", "gt", "ge", "lt", "le", "isclose"])
BROADCAST_OPS = SUM_OPS | PRODUCT_OPS | COMPARISON_OPS
LOSSES_TORCH_WARNS = frozenset(["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
"""Losses for which torch itself warns if their operands differ in shape."""
SILENT_LOSSES = frozenset(
    ["poisson_nll_loss", "gaussian_nll_loss", "kl_div", "hinge_embedding_loss", "multilabel_soft_margin_loss", "dist"]
)
"""Losses that broadcast without a warning. Losses in neither set reject (N, 1) next to (N)."""
LOSSES = LOSSES_TORCH_WARNS | SILENT_LOSSES
SELECTION_OPS = frozenset(["squeeze", "getitem", "select", "flatten", "view", "reshape"])
REDUCTION_OPS = frozenset(
    ["mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "prod", "norm", "logsumexp"]
)
ALL_PAIRS_FACT = "every element of one is combined with every element of the other"
EXPLICIT_BROADCAST_HELP = "make both of one shape, or make the broadcast explicit (unsqueeze, [:, None], keepdim=True)"


@lint_rule("silent-broadcast", "warning", "two activations of unequal shapes are combined by broadcasting")
def silent_broadcast(context: LintContext) -> Iterator[Finding]:
    """Yield losses, sums, comparisons and products of two values of unequal shapes that broadcast unintentionally."""
    for row in context.rows:
        if op_name(row) in LOSSES:
            yield from check_loss(context, row)
        elif op_name(row) in BROADCAST_OPS:
            yield from check_operands(context, row)


def check_loss(context: LintContext, row: Row) -> Iterator[Finding]:
    """Yield a finding for a loss whose prediction and target differ in shape; weights and variances may differ."""
    if len(row.inputs) < 2:
        return
    pair = row.inputs[:2]
    prediction, target = (operand.value.shape for operand in pair)
    if (
        prediction == target
        or any(is_scalar(context, operand) for operand in pair)
        or all(has_inserted_axis(context, op) for op in pair)
    ):
        return
    small, large = smaller_first(pair)
    crossed = is_two_sided(prediction, target) or makes_batch_pairs(context, small, large)
    if crossed or op_name(row) in LOSSES_TORCH_WARNS:
        fact = "every prediction is compared with every target" if crossed else repetition_text(pair)
        yield broadcast_finding(context, row, pair, fact, ("the prediction", "the target"))


def check_operands(context: LintContext, row: Row) -> Iterator[Finding]:
    pair = context.operands(row)
    if len(pair) != 2 or pair[0].value.shape == pair[1].value.shape:
        return
    small, large = smaller_first(pair)
    if len(small.value.shape) < len(large.value.shape) and (
        has_inserted_axis(context, large) or root_value_id(context, small) == root_value_id(context, large)
    ):
        return  # all pairs are intended
    fact = suspicion_text(context, row, small, large)
    if fact:
        yield broadcast_finding(context, row, pair, fact)


def broadcast_finding(
    context: LintContext, row: Row, pair: OperandPair, fact: str, names: tuple[str, ...] = ()
) -> Finding:
    """Return the finding: both shapes, the result's shape (also for other batches if the batch is 1), and the fix."""
    small, large = smaller_first(pair)
    one, other = (units.format_shape(operand.value.shape) for operand in pair)
    result = units.format_shape(broadcast_shape(small.value.shape, large.value.shape))
    result += ", N×N at a batch of N" if small.value.shape == (1,) and makes_batch_pairs(context, small, large) else ""
    what = f"{row.op}: " if op_name(row) in LOSSES else ""
    details = [f"{operand.source or 'input'}  {units.format_shape(operand.value.shape)}" for operand in pair]
    message = f"{what}{one} and {other} are broadcast to {result}: {fact}"
    finding = rule_finding(
        "silent-broadcast",
        row,
        message,
        help=broadcast_help(pair, names or (f"the {one}", f"the {other}")),
        details=details,
    )
    return replace(finding, cause="broadcast")


def broadcast_help(pair: OperandPair, names: tuple[str, ...]) -> str:
    """Return how to make both shapes equal: the calls, if one has one more axis of size 1 than the other."""
    small, large = smaller_first(pair)
    axis = missing_axis(small.value.shape, large.value.shape)
    if axis is None:
        return EXPLICIT_BROADCAST_HELP
    short, long = names if pair[0] is small else names[::-1]
    less, more = f"squeeze({axis})", f"unsqueeze({axis})"
    if len(small.value.shape) == 1:
        less, more = f"{less} or flatten()", f"{more} ([:, None])"
    return f"{less} {long}, or {more} {short}"


# ------------------------------------------------------------ shapes
def smaller_first(pair: OperandPair) -> tuple[Operand, ...]:
    """Return both operands, the one with fewer dimensions, then fewer bytes, first."""
    return tuple(sorted(pair, key=lambda operand: (len(operand.value.shape), operand.value.bytes)))


def broadcast_shape(one: Shape, other: Shape) -> Shape:
    """Return the shape of two shapes broadcast together."""
    sizes = zip_longest(reversed(one), reversed(other), fillvalue=1)
    return tuple(b if a == 1 else a for a, b in sizes)[::-1]


def is_two_sided(one: Shape, other: Shape) -> bool:
    """Return whether each is repeated along an axis of the other, missing axes included."""
    pairs = list(zip_longest(reversed(one), reversed(other), fillvalue=1))
    return any(a == 1 != b for a, b in pairs) and any(b == 1 != a for a, b in pairs)


def missing_axis(small: Shape, large: Shape) -> int | None:
    """Return the axis of size 1, after the first one, that the larger shape has and the smaller one lacks; None for
    other differences."""
    axes = range(len(large) - 1, 0, -1) if len(small) + 1 == len(large) else ()
    return next((i for i in axes if large[i] == 1 and large[:i] + large[i + 1 :] == small), None)


def repetition_text(pair: OperandPair) -> str:
    """Return which side of a loss is repeated, and how often."""
    prediction, target = (operand.value.shape for operand in pair)
    shapes = (broadcast_shape(prediction, target), prediction, target)
    whole, predictions, targets = (max(prod(shape), 1) for shape in shapes)
    if targets < whole:
        return f"each target is repeated {whole // targets} times"
    return (
        f"each prediction is repeated {whole // predictions} times" if predictions < whole else "they should be equal"
    )


# ------------------------------------------------------------ intent
def suspicion_text(context: LintContext, row: Row, small: Operand, large: Operand) -> str:
    """Return what is wrong with a broadcast; empty if it looks intended."""
    one, other, compares = small.value.shape, large.value.shape, op_name(row) in COMPARISON_OPS
    if compares and missing_axis(one, other) is None:
        return ""
    if len(one) < len(other) and one:
        along = f"the batch of one is aligned with axis {len(other) - len(one)} of the other"
        if is_two_sided(one, other):
            return ALL_PAIRS_FACT
        given = context.index.maker(small) is None
        if makes_batch_pairs(context, small, large) and not (given and op_name(row) in PRODUCT_OPS):
            return ALL_PAIRS_FACT if len(one) == 1 else along
        if (
            op_name(row) in SUM_OPS
            and starts_with_batch(context, one)
            and starts_with_batch(context, other)
            and len(one) > 1
        ):
            return along
    if (
        op_name(row) in SUM_OPS
        and is_channel_broadcast(one, other)
        and comes_from_conv(context, small)
        and comes_from_conv(context, large)
    ):
        return f"one channel is added to each of {max(other[1], one[1])}"
    return ""


def has_inserted_axis(context: LintContext, operand: Operand) -> bool:
    """Return whether an axis was inserted just before, apart from casts and copies: `unsqueeze`, `[:, None]`."""
    maker = context.index.maker(operand)
    while maker is not None and maker.short_name in COPIES:
        maker = context.index.maker(maker.inputs[0])
    if maker is None or maker.short_name != "getitem":
        return maker is not None and maker.short_name == "unsqueeze"
    index = maker.get("index", "?")
    return index is None or (isinstance(index, tuple) and None in index)


def root_value_id(context: LintContext, operand: Operand) -> int:
    """Return the id of the value that an operand is a view or a copy of."""
    maker = context.index.maker(operand)
    while maker is not None and is_passthrough(maker):
        operand = maker.inputs[0]
        maker = context.index.maker(operand)
    return operand.value.id


def is_scalar(context: LintContext, operand: Operand) -> bool:
    """Return whether an operand has no axis that could be a batch: a scalar, or one constant number."""
    shape = operand.value.shape
    return not shape or (prod(shape) == 1 and operand.value.id not in context.index.input_dependent)


# ------------------------------------------------------------ batches
def makes_batch_pairs(context: LintContext, small: Operand, large: Operand) -> bool:
    """Return whether (N) meets (N, 1) or the like, which give (N, N) for every batch but this one, of 1."""
    return (
        context.report.batch in (1, None)
        and small.value.shape[:1] == large.value.shape[:1] == (1,)
        and missing_axis(small.value.shape, large.value.shape) is not None
        and is_batch_axis_kept(context, small)
    )


def is_batch_axis_kept(context: LintContext, operand: Operand) -> bool:
    """Return whether the first axis of a value is the batch: an input, a slice, or computed from one elementwise or
    over other axes."""
    maker = context.index.maker(operand)
    while maker is not None and maker.short_name not in SELECTION_OPS:
        read = context.operands(maker)
        if len(read) != 1 or not (keeps_shape(maker) or reduces_others(maker)):
            return False
        maker = context.index.maker(read[0])
    return True


def reduces_others(row: Row) -> bool:
    """Return whether a row reduces axes after the first one and keeps the first."""
    given, reduced = row.inputs[0].value.shape, row.outputs[0].shape
    return row.short_name in REDUCTION_OPS and reduced[:1] == given[:1] and len(given) > 1 and given[1] != 1


def starts_with_batch(context: LintContext, shape: Shape) -> bool:
    return shape[0] == context.report.batch


def is_channel_broadcast(one: Shape, other: Shape) -> bool:
    """Return whether maps differ only in their channels, and one of them has a single channel."""
    maps = len(one) == len(other) > 3 and one[2:] == other[2:] and one[0] == other[0]
    return maps and min(one[1], other[1]) == 1 and max(one[2:]) > 1


def comes_from_conv(context: LintContext, operand: Operand) -> bool:
    """Return whether a value is the net's first input, or comes from a convolution through norms, activations and the
    like."""
    value = operand.value.id
    while (row := context.index.makers.get(value)) is not None:
        if row.short_name in CONV_OPS:
            return True
        if len(context.operands(row)) != 1 or not (
            is_passthrough(row) or row.short_name in NORM_OPS or keeps_shape(row)
        ):
            return False
        value = context.operands(row)[0].value.id
    return value == context.report.trace.inputs[0].value.id


def keeps_shape(row: Row) -> bool:
    return row.outputs[0].shape == row.inputs[0].value.shape
