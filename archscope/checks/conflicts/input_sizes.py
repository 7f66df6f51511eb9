"""Which sizes of the input image would do: the steps on the way from the input → sizes at which all sides agree.

operand ─ windows, interpolations, paddings since the input ─→ size(n) for any n ─→ legal sizes near the given one
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import islice

from archscope.checks.conflicts.axes import Made, origins
from archscope.checks.conflicts.causes import ENLARGES
from archscope.report.windows import window_of
from archscope.trace import Operand, Row
from archscope.trace_index import TraceIndex

FARTHEST = 4
"""How many times the given size is looked at."""
USUAL = (28, 32, 64, 96, 128, 224, 256)
"""Sizes of images that people use."""
JOINS = ("add", "sub", "mul", "cat", "concat", "stack")
Resize = Callable[[int], int]
"""What a step makes of the size of one axis."""


def resizes_to(index: TraceIndex, operand: Operand, *, back: int = 1) -> list[Resize] | None:
    """What an axis of an operand went through since the input, in the order of the run.

    back: which axis, counted from the end: 1 is the width, 2 the height. None where something changed its size in a
    way that is not known, or where it comes from no input.
    """
    found: list[Resize] = []
    value, axis = operand.value, len(operand.value.shape) - back
    while (row := index.makers.get(value.id)) is not None:
        sources = origins(Made(row, index.activations(row), value.shape, axis))
        if len(sources) != 1:
            return None
        source, where = sources[0]
        step = resize_of(row, source.value.shape[where], value.shape[axis], back)
        if step is None:
            return None
        found.append(step)
        value, axis = source.value, where
    return found[::-1] if value.id in index.flowing else None


def resize_of(row: Row, before: int, after: int, back: int) -> Resize | None:
    """What a row makes of any size of one axis; None where that is not known."""
    window = window_of(row)
    if window is not None:
        return lambda n: window.size(n, window.axes - back)
    if row.short in ENLARGES and before:
        return scaled_by(row, before, after, back)
    if row.short == "pad":
        return lambda n: n + after - before
    return (lambda n: n) if before == after else None


def scaled_by(row: Row, before: int, after: int, back: int) -> Resize | None:
    """An interpolation by a factor, or to a size; a pixel shuffle."""
    if row.get("size") is not None:
        return lambda n: after if n > 0 else 0
    factor = row.get("scale_factor")
    factor = factor[-back] if isinstance(factor, tuple) and len(factor) >= back else factor
    if isinstance(factor, (int, float)):
        return lambda n: int(n * factor)
    if after % before == 0:
        return lambda n: n * (after // before)
    return (lambda n: n // (before // after)) if before % after == 0 else None


def size_after(steps: Sequence[Resize], size: int) -> int:
    """An axis after all steps; 0 or less where one does not fit."""
    return reduce(lambda n, step: step(n) if n > 0 else 0, steps, size)


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
    below, above = (list(islice((n for n in sizes if fits(joins, n)), 2)) for sizes in ranges)
    return [*reversed(below), *above]


def is_legal(index: TraceIndex, *, back: int = 1) -> bool:
    """Whether every join fits along this axis of the input as it is."""
    given = given_size(index, back=back)
    return bool(given) and fits(list(joined_ways(index, back)), given)


def joined_ways(index: TraceIndex, back: int) -> Iterator[list[list[Resize]]]:
    """For every join of images the steps on the way to each of its operands."""
    for row in index.trace.rows:
        images = [operand for operand in index.activations(row) if len(operand.value.shape) == 4]
        if row.short.removesuffix("_") in JOINS and len(images) > 1:
            ways = [resizes_to(index, operand, back=back) for operand in images]
            known = [way for way in ways if way is not None]
            if len(known) == len(ways):
                yield known


def fits(joins: Sequence[Sequence[Sequence[Resize]]], size: int) -> bool:
    return all(agree([size_after(way, size) for way in ways]) for ways in joins)


def sizes_for(index: TraceIndex, operand: Operand, width: int) -> list[int]:
    """The widths of the input at which an operand has this width: those that people use first, then the nearest."""
    way, given = resizes_to(index, operand), given_size(index)
    if way is None or not given:
        return []
    found = [n for n in range(1, FARTHEST * given + 1) if size_after(way, n) == width]
    return sorted(found, key=lambda n: (n not in USUAL, abs(n - given), n))


def agree(sizes: Sequence[int]) -> bool:
    return len(set(sizes)) == 1 and sizes[0] > 0
