"""How far a value reaches along the input's axes; how reaches are joined, mixed, shifted and moved to other axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from archscope.trace import Row, Shape


@dataclass(frozen=True)
class Reach:
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


Field = tuple[Reach, ...]
"""One Reach for each axis of positions; () of what does not depend on the input's positions."""


@dataclass(frozen=True)
class Seen:
    """A row, the fields of its operands (in the order of `row.inputs`), and the shape of the output asked for."""

    row: Row
    fields: tuple[Field, ...]
    out: Shape

    @property
    def field(self) -> Field:
        return self.fields[0] if self.fields else ()

    @property
    def shape(self) -> Shape:
        return self.row.inputs[0].value.shape if self.row.inputs else ()

    def axis(self, name: str, default: int) -> int:
        """An axis by the attribute that names it, counted from the front."""
        dim = self.row.get(name, default)
        return dim % max(1, len(self.shape)) if isinstance(dim, int) else default


Rule = Callable[[Seen], Field]
Moves = Mapping[int, tuple[int, Fraction]]
"""Axis → how many neighbours beyond itself a position takes in, and by what the jump grows."""


def joined(wanted: Iterable[Field]) -> Field:
    """Branches that meet: along every axis the larger reach."""
    made: Field = ()
    for field in wanted:
        longer, shorter = (made, field) if len(made) >= len(field) else (field, made)
        made = (*map(larger, made, field), *longer[len(shorter) :])
    return made


def larger(one: Reach, other: Reach) -> Reach:
    size = None if one.size is None or other.size is None else max(one.size, other.size)
    runs = one if one.at else other
    return Reach(size, runs.jump, runs.at, one.whole or other.whole)


def mixed(reach: Reach, axes: Iterable[int]) -> Reach:
    """After all positions along these axes of a value were combined."""
    touched = reach.at.intersection(axes)
    if not touched:
        return reach
    return replace(reach, whole=True) if touched == reach.at else replace(reach, size=None)


def moved(field: Field, where: Mapping[int, Iterable[int]], out: Shape) -> Field:
    """With the axes of another value: old axis → new ones. An axis of one position runs over none."""
    return tuple(
        replace(reach, at=frozenset(new for old in reach.at for new in where.get(old, ()) if out[new] != 1))
        for reach in field
    )


def unknown(seen: Seen) -> Field:
    return tuple(replace(reach, size=None, at=frozenset()) for reach in joined(seen.fields))


def shifted(reach: Reach, moves: Moves) -> Reach:
    """A reach after a window moved along its axis; unknown where positions of several axes share one."""
    touched = reach.at & moves.keys()
    if not touched:
        return reach
    if reach.at != touched or len(touched) > 1:
        return replace(reach, size=None)
    more, factor = moves[next(iter(touched))]
    size = None if reach.size is None else reach.size + more * reach.jump
    return replace(reach, size=size, jump=reach.jump * factor)


def same_axes(seen: Seen) -> Mapping[int, list[int]]:
    return {axis: [axis] for axis in range(min(len(seen.shape), len(seen.out)))}


def counted_back(field: Field, shape: Shape, out: Shape) -> Field:
    """Axes counted from the end, as broadcasting does."""
    shift = len(out) - len(shape)
    return moved(field, {axis: [axis + shift] for axis in range(len(shape)) if axis + shift >= 0}, out)
