"""Axes that are taken for others: views where a transpose was meant, and a classifier along an image's width."""

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
from archscope.report import Finding
from archscope.report.receptive_reshape import axis_groups
from archscope.trace import Row

VIEW_OPS = frozenset(["view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"])
AXIS_MOVING_OPS = frozenset(["permute", "transpose", "swapaxes", "swapdims", "movedim", "T", "mT", "t"])
SPLIT_AND_JOIN_OPS = frozenset(
    ["unbind", "select", "chunk", "split", "cat", "concat", "concatenate", "stack", "unsqueeze", "squeeze"]
)
CONCAT_OPS = frozenset(["cat", "concat", "concatenate"])
SIMPLE_REDUCTIONS = frozenset(["mean", "sum", "amax", "amin", "max"])
ATTENTION_OPS = frozenset(["scaled_dot_product_attention", "multi_head_attention_forward"])
FEATURE_OPS = CONV_OPS | ATTENTION_OPS | {"linear", "matmul", "bmm", "layer_norm", "rms_norm", "lstm", "gru"}
ELEMENTWISE_OPS = ACTIVATIONS | DROPOUTS | {"add", "sub", "mul", "div", "softmax", "batch_norm"}
CLASSIFIER_OPS = ACTIVATIONS | DROPOUTS | {"softmax", "log_softmax", "linear"}


# ------------------------------------------------------------ views
def mixed_axes(flow: LintContext) -> Iterator[Finding]:
    """Views to sizes that are those of the axes in another order, whose result is then read along these axes."""
    for row in flow.rows:
        mixed = mixed_parts(flow, row) if op_name(row) in VIEW_OPS and row.inputs and len(row.outputs) == 1 else ()
        if mixed and is_read_by_axis(flow, row):
            before, after = (units.format_shape(value.shape) for value in (row.inputs[0].value, row.outputs[0]))
            sizes = units.format_shape([part.size for part in mixed])
            said = f"{before} viewed as {after}: a view moves nothing, so the axes {sizes} are mixed, not reordered"
            help = "transpose or permute before it, so that only neighbouring axes are merged or split"
            yield rule_finding("mixed-axes", row, said, help=help)


def mixed_parts(flow: LintContext, row: Row) -> tuple[AxisPart, ...]:
    """The axes that a view mixes, where their sizes say that they should have changed places."""
    parts = merge_parts(part for axis in flow.axes[row.inputs[0].value.id] for part in axis)
    sizes = [size for size in row.outputs[0].shape if size > 1]
    for before, after in axis_groups(tuple(part.size for part in parts), tuple(sizes)):
        held, wanted = [parts[i] for i in before], [sizes[i] for i in after]
        if len(held) > 1 and len(wanted) > 1 and can_regroup([part.size for part in held], wanted):
            kinds = {part.kind for part in held}
            if BATCH not in kinds and kinds != {POSITIONS} and not is_intended_mix(flow, row, held, wanted):
                return tuple(held)
    return ()


