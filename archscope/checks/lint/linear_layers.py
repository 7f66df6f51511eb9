"""The rules `linear-linear` (linear maps with nothing between them) and `softmax-inside`."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archscope.checks.lint.axis_parts import whole_axis
from archscope.checks.lint.lint_context import (
    ACTIVATIONS,
    LINEAR_MAP_OPS,
    LintContext,
    feature_axis,
    op_name,
    rule_finding,
)
from archscope.checks.lint.lint_rule import lint_rule
from archscope.ops.norms import NORM_OPS
from archscope.ops.windows import axis_windows
from archscope.report import Finding
from archscope.trace import Row

WEIGHTING_PRODUCTS = frozenset(["matmul", "bmm", "mul", "einsum", "baddbmm"])


@lint_rule("linear-linear", "warning", "two linear maps with nothing between them")
def linear_linear(context: LintContext) -> Iterator[Finding]:
    """Yield pairs of linear maps in a row, which are one map. Grouped ones are ignored; with few channels between them
    the pair may be a factorisation, a note. Layers that are called several times give one finding."""
    for row in context.rows:
        first = is_linear_map(context, row) and context.param_users[weight_name(context, row)][0] is row
        after = context.next_op(row) if first else None
        if after is None or not is_linear_map(context, after) or is_patch_embedding(context, row):
            continue
        if not sums_all_features(context, row, after) or is_used_apart(context, row, after) or is_low_rank(row, after):
            continue
        (into, middle), (_, out) = channels_in_out(row), channels_in_out(after)
        narrow = (middle < into and middle < out) or is_separable(row, after)
        pair = f"{context.index.layer_text(row)} and {context.index.layer_text(after)}"
        message = f"{pair} with nothing between them are one linear map{' in two factors' * narrow}"
        help = "fine where a factorisation is meant" if narrow else "an activation between them, or one of the two"
        level = "note" if narrow else ""
        yield rule_finding("linear-linear", row, message, help=help, level=level, details=[f"then  {after.path}"])


def sums_all_features(context: LintContext, row: Row, after: Row) -> bool:
    """Return whether the second map sums over all features of the first: not over another axis, as after a transpose,
    nor over a part of them, as after a view."""
    features = whole_axis(context.axes[row.outputs[0].id][feature_axis(row)])
    read = context.axes[after.inputs[0].value.id][feature_axis(after)]
    return row.outputs[0].shape[feature_axis(row)] == 1 or (features is not None and features in read)


def is_used_apart(context: LintContext, row: Row, after: Row) -> bool:
    """Return whether one of the two layers is also called without the other."""
    names = {weight_name(context, row), weight_name(context, after)}
    neighbours = [context.next_op(use) for use in context.param_users[weight_name(context, row)]]
    neighbours += [context.previous_op(use) for use in context.param_users[weight_name(context, after)]]
    return any(
        met is None or not is_linear_map(context, met) or weight_name(context, met) not in names for met in neighbours
    )


def weight_name(context: LintContext, row: Row) -> str:
    """Return the name of a layer's weight."""
    weight = context.param_at(row, 1)
    return "" if weight is None else weight.tied_to or weight.name


def is_low_rank(row: Row, after: Row) -> bool:
    """Return whether the two are an intended factorisation: the first has no bias, and together they have fewer weights
    than one map."""
    weights = [layer.inputs[1].value.shape for layer in (row, after)]
    (into, middle), (_, out) = channels_in_out(row), channels_in_out(after)
    weights_of_one_map = into * out * max(prod(shape[2:]) for shape in weights)
    return len(row.inputs) < 3 and middle < min(into, out) and sum(map(prod, weights)) < weights_of_one_map


def is_linear_map(context: LintContext, row: Row) -> bool:
    """Return whether a row is a linear map of all its channels with a parameter as weight."""
    return op_name(row) in LINEAR_MAP_OPS and row.get("groups", 1) == 1 and context.param_at(row, 1) is not None


def channels_in_out(row: Row) -> tuple[int, int]:
    """Return the input and output channels."""
    out, into, *_ = row.inputs[1].value.shape
    return (out, into) if "transpose" in row.short_name else (into, out)


def is_patch_embedding(context: LintContext, row: Row) -> bool:
    """Return whether a convolution only cuts the net's input into patches."""
    windows = axis_windows(row)
    whole = all(window.kernel == window.stride > 1 for window in windows)
    return bool(windows) and whole and context.index.maker(row.inputs[0]) is None


def is_separable(one: Row, other: Row) -> bool:
    """Return whether the kernels are 1×k and k×1."""
    pairs = list(zip(axis_windows(one), axis_windows(other), strict=False))
    crossed = all(min(a.kernel, b.kernel) == 1 for a, b in pairs)
    return crossed and any(a.kernel > 1 for a, _ in pairs) and any(b.kernel > 1 for _, b in pairs)


@lint_rule("softmax-inside", "warning", "a softmax whose result goes through more layers")
def softmax_inside(context: LintContext) -> Iterator[Finding]:
    """Yield softmaxes whose result goes into a layer and loses its scale. Attention weights and gates go into
    products."""
    for row in context.rows:
        after = context.next_op(row) if row.short_name in ("softmax", "log_softmax") else None
        if after is None or feeds_product(context, after):
            continue
        weight = context.param_at(after, 1) if op_name(after) in LINEAR_MAP_OPS else None
        trainable = weight is not None and weight.trainable
        if trainable or op_name(after) in ACTIVATIONS | NORM_OPS | {"softmax"}:
            message = f"the result of this {row.short_name} goes into {context.index.layer_text(after)}"
            help = "softmax is for the end of a net, for attention and for gates; inside, an activation such as ReLU"
            yield rule_finding("softmax-inside", row, message, help=help, details=[f"then  {after.path}"])


def feeds_product(context: LintContext, row: Row) -> bool:
    """Return whether weights that a layer mixes again, as in talking-heads attention, go into a product after all."""
    after: Row | None = row
    while after is not None and op_name(after) in LINEAR_MAP_OPS | NORM_OPS:
        after = context.next_op(after)
    return after is not None and op_name(after) in WEIGHTING_PRODUCTS and len(context.operands(after)) > 1
