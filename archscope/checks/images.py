"""Which sizes of the input image would do: the windows on the way from the input → sizes at which all sides agree.

    operand ─ windows since the input ─→ size(n) for any n ─→ legal sizes near the one that was given
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import islice

from archscope.checks.axes import Made, origins
from archscope.report.windows import Window, window_of
from archscope.trace import Operand
from archscope.trace_index import TraceIndex

FARTHEST = 4
"""How many times the given size is looked at."""
USUAL = (28, 32, 64, 96, 128, 224, 256)
"""Sizes of images that people use."""
JOINS = ("add", "sub", "mul", "cat", "concat", "stack")


def windows_to(index: TraceIndex, operand: Operand, *, back: int = 1) -> list[Window] | None:
    """The windows that an axis of an operand went through since the input, in the order of the run.

    back: which axis, counted from the end: 1 is the width, 2 the height. None where something else changed its size,
    or where it comes from no input.
    """
    found: list[Window] = []
    value, axis = operand.value, len(operand.value.shape) - back
    while (row := index.makers.get(value.id)) is not None:
        sources = origins(Made(row, index.activations(row), value.shape, axis))
        window = window_of(row)
        if len(sources) != 1 or (window is None and sources[0][0].value.shape[sources[0][1]] != value.shape[axis]):
            return None
        found += [window] if window is not None else []
        value, axis = sources[0][0].value, sources[0][1]
    return found[::-1] if value.id in index.flowing else None


def size_after(windows: Sequence[Window], size: int, *, back: int = 1) -> int:
    """An axis after all windows; 0 or less where one does not fit."""
    return reduce(lambda n, window: window.size(n, window.axes - back) if n > 0 else 0, windows, size)


def given_size(index: TraceIndex, *, back: int = 1) -> int:
    """The width (or, 2 back, the height) of the net's input image; 0 where it has none."""
    shapes = [operand.value.shape for operand in index.trace.inputs]
    return next((shape[-back] for shape in shapes if len(shape) == 4), 0)


def legal_sizes(index: TraceIndex, *, back: int = 1) -> list[int]:
    """The widths (2 back: heights) of the input nearest to the given one at which every join fits: two on each side.

    Joins whose sizes cannot be followed back to the input are left out.
    """
    given = given_size(index, back=back)
    joins = list(joined_ways(index, back)) if given else []
    if not joins:
        return []
    ranges = range(given - 1, 0, -1), range(given + 1, FARTHEST * given)
    below, above = (list(islice((n for n in sizes if fits(joins, n, back)), 2)) for sizes in ranges)
    return [*reversed(below), *above]


def joined_ways(index: TraceIndex, back: int) -> Iterator[list[list[Window]]]:
    """For every join of images the windows on the way to each of its operands."""
    for row in index.trace.rows:
        images = [operand for operand in index.activations(row) if len(operand.value.shape) == 4]
        if row.short.removesuffix("_") in JOINS and len(images) > 1:
            ways = [windows_to(index, operand, back=back) for operand in images]
            known = [way for way in ways if way is not None]
            if len(known) == len(ways):
                yield known


def fits(joins: Sequence[Sequence[Sequence[Window]]], size: int, back: int) -> bool:
    return all(agree([size_after(way, size, back=back) for way in ways]) for ways in joins)


def sizes_for(index: TraceIndex, operand: Operand, width: int) -> list[int]:
    """The widths of the input at which an operand has this width: those that people use first, then the nearest."""
    way, given = windows_to(index, operand), given_size(index)
    if way is None or not given:
        return []
    found = [n for n in range(1, FARTHEST * given + 1) if size_after(way, n) == width]
    return sorted(found, key=lambda n: (n not in USUAL, abs(n - given), n))


def agree(sizes: Sequence[int]) -> bool:
    return len(set(sizes)) == 1 and sizes[0] > 0
