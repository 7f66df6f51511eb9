"""Rules for windows: input that they never read, kernels mostly on padding, and receptive fields of the last maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from archscope import units
from archscope.checks.lint.lint_context import CONV_OPS, LintContext, rule_finding
from archscope.checks.lint.lint_rule import lint_rule
from archscope.ops.windows import AxisWindow, axis_windows
from archscope.report import Finding
from archscope.report.receptive_extent import ReceptiveField
from archscope.report.receptive_field import field_text as field_text
from archscope.report.receptive_field import input_extent
from archscope.trace import Row

AXIS_WORDS = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


@lint_rule("skipping-stride", "note", "a stride larger than its kernel skips a part of the input")
def skipping_stride(context: LintContext) -> Iterator[Finding]:
    """Yield windows with a stride larger than the kernel. Next to a path that reads everything this is usual, as in
    shortcuts: a note. On the only path that input is never read: a warning."""
    for row in context.rows:
        windows = axis_windows(row)
        share = prod(window.read_share for window in windows)
        if not windows or share == 1:
            continue
        bypassed = is_bypassed(context, row)
        kernel, strides = units.format_shape([w.kernel for w in windows]), [w.stride for w in windows]
        stride = units.format_shape(strides if len(set(strides)) > 1 else strides[:1])
        part = units.format_share(share.numerator, share.denominator)
        message = f"a {kernel} window at stride {stride} reads {part} of its input"
        level = "note" if bypassed else "warning"
        help = (
            "an average pool before it, and no stride, would read all"
            if bypassed
            else "a kernel as large as the stride"
        )
        yield rule_finding("skipping-stride", row, message, help=help, level=level)


def is_bypassed(context: LintContext, row: Row) -> bool:
    """Return whether a path from an input to an output avoids this row, and all rows that skip parts of the same
    value."""
    value = row.inputs[0].value
    if value.id in context.index.output_ids:
        return True
    skipping = {
        reader.index
        for reader in context.index.readers(value.id)
        if any(window.read_share < 1 for window in axis_windows(reader))
    }
    reached = context.index.reachable_values(context.index.inputs, without=skipping)
    return not reached.isdisjoint(context.index.output_ids)


@lint_rule("dropped-pixels", "note", "rows and columns that a window's rounding never reads")
def dropped_pixels(context: LintContext) -> Iterator[Finding]:
    for row in context.rows:
        windows = axis_windows(row)
        named = zip(AXIS_WORDS.get(len(windows), ()), windows, strict=True)
        lost = [
            (name, w) for name, w in named if w.unread_tail > padding_before(context, row, w.axis) and w.read_share == 1
        ]
        if lost:
            names = " and ".join(f"{name}{lost_positions_text(window)}" for name, window in lost)
            size = units.format_shape([window.size for window in windows])
            below = lost[0][1].size - lost[0][1].unread_tail
            sizes = f"{units.format_count(below)} or {units.format_count(below + lost[0][1].stride)}"
            help = f"an input of {sizes} there, more padding, or ceil_mode=True for a pool"
            yield rule_finding("dropped-pixels", row, f"no window reads {names} of {size}, counted from 0", help=help)


def padding_before(context: LintContext, row: Row, axis: int) -> int:
    """Return the number of positions at the end of an axis that a `pad` just before added; the whole axis if that is
    unknown."""
    shape = row.inputs[0].value.shape
    maker = context.index.maker(row.inputs[0])
    pads = maker.get("pad") if maker is not None and maker.short_name == "pad" else ()
    last = 2 * (len(shape) - 1 - axis) + 1
    added = pads[last] if isinstance(pads, tuple) and last < len(pads) else 0
    return added if isinstance(added, int) else shape[axis]


def lost_positions_text(window: AxisWindow) -> str:
    first, last = window.size - window.unread_tail, window.size - 1
    return f" {last}" if first == last else f"s {first} to {last}"


@lint_rule("field-too-large", "note", "kernels larger than the map that they cover")
def field_too_large(context: LintContext) -> Iterator[Finding]:
    """Yield kernels on maps so small, or so dilated, that most of their weights never lie on the input."""
    for row in context.rows:
        windows = axis_windows(row) if row.short_name in CONV_OPS else ()
        used, total = prod(window.used_positions for window in windows), prod(window.kernel for window in windows)
        if windows and 2 * used < total:
            kernel, size = (
                units.format_shape([w.kernel for w in windows]),
                units.format_shape([w.size for w in windows]),
            )
            wasted = row.inputs[1].value.shape[0] * row.inputs[1].value.shape[1] * (total - used)
            message = (
                f"of a {kernel} kernel on a {size} map, {total - used} of {total} positions only ever meet padding"
            )
            help = (
                f"{units.format_count(wasted)} weights do nothing at this input size: a smaller kernel or fewer strides"
            )
            yield rule_finding("field-too-large", row, message, help=help)


@lint_rule("field-too-small", "note", "a receptive field smaller than what it must see")
def field_too_small(context: LintContext) -> Iterator[Finding]:
    """Yield receptive fields smaller than the input at the last pooling, or than the object size at the net's output
    maps."""
    sizes = input_extent(context.report.trace)
    wanted = context.object_size or sizes
    for row in context.rows:
        field = too_small_field(context, row, wanted)
        if field and (is_last_map(context, row) or (context.object_size and is_output_map(context, row))):
            what = "the objects it must see are" if context.object_size else "the input is"
            message = f"a position sees {field_text(field)} of the input; {what} {units.format_shape(wanted)}"
            level = "warning" if context.object_size else ""
            help = "more strides, dilation or depth before it"
            yield rule_finding("field-too-small", row, message, help=help, level=level)


def too_small_field(context: LintContext, row: Row, wanted: Sequence[int]) -> ReceptiveField:
    """Return the receptive field of a row's maps if it is known and smaller than wanted; else ()."""
    field = context.report.receptive_fields[row.index]
    known = [(reach.size, size) for reach, size in zip(field, wanted, strict=False) if not reach.whole]
    small = known and all(size is not None for size, _ in known) and any(size < n for size, n in known if size)
    return field if small and len(field) > 1 else ()


def is_last_map(context: LintContext, row: Row) -> bool:
    """Return whether all readers of a row's maps are global pools, and no map comes after, so that the pool is not part
    of a gate."""
    readers = context.readers(row)
    return (
        bool(readers)
        and all(is_global_pool(context, row, reader) for reader in readers)
        and row.index >= context.last_map_index
    )


def is_global_pool(context: LintContext, row: Row, reader: Row) -> bool:
    pooled = reader.short_name.startswith("adaptive_") or reader.short_name in (
        "mean",
        "avg_pool2d",
        "amax",
        "max_pool2d",
    )
    return (
        pooled
        and all(reach.whole for reach in context.report.receptive_fields[reader.index])
        and len(row.outputs[0].shape) > 3
    )


def is_output_map(context: LintContext, row: Row) -> bool:
    return any(value.id in context.index.output_ids and max(value.shape[2:], default=1) > 1 for value in row.outputs)