def can_regroup(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether sizes are merged and split, each as a whole, to the wanted ones; in any order."""
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


def is_intended_mix(flow: LintContext, row: Row, held: Sequence[AxisPart], wanted: Sequence[int]) -> bool:
    """Whether a view shifts positions against each other, as relative positions are, behind a padding or a cut; or
    regroups two axes, every k steps as one or each as k, so that the sizes agree by chance."""
    maker = flow.index.maker(row.inputs[0])
    while maker is not None and is_exact_passthrough(maker) and op_name(maker) not in VIEW_OPS:
        maker = flow.index.maker(maker.inputs[0])
    if maker is not None and (
        op_name(maker) in ("pad", "narrow") or (op_name(maker) == "getitem" and not takes_whole_axes(maker))
    ):
        return True
    if len(held) > 2 or len(wanted) > 2:
        return False
    one, other = held
    if abs(one.size - other.size) == 1 or (maker is not None and op_name(maker) in CONCAT_OPS):
        return True
    even = one.size % other.size == 0 or other.size % one.size == 0
    return even and (one.kind, other.kind) != (FEATURES, POSITIONS)


def takes_whole_axes(row: Row) -> bool:
    """Whether an index takes axes as a whole or one position of them, and no range."""
    index = row.get("index", "?")
    return all(isinstance(entry, int) or entry == "::" for entry in (index if isinstance(index, tuple) else (index,)))


def is_read_by_axis(flow: LintContext, row: Row) -> bool:
    """Whether what a view gives is read axis by axis, or is the net's; not where it is only taken back or cut."""
    waiting, along, seen = [row], False, {row.index}
    while waiting:
        made = waiting.pop()
        along |= any(value.id in flow.index.output_ids for value in made.outputs)
        for reader in flow.readers(made):
            name = op_name(reader)
            if name in FEATURE_OPS:
                along = True
            elif reader.index not in seen and keeps_axes(flow, reader):
                seen.add(reader.index)
                waiting.append(reader)
            elif reader.index not in seen:
                return False
    return along


def keeps_axes(flow: LintContext, row: Row) -> bool:
    """Whether a row keeps the axes of what it reads, so that its own readers tell more."""
    name = op_name(row)
    if name in VIEW_OPS:
        return not restores_axes(flow, row)
    if name in SIMPLE_REDUCTIONS:
        return flow.axes[row.outputs[0].id][-1:] == flow.axes[row.inputs[0].value.id][-1:]
    if name == "getitem":
        return takes_whole_axes(row)
    return name in AXIS_MOVING_OPS | SPLIT_AND_JOIN_OPS | ELEMENTWISE_OPS or is_passthrough(row)


def restores_axes(flow: LintContext, row: Row) -> bool:
    """Whether a view gives axes back as they were before another one."""
    made = regroup_axes(flow.axes[row.inputs[0].value.id], row.outputs[0].shape)
    cut = any(not part.is_entire for axis in flow.axes[row.inputs[0].value.id] for part in axis)
    return made is None or (cut and all(part.is_entire for axis in made for part in axis))


# ------------------------------------------------------------ classifiers
def linear_on_width(flow: LintContext) -> Iterator[Finding]:
    """Linear layers that end a net and read the last axis of channels × rows × columns, as convolutions give them."""
    sizes = {operand.value.shape[-1] for operand in flow.report.trace.inputs if operand.value.shape}
    for row in flow.rows:
        if op_name(row) != "linear" or not is_map_of_columns(flow, row):
            continue
        end = classifier_end(flow, row)
        if end is not None and end.outputs[0].shape[-1] not in {*sizes, row.inputs[0].value.shape[-1]}:
            given, made = row.inputs[0].value.shape, end.outputs[0].shape
            said = (
                f"{flow.index.layer_text(row)} reads the columns of "
                f"{units.format_shape(given)} maps, and the net gives "
            )
            help = "Flatten, or a pool over the whole map and Flatten, before it"
            yield rule_finding("linear-on-width", row, f"{said}{units.format_shape(made)}", help=help)


def is_map_of_columns(flow: LintContext, row: Row) -> bool:
    """Whether a row's input is laid out as (N, C, H, W), with several channels."""
    axes = flow.axes[row.inputs[0].value.id]
    if len(axes) < 4 or len(axes[1]) != 1 or axes[1][0].kind != FEATURES or not axes[-1]:
        return False
    return all(whole_axis(axis) is not None and axis[0].kind == POSITIONS for axis in axes[2:] if axis)


def classifier_end(flow: LintContext, row: Row) -> Row | None:
    """The row that gives the net's value, where activations, dropouts and linear layers alone lie before it."""
    end: Row | None = row
    while end is not None and end.outputs[0].id not in flow.index.output_ids:
        end = flow.sole_reader(end)
        if end is not None and op_name(end) not in CLASSIFIER_OPS:
            return None
    return end if end is not None and not flow.readers(end) else None
