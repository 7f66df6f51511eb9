"""Windows: input that they never read, and kernels that mostly meet padding; what the last maps can see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from archscope import units
from archscope.checks.lint.lint_context import CONV_OPS, RULE_LEVELS, LintContext, rule_finding
from archscope.report import Finding
from archscope.report.receptive_extent import ReceptiveField
from archscope.report.receptive_field import field_text as field_text
from archscope.report.receptive_field import input_extent
from archscope.report.receptive_windows import ReceptiveWindow, receptive_windows
from archscope.trace import Row

AXIS_WORDS = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


def skipping_stride(flow: LintContext) -> Iterator[Finding]:
    """Beside a path that reads everything it is usual, as in shortcuts; on the only path the input is lost for good."""
    for row in flow.rows:
        windows = receptive_windows(row)
        share = prod(window.read_share for window in windows)
        if not windows or share == 1:
            continue
        beside = is_bypassed(flow, row)
        kernel, strides = units.format_shape([w.kernel for w in windows]), [w.stride for w in windows]
        stride = units.format_shape(strides if len(set(strides)) > 1 else strides[:1])
        part = units.format_share(share.numerator, share.denominator)
        said = f"a {kernel} window at stride {stride} reads {part} of its input"
        level = "note" if beside else "warning"
        help = (
            "an average pool before it, and no stride, would read all" if beside else "a kernel as large as the stride"
        )
        yield rule_finding("skipping-stride", row, said, help=help, level=level)


def is_bypassed(flow: LintContext, row: Row) -> bool:
    """Whether a path leads from an input to a result past this row, and past all that skip parts of the same value."""
    value = row.inputs[0].value
    if value.id in flow.index.output_ids:
        return True
    skipping = {
        one.index
        for one in flow.index.readers(value.id)
        if any(window.read_share < 1 for window in receptive_windows(one))
    }
    reached = flow.index.reachable_values(flow.index.inputs, without=skipping)
    return not reached.isdisjoint(flow.index.output_ids)


def dropped_pixels(flow: LintContext) -> Iterator[Finding]:
    for row in flow.rows:
        windows = receptive_windows(row)
        named = zip(AXIS_WORDS.get(len(windows), ()), windows, strict=True)
        lost = [
            (name, w) for name, w in named if w.unread_tail > padding_before(flow, row, w.axis) and w.read_share == 1
        ]
        if lost:
            names = " and ".join(f"{name}{lost_positions_text(window)}" for name, window in lost)
            size = units.format_shape([window.size for window in windows])
            sizes = " or ".join(units.format_count(n) for n in exact_sizes(lost[0][1]))
            help = f"an input of {sizes} there, more padding, or ceil_mode=True for a pool"
            yield rule_finding("dropped-pixels", row, f"no window reads {names} of {size}, counted from 0", help=help)


def padding_before(flow: LintContext, row: Row, axis: int) -> int:
    """How many positions at the end of an axis a `pad` has just put there; where it did not say, all of them may be."""
    shape = row.inputs[0].value.shape
    maker = flow.index.maker(row.inputs[0])
    pads = maker.get("pad") if maker is not None and maker.short_name == "pad" else ()
    last = 2 * (len(shape) - 1 - axis) + 1
    put = pads[last] if isinstance(pads, tuple) and last < len(pads) else 0
    return put if isinstance(put, int) else shape[axis]


def lost_positions_text(window: ReceptiveWindow) -> str:
    first, last = window.size - window.unread_tail, window.size - 1
    return f" {last}" if first == last else f"s {first} to {last}"


def exact_sizes(window: ReceptiveWindow) -> tuple[int, int]:
    """The nearest sizes that leave nothing over."""
    below = window.size - window.unread_tail
    return below, below + window.stride


def field_too_large(flow: LintContext) -> Iterator[Finding]:
    """Kernels on maps so small, or so far dilated, that most of their weights never meet the input."""
    for row in flow.rows:
        windows = receptive_windows(row) if row.short_name in CONV_OPS else ()
        met, held = prod(window.used_positions for window in windows), prod(window.kernel for window in windows)
        if windows and 2 * met < held:
            kernel, size = (
                units.format_shape([w.kernel for w in windows]),
                units.format_shape([w.size for w in windows]),
            )
            wasted = row.inputs[1].value.shape[0] * row.inputs[1].value.shape[1] * (held - met)
            said = f"of a {kernel} kernel on a {size} map, {held - met} of {held} positions only ever meet padding"
            help = (
                f"{units.format_count(wasted)} weights do nothing at this input size: a smaller kernel or fewer strides"
            )
            yield rule_finding("field-too-large", row, said, help=help)


def field_too_small(flow: LintContext) -> Iterator[Finding]:
    """At the pooling that ends the maps, and with a given object size at maps that the net gives."""
    sizes = input_extent(flow.report.trace)
    wanted = flow.object_size or sizes
    for row in flow.rows:
        field = too_small_field(flow, row, wanted)
        if field and (is_last_map(flow, row) or (flow.object_size and is_output_map(flow, row))):
            what = "the things it must see are" if flow.object_size else "the input is"
            said = f"a position sees {field_text(field)} of the input; {what} {units.format_shape(wanted)}"
            level = "warning" if flow.object_size else RULE_LEVELS["field-too-small"]
            help = "more strides, dilation or depth before it"
            yield rule_finding("field-too-small", row, said, help=help, level=level)


def too_small_field(flow: LintContext, row: Row, wanted: Sequence[int]) -> ReceptiveField:
    """The field of a row's maps, where it is known and smaller than wanted."""
    field = flow.report.receptive_fields[row.index]
    known = [(reach.size, size) for reach, size in zip(field, wanted, strict=False) if not reach.whole]
    small = known and all(size is not None for size, _ in known) and any(size < n for size, n in known if size)
    return field if small and len(field) > 1 else ()


def is_last_map(flow: LintContext, row: Row) -> bool:
    """Whether all that reads a row's maps pools them whole, and no map comes after: the pool is no gate's."""
    readers = flow.readers(row)
    return bool(readers) and all(is_global_pool(flow, row, one) for one in readers) and row.index >= flow.last_map_index


def is_global_pool(flow: LintContext, row: Row, reader: Row) -> bool:
    pooled = reader.short_name.startswith("adaptive_") or reader.short_name in (
        "mean",
        "avg_pool2d",
        "amax",
        "max_pool2d",
    )
    return (
        pooled
        and all(reach.whole for reach in flow.report.receptive_fields[reader.index])
        and len(row.outputs[0].shape) > 3
    )


def is_output_map(flow: LintContext, row: Row) -> bool:
    return any(value.id in flow.index.output_ids and max(value.shape[2:], default=1) > 1 for value in row.outputs)
