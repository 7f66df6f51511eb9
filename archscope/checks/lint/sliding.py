"""Windows: input that they never read, and kernels that mostly meet padding; what the last maps can see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from archscope import units
from archscope.checks.lint.flow import CONVOLUTIONS, LEVELS, Flow, found
from archscope.report import Finding
from archscope.report.reach import Field
from archscope.report.receptive import extent
from archscope.report.receptive import text as field_text
from archscope.report.slides import Slide, slides
from archscope.trace import Row

AXES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


def skipping_stride(flow: Flow) -> Iterator[Finding]:
    """Beside a path that reads everything it is usual, as in shortcuts; on the only path the input is lost for good."""
    for row in flow.rows:
        windows = slides(row)
        share = prod(window.read for window in windows)
        if not windows or share == 1:
            continue
        beside = bypassed(flow, row)
        kernel, strides = units.shape([w.kernel for w in windows]), [w.stride for w in windows]
        stride = units.shape(strides if len(set(strides)) > 1 else strides[:1])
        part = units.share(share.numerator, share.denominator)
        said = f"a {kernel} window at stride {stride} reads {part} of its input"
        level = "note" if beside else "warning"
        help = (
            "an average pool before it, and no stride, would read all" if beside else "a kernel as large as the stride"
        )
        yield found("skipping-stride", row, said, help=help, level=level)


def bypassed(flow: Flow, row: Row) -> bool:
    """Whether a path leads from an input to a result past this row, and past all that skip parts of the same value."""
    value = row.inputs[0].value
    if value.id in flow.index.results:
        return True
    skipping = {one.index for one in flow.index.readers(value.id) if any(window.read < 1 for window in slides(one))}
    reached = flow.index.reached(flow.index.inputs, without=skipping)
    return not reached.isdisjoint(flow.index.results)


def dropped_pixels(flow: Flow) -> Iterator[Finding]:
    for row in flow.rows:
        windows = slides(row)
        named = zip(AXES.get(len(windows), ()), windows, strict=True)
        lost = [(name, w) for name, w in named if w.tail > padded(flow, row, w.axis) and w.read == 1]
        if lost:
            names = " and ".join(f"{name}{positions(window)}" for name, window in lost)
            size = units.shape([window.size for window in windows])
            sizes = " or ".join(units.count(n) for n in legal(lost[0][1]))
            help = f"an input of {sizes} there, more padding, or ceil_mode=True for a pool"
            yield found("dropped-pixels", row, f"no window reads {names} of {size}, counted from 0", help=help)


def padded(flow: Flow, row: Row, axis: int) -> int:
    """How many positions at the end of an axis a `pad` has just put there; where it did not say, all of them may be."""
    shape = row.inputs[0].value.shape
    maker = flow.index.maker(row.inputs[0])
    pads = maker.get("pad") if maker is not None and maker.short == "pad" else ()
    last = 2 * (len(shape) - 1 - axis) + 1
    put = pads[last] if isinstance(pads, tuple) and last < len(pads) else 0
    return put if isinstance(put, int) else shape[axis]


def positions(window: Slide) -> str:
    first, last = window.size - window.tail, window.size - 1
    return f" {last}" if first == last else f"s {first} to {last}"


def legal(window: Slide) -> tuple[int, int]:
    """The nearest sizes that leave nothing over."""
    below = window.size - window.tail
    return below, below + window.stride


def field_too_large(flow: Flow) -> Iterator[Finding]:
    """Kernels on maps so small, or so far dilated, that most of their weights never meet the input."""
    for row in flow.rows:
        windows = slides(row) if row.short in CONVOLUTIONS else ()
        met, held = prod(window.meets for window in windows), prod(window.kernel for window in windows)
        if windows and 2 * met < held:
            kernel, size = units.shape([w.kernel for w in windows]), units.shape([w.size for w in windows])
            wasted = row.inputs[1].value.shape[0] * row.inputs[1].value.shape[1] * (held - met)
            said = f"of a {kernel} kernel on a {size} map, {held - met} of {held} positions only ever meet padding"
            help = f"{units.count(wasted)} weights do nothing at this input size: a smaller kernel or fewer strides"
            yield found("field-too-large", row, said, help=help)


def field_too_small(flow: Flow) -> Iterator[Finding]:
    """At the pooling that ends the maps, and with a given object size at maps that the net gives."""
    sizes = extent(flow.report.trace)
    wanted = flow.object_size or sizes
    for row in flow.rows:
        field = small_field(flow, row, wanted)
        if field and (ends_maps(flow, row) or (flow.object_size and gives_maps(flow, row))):
            what = "the things it must see are" if flow.object_size else "the input is"
            said = f"a position sees {field_text(field)} of the input; {what} {units.shape(wanted)}"
            level = "warning" if flow.object_size else LEVELS["field-too-small"]
            help = "more strides, dilation or depth before it"
            yield found("field-too-small", row, said, help=help, level=level)


def small_field(flow: Flow, row: Row, wanted: Sequence[int]) -> Field:
    """The field of a row's maps, where it is known and smaller than wanted."""
    field = flow.report.fields[row.index]
    known = [(reach.size, size) for reach, size in zip(field, wanted, strict=False) if not reach.whole]
    small = known and all(size is not None for size, _ in known) and any(size < n for size, n in known if size)
    return field if small and len(field) > 1 else ()


def ends_maps(flow: Flow, row: Row) -> bool:
    """Whether all that reads a row's maps pools them whole, and no map comes after: the pool is no gate's."""
    readers = flow.readers(row)
    return bool(readers) and all(pools_whole(flow, row, one) for one in readers) and row.index >= flow.last_map


def pools_whole(flow: Flow, row: Row, reader: Row) -> bool:
    pooled = reader.short.startswith("adaptive_") or reader.short in ("mean", "avg_pool2d", "amax", "max_pool2d")
    return pooled and all(reach.whole for reach in flow.report.fields[reader.index]) and len(row.outputs[0].shape) > 3


def gives_maps(flow: Flow, row: Row) -> bool:
    return any(value.id in flow.index.results and max(value.shape[2:], default=1) > 1 for value in row.outputs)
