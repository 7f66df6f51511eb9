"""The rules `mixed-axes` (a view instead of a transpose) and `linear-on-width` (a classifier on an image's width)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod

from archscope import units
from archscope.checks.lint.axis_parts import BATCH, FEATURES, POSITIONS, AxisPart, merge_parts, regroup_axes, whole_axis
from archscope.checks.lint.lint_context import (
    ACTIVATIONS,
    CONV_OPS,
    DROPOUTS,
    LintContext,
    is_exact_passthrough,
    is_passthrough,
    op_name,
    rule_finding,
)
from archscope.checks.lint.lint_rule import lint_rule
from archscope.ops.axis_map import CONCAT_OPS, axis_groups
from archscope.report import Finding
from archscope.trace import Row

VIEW_OPS = frozenset(["view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"])
AXIS_MOVING_OPS = frozenset(["permute", "transpose", "swapaxes", "swapdims", "movedim", "T", "mT", "t"])
SPLIT_AND_JOIN_OPS = frozenset(
    ["unbind", "select", "chunk", "split", "cat", "concat", "concatenate", "stack", "unsqueeze", "squeeze"]
)
SIMPLE_REDUCTIONS = frozenset(["mean", "sum", "amax", "amin", "max"])
ATTENTION_OPS = frozenset(["scaled_dot_product_attention", "multi_head_attention_forward"])
FEATURE_OPS = CONV_OPS | ATTENTION_OPS | {"linear", "matmul", "bmm", "layer_norm", "rms_norm", "lstm", "gru"}
ELEMENTWISE_OPS = ACTIVATIONS | DROPOUTS | {"add", "sub", "mul", "div", "softmax", "batch_norm"}
CLASSIFIER_OPS = ACTIVATIONS | DROPOUTS | {"softmax", "log_softmax", "linear"}


# ------------------------------------------------------------ views
@lint_rule("mixed-axes", "warning", "a view that mixes axes which should change places")
def mixed_axes(context: LintContext) -> Iterator[Finding]:
    """Yield views to the sizes of the axes in another order, if the result is then read along these axes."""
    for row in context.rows:
        mixed = mixed_parts(context, row) if op_name(row) in VIEW_OPS and row.inputs and len(row.outputs) == 1 else ()
        if mixed and is_read_by_axis(context, row):
            before, after = (units.format_shape(value.shape) for value in (row.inputs[0].value, row.outputs[0]))
            sizes = units.format_shape([part.size for part in mixed])
            message = f"{before} viewed as {after}: a view moves nothing, so the axes {sizes} are mixed, not reordered"
            help = "transpose or permute before it, so that only neighbouring axes are merged or split"
            yield rule_finding("mixed-axes", row, message, help=help)


def mixed_parts(context: LintContext, row: Row) -> tuple[AxisPart, ...]:
    """Return the axes that a view mixes, if the sizes suggest that they should have been transposed."""
    parts = merge_parts(part for axis in context.axes[row.inputs[0].value.id] for part in axis)
    sizes = [size for size in row.outputs[0].shape if size > 1]
    for before, after in axis_groups(tuple(part.size for part in parts), tuple(sizes)):
        sources, wanted = [parts[i] for i in before], [sizes[i] for i in after]
        if len(sources) > 1 and len(wanted) > 1 and can_regroup([part.size for part in sources], wanted):
            kinds = {part.kind for part in sources}
            if BATCH not in kinds and kinds != {POSITIONS} and not is_intended_mix(context, row, sources, wanted):
                return tuple(sources)
    return ()


def can_regroup(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether sizes can be merged and split, each as a whole and in any order, into the wanted ones."""
    if not sizes or not wanted:
        return not sizes and not wanted
    rest = range(len(sizes))
    merged = (
        chosen for n in rest for chosen in combinations(rest, n + 1) if prod(sizes[i] for i in chosen) == wanted[0]
    )
    if any(can_regroup([sizes[i] for i in rest if i not in chosen], wanted[1:]) for chosen in merged):
        return True
    others = range(1, len(wanted))
    split = ((0, *more) for n in others for more in combinations(others, n))
    return any(
        can_regroup([*sizes[:at], *sizes[at + 1 :]], [n for i, n in enumerate(wanted) if i not in chosen])
        for chosen in split
        for at in rest
        if sizes[at] == prod(wanted[i] for i in chosen)
    )


