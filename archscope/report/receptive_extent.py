"""The extent of a receptive field along the input's axes, and how extents are joined, mixed, shifted and moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from archscope.ops.axis_map import dim_of
from archscope.trace import Row, Shape


@dataclass(frozen=True)
class ReceptiveExtent:
    """The number of positions along one axis of the input that one position of a value depends on.

    size: None if unknown. jump: the distance in the input between two neighbours of the value. at: the value's axes
    that run over these positions; empty if it has a single position. whole: all positions were mixed.
    """

    size: Fraction | None = Fraction(1)
    jump: Fraction = Fraction(1)
    at: frozenset[int] = frozenset()
    whole: bool = False

    @property
    def text(self) -> str:
        """`23`, `all` or `?`."""
        if self.whole:
            return "all"
        return "?" if self.size is None else str(ceil(self.size))


ReceptiveField = tuple[ReceptiveExtent, ...]
"""One extent for each axis of positions; () if the value does not depend on the input's positions."""


@dataclass(frozen=True)
class ReceptiveRow:
    """A row, the fields of its operands (in the order of `row.inputs`), and the shape of the output in question."""

    row: Row
    fields: tuple[ReceptiveField, ...]
    out: Shape

    @property
    def field(self) -> ReceptiveField:
        return self.fields[0] if self.fields else ()

    @property
    def shape(self) -> Shape:
        return self.row.inputs[0].value.shape if self.row.inputs else ()

    def axis(self, name: str, default: int) -> int:
        """Return the axis that an attribute names, counted from the front."""
        return dim_of(self.row, name, default, len(self.shape))


ReceptiveRule = Callable[[ReceptiveRow], ReceptiveField]
WindowMoves = Mapping[int, tuple[int, Fraction]]
"""Axis → the number of further neighbours that a position covers, and the factor of the jump."""


def join_fields(fields: Iterable[ReceptiveField]) -> ReceptiveField:
    """Return the field of a value that joins branches: the larger extent along every axis."""
    joined: ReceptiveField = ()
    for field in fields:
        longer, shorter = (joined, field) if len(joined) >= len(field) else (field, joined)
        joined = (*map(larger_extent, joined, field), *longer[len(shorter) :])
    return joined


def larger_extent(first: ReceptiveExtent, second: ReceptiveExtent) -> ReceptiveExtent:
    size = None if first.size is None or second.size is None else max(first.size, second.size)
    spanning = first if first.at else second
    return ReceptiveExtent(size, spanning.jump, spanning.at, first.whole or second.whole)


def mix_axes(extent: ReceptiveExtent, axes: Iterable[int]) -> ReceptiveExtent:
    """Return the extent after all positions along these axes of a value were combined."""
    touched = extent.at.intersection(axes)
    if not touched:
        return extent
    return replace(extent, whole=True) if touched == extent.at else replace(extent, size=None)


def move_axes(field: ReceptiveField, where: Mapping[int, Iterable[int]], out: Shape) -> ReceptiveField:
    """Return the field with the axes of another value: old axis → new ones. An axis of size 1 runs over no
    positions."""
    return tuple(
        replace(extent, at=frozenset(new for old in extent.at for new in where.get(old, ()) if out[new] != 1))
        for extent in field
    )


def unknown_field(seen: ReceptiveRow) -> ReceptiveField:
    return tuple(replace(extent, size=None, at=frozenset()) for extent in join_fields(seen.fields))


def shift_extent(extent: ReceptiveExtent, moves: WindowMoves) -> ReceptiveExtent:
    """Return the extent after a window moved along its axis; unknown if several axes share its positions."""
    touched = extent.at & moves.keys()
    if not touched:
        return extent
    if extent.at != touched or len(touched) > 1:
        return replace(extent, size=None)
    more, factor = moves[next(iter(touched))]
    size = None if extent.size is None else extent.size + more * extent.jump
    return replace(extent, size=size, jump=extent.jump * factor)


def align_right(field: ReceptiveField, shape: Shape, out: Shape) -> ReceptiveField:
    """Return the field with axes counted from the end, as in broadcasting."""
    shift = len(out) - len(shape)
    return move_axes(field, {axis: [axis + shift] for axis in range(len(shape)) if axis + shift >= 0}, out)
