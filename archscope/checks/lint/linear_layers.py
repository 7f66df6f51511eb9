"""Chains of layers: linear maps with nothing between them, and softmaxes in the middle of a net."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archscope.checks.lint.axis_parts import whole_axis
from archscope.checks.lint.lint_context import (
    ACTIVATIONS,
    LINEAR_MAP_OPS,
    NORM_OPS,
    LintContext,
    feature_axis,
    op_name,
    rule_finding,
)
from archscope.report import Finding
from archscope.report.receptive_windows import receptive_windows
from archscope.trace import Row

WEIGHTING_PRODUCTS = frozenset(["matmul", "bmm", "mul", "einsum", "baddbmm"])


def linear_linear(flow: LintContext) -> Iterator[Finding]:
    """Two linear maps in a row are one. Grouped ones are not meant; through few channels it is a factorisation. Layers
    that are called several times are one finding."""
    for row in flow.rows:
        first = is_linear_map(flow, row) and flow.param_users[weight_name(flow, row)][0] is row
        after = flow.next_op(row) if first else None
        if after is None or not is_linear_map(flow, after) or is_patch_embedding(flow, row):
            continue
        if not sums_all_features(flow, row, after) or is_used_apart(flow, row, after) or is_low_rank(row, after):
            continue
        (into, middle), (_, out) = channels_in_out(row), channels_in_out(after)
        narrow = (middle < into and middle < out) or is_separable(row, after)
        one, two = flow.index.layer_text(row), flow.index.layer_text(after)
        said = f"{one} and {two} with nothing between them are one linear map"
        if narrow:
            said = f"{one} and {two} with nothing between them are one linear map in two factors"
        help = "fine where a factorisation is meant" if narrow else "an activation between them, or one of the two"
        level = "note" if narrow else ""
        yield rule_finding("linear-linear", row, said, help=help, level=level, details=[f"then  {after.path}"])


def sums_all_features(flow: LintContext, row: Row, after: Row) -> bool:
    """Whether the second map sums over all features of the first: not over another axis, as after a transpose, nor
    over a part of them, as after a view."""
    made = whole_axis(flow.axes[row.outputs[0].id][feature_axis(row)])
    read = flow.axes[after.inputs[0].value.id][feature_axis(after)]
    return row.outputs[0].shape[feature_axis(row)] == 1 or (made is not None and made in read)


def is_used_apart(flow: LintContext, row: Row, after: Row) -> bool:
    """Whether one of the two layers is called elsewhere without the other, where it is a map of its own."""
    names = {weight_name(flow, row), weight_name(flow, after)}
    beside = [flow.next_op(use) for use in flow.param_users[weight_name(flow, row)]]
    beside += [flow.previous_op(use) for use in flow.param_users[weight_name(flow, after)]]
    return any(met is None or not is_linear_map(flow, met) or weight_name(flow, met) not in names for met in beside)


def weight_name(flow: LintContext, row: Row) -> str:
    """The name of a layer's weights."""
    weight = flow.param_at(row, 1)
    return "" if weight is None else weight.tied_to or weight.name


def is_low_rank(row: Row, after: Row) -> bool:
    """Whether the two are a factorisation on purpose: the first one has no bias, and together they have fewer weights
    than one map would have."""
    weights = [one.inputs[1].value.shape for one in (row, after)]
    (into, middle), (_, out) = channels_in_out(row), channels_in_out(after)
    one = into * out * max(prod(shape[2:]) for shape in weights)
    return len(row.inputs) < 3 and middle < min(into, out) and sum(map(prod, weights)) < one


def is_linear_map(flow: LintContext, row: Row) -> bool:
    """Whether a row is a linear map of all its channels, by weights of the net."""
    return op_name(row) in LINEAR_MAP_OPS and row.get("groups", 1) == 1 and flow.param_at(row, 1) is not None


def channels_in_out(row: Row) -> tuple[int, int]:
    """Channels in and out."""
    out, into, *_ = row.inputs[1].value.shape
    return (out, into) if "transpose" in row.short_name else (into, out)


def is_patch_embedding(flow: LintContext, row: Row) -> bool:
    """Whether a convolution only cuts the net's input into patches."""
    windows = receptive_windows(row)
    whole = all(window.kernel == window.stride > 1 for window in windows)
    return bool(windows) and whole and flow.index.maker(row.inputs[0]) is None


def is_separable(one: Row, other: Row) -> bool:
    """A 1×k and a k×1 kernel."""
    pairs = list(zip(receptive_windows(one), receptive_windows(other), strict=False))
    crossed = all(min(a.kernel, b.kernel) == 1 for a, b in pairs)
    return crossed and any(a.kernel > 1 for a, _ in pairs) and any(b.kernel > 1 for _, b in pairs)


def softmax_inside(flow: LintContext) -> Iterator[Finding]:
    """Attention weights and gates go into products; what goes into a layer has lost its scale."""
    for row in flow.rows:
        after = flow.next_op(row) if row.short_name in ("softmax", "log_softmax") else None
        if after is None or feeds_product(flow, after):
            continue
        if has_trainable_weight(flow, after) or op_name(after) in ACTIVATIONS | NORM_OPS | {"softmax"}:
            said = f"the result of this {row.short_name} goes into {flow.index.layer_text(after)}"
            help = "softmax is for the end of a net, for attention and for gates; inside, an activation such as ReLU"
            yield rule_finding("softmax-inside", row, said, help=help, details=[f"then  {after.path}"])


def feeds_product(flow: LintContext, row: Row) -> bool:
    """Whether weights that a layer mixes once more, as talking heads do, go into a product after all."""
    after: Row | None = row
    while after is not None and op_name(after) in LINEAR_MAP_OPS | NORM_OPS:
        after = flow.next_op(after)
    return after is not None and op_name(after) in WEIGHTING_PRODUCTS and len(flow.operands(after)) > 1


def has_trainable_weight(flow: LintContext, row: Row) -> bool:
    """Whether a row is a layer with weights that training changes."""
    weight = flow.param_at(row, 1) if op_name(row) in LINEAR_MAP_OPS else None
    return weight is not None and weight.trainable