def is_intended_mix(context: LintContext, row: Row, sources: Sequence[AxisPart], wanted: Sequence[int]) -> bool:
    """Return whether a view is likely intended: it shifts positions, as for relative positions, after padding or
    slicing; or it regroups two axes whose sizes agree by chance."""
    maker = context.index.maker(row.inputs[0])
    while maker is not None and is_exact_passthrough(maker) and op_name(maker) not in VIEW_OPS:
        maker = context.index.maker(maker.inputs[0])
    if maker is not None and (
        op_name(maker) in ("pad", "narrow") or (op_name(maker) == "getitem" and not takes_whole_axes(maker))
    ):
        return True
    if len(sources) > 2 or len(wanted) > 2:
        return False
    first, second = sources
    if abs(first.size - second.size) == 1 or (maker is not None and op_name(maker) in CONCAT_OPS):
        return True
    even = first.size % second.size == 0 or second.size % first.size == 0
    return even and (first.kind, second.kind) != (FEATURES, POSITIONS)


def takes_whole_axes(row: Row) -> bool:
    """Return whether an index takes whole axes or single positions, and no range."""
    index = row.get("index", "?")
    return all(isinstance(entry, int) or entry == "::" for entry in (index if isinstance(index, tuple) else (index,)))


def is_read_by_axis(context: LintContext, row: Row) -> bool:
    """Return whether the output of a view is read axis by axis, or is an output of the net, and not only viewed back or
    sliced."""
    waiting, along, seen = [row], False, {row.index}
    while waiting:
        row_read = waiting.pop()
        along |= any(value.id in context.index.output_ids for value in row_read.outputs)
        for reader in context.readers(row_read):
            name = op_name(reader)
            if name in FEATURE_OPS:
                along = True
            elif reader.index not in seen and keeps_axes(context, reader):
                seen.add(reader.index)
                waiting.append(reader)
            elif reader.index not in seen:
                return False
    return along


def keeps_axes(context: LintContext, row: Row) -> bool:
    """Return whether a row keeps the axes of its input, so that its readers must be examined."""
    name = op_name(row)
    if name in VIEW_OPS:
        return not restores_axes(context, row)
    if name in SIMPLE_REDUCTIONS:
        return context.axes[row.outputs[0].id][-1:] == context.axes[row.inputs[0].value.id][-1:]
    if name == "getitem":
        return takes_whole_axes(row)
    return name in AXIS_MOVING_OPS | SPLIT_AND_JOIN_OPS | ELEMENTWISE_OPS or is_passthrough(row)


def restores_axes(context: LintContext, row: Row) -> bool:
    """Return whether a view restores the axes from before another view."""
    regrouped = regroup_axes(context.axes[row.inputs[0].value.id], row.outputs[0].shape)
    cut = any(not part.is_entire for axis in context.axes[row.inputs[0].value.id] for part in axis)
    return regrouped is None or (cut and all(part.is_entire for axis in regrouped for part in axis))


# ------------------------------------------------------------ classifiers
@lint_rule("linear-on-width", "warning", "a classifier that reads the columns of maps")
def linear_on_width(context: LintContext) -> Iterator[Finding]:
    """Yield linear layers at the end of a net that read the last axis of channels × rows × columns from
    convolutions."""
    sizes = {operand.value.shape[-1] for operand in context.report.trace.inputs if operand.value.shape}
    for row in context.rows:
        if op_name(row) != "linear" or not is_map_of_columns(context, row):
            continue
        end = classifier_end(context, row)
        if end is not None and end.outputs[0].shape[-1] not in {*sizes, row.inputs[0].value.shape[-1]}:
            given, final = row.inputs[0].value.shape, end.outputs[0].shape
            message = (
                f"{context.index.layer_text(row)} reads the columns of "
                f"{units.format_shape(given)} maps, and the net gives "
            )
            help = "Flatten, or a pool over the whole map and Flatten, before it"
            yield rule_finding("linear-on-width", row, f"{message}{units.format_shape(final)}", help=help)


def is_map_of_columns(context: LintContext, row: Row) -> bool:
    """Return whether a row's input has the layout (N, C, H, W), with several channels."""
    axes = context.axes[row.inputs[0].value.id]
    if len(axes) < 4 or len(axes[1]) != 1 or axes[1][0].kind != FEATURES or not axes[-1]:
        return False
    return all(whole_axis(axis) is not None and axis[0].kind == POSITIONS for axis in axes[2:] if axis)


def classifier_end(context: LintContext, row: Row) -> Row | None:
    """Return the row that makes the net's output, if only activations, dropouts and linear layers lie before it."""
    end: Row | None = row
    while end is not None and end.outputs[0].id not in context.index.output_ids:
        end = context.sole_reader(end)
        if end is not None and op_name(end) not in CLASSIFIER_OPS:
            return None
    return end if end is not None and not context.readers(end) else None
