"""How far a value reaches along the input's axes; how reaches are joined, mixed, shifted and moved to other axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from archscope.trace import Row, Shape


@dataclass(frozen=True)
class ReceptiveExtent:
    """Along one axis of the input: how many of its positions one position of a value depends on.

    size: None where it is not known. jump: how far apart two neighbours of the value lie in the input. at: the value's
    axes that run over these positions; none where it holds a single one. whole: all positions were mixed.
    """

    size: Fraction | None = Fraction(1)
    jump: Fraction = Fraction(1)
    at: frozenset[int] = frozenset()
    whole: bool = False

    @property
    def text(self) -> str:
        """`23`, `all`, `?`."""
        if self.whole:
            return "all"
        return "?" if self.size is None else str(ceil(self.size))


ReceptiveField = tuple[ReceptiveExtent, ...]
"""One Reach for each axis of positions; () of what does not depend on the input's positions."""


@dataclass(frozen=True)
class ReceptiveRow:
    """A row, the fields of its operands (in the order of `row.inputs`), and the shape of the output asked for."""

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
        """An axis by the attribute that names it, counted from the front."""
        dim = self.row.get(name, default)
        return dim % max(1, len(self.shape)) if isinstance(dim, int) else default


ReceptiveRule = Callable[[ReceptiveRow], ReceptiveField]
WindowMoves = Mapping[int, tuple[int, Fraction]]
"""Axis → how many neighbours beyond itself a position takes in, and by what the jump grows."""


def join_fields(wanted: Iterable[ReceptiveField]) -> ReceptiveField:
    """Branches that meet: along every axis the larger reach."""
    made: ReceptiveField = ()
    for field in wanted:
        longer, shorter = (made, field) if len(made) >= len(field) else (field, made)
        made = (*map(larger_extent, made, field), *longer[len(shorter) :])
    return made


def larger_extent(one: ReceptiveExtent, other: ReceptiveExtent) -> ReceptiveExtent:
    size = None if one.size is None or other.size is None else max(one.size, other.size)
    runs = one if one.at else other
    return ReceptiveExtent(size, runs.jump, runs.at, one.whole or other.whole)


def mix_axes(reach: ReceptiveExtent, axes: Iterable[int]) -> ReceptiveExtent:
    """After all positions along these axes of a value were combined."""
    touched = reach.at.intersection(axes)
    if not touched:
        return reach
    return replace(reach, whole=True) if touched == reach.at else replace(reach, size=None)


def move_axes(field: ReceptiveField, where: Mapping[int, Iterable[int]], out: Shape) -> ReceptiveField:
    """With the axes of another value: old axis → new ones. An axis of one position runs over none."""
    return tuple(
        replace(reach, at=frozenset(new for old in reach.at for new in where.get(old, ()) if out[new] != 1))
        for reach in field
    )


def unknown_field(seen: ReceptiveRow) -> ReceptiveField:
    return tuple(replace(reach, size=None, at=frozenset()) for reach in join_fields(seen.fields))


def shift_extent(reach: ReceptiveExtent, moves: WindowMoves) -> ReceptiveExtent:
    """A reach after a window moved along its axis; unknown where positions of several axes share one."""
    touched = reach.at & moves.keys()
    if not touched:
        return reach
    if reach.at != touched or len(touched) > 1:
        return replace(reach, size=None)
    more, factor = moves[next(iter(touched))]
    size = None if reach.size is None else reach.size + more * reach.jump
    return replace(reach, size=size, jump=reach.jump * factor)


def identity_axes(seen: ReceptiveRow) -> Mapping[int, list[int]]:
    return {axis: [axis] for axis in range(min(len(seen.shape), len(seen.out)))}


def align_right(field: ReceptiveField, shape: Shape, out: Shape) -> ReceptiveField:
    """Axes counted from the end, as broadcasting does."""
    shift = len(out) - len(shape)
    return move_axes(field, {axis: [axis + shift] for axis in range(len(shape)) if axis + shift >= 0}, out)
