"""Rules for rows that move positions to other axes: views, slices, concatenations and indexing."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul

from archscope.report.receptive_extent import (
    ReceptiveField,
    ReceptiveRow,
    WindowMoves,
    align_right,
    identity_axes,
    join_fields,
    move_axes,
    shift_extent,
    unknown_field,
)
from archscope.trace import Shape


def reshaped_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a view; merged and split axes are found by their products."""
    if prod(seen.shape) != prod(seen.out):
        return repeated_field(seen)
    where = {axis: after for before, after in axis_groups(seen.shape, seen.out) for axis in before}
    return move_axes(seen.field, where, seen.out)


def count_equal_leading(before: Shape, after: Shape) -> int:
    """Return the number of leading sizes that are equal."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((number for number, (old, new) in pairs if old != new), len(before))


def axis_groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Return the axes of two shapes of equal size in the smallest groups of equal products."""
    ends_old, ends_new = ([1, *accumulate(shape, mul)] for shape in (old, new))
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left, right = [i] if i < len(old) else [], [j] if j < len(new) else []
        i, j = i + len(left), j + len(right)
        while ends_old[i] != ends_new[j]:
            if ends_old[i] < ends_new[j] and i < len(old):
                left, i = [*left, i], i + 1
            elif j < len(new):
                right, j = [*right, j], j + 1
            else:
                return [*found, (left + list(range(i, len(old))), right)]
        found.append((left, right))
    return found


def attach_ones(found: list[tuple[list[int], list[int]]]) -> list[tuple[list[int], list[int]]]:
    """Return the groups with left-over axes of size 1 joined to the group before: (88, 1, 1) → 88."""
    joined: list[tuple[list[int], list[int]]] = []
    for before, after in found:
        if joined and before and not after:
            joined[-1] = (joined[-1][0] + before, joined[-1][1])
        else:
            joined.append((before, after))
    return joined


def repeated_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `expand` or `repeat`: axes are counted from the end."""
    if len(seen.out) < len(seen.shape):
        return unknown_field(seen)
    return align_right(seen.field, seen.shape, seen.out)


def permuted_field(seen: ReceptiveRow) -> ReceptiveField:
    order = seen.row.get("dims")
    rank = len(seen.shape)
    if seen.row.short_name != "permute" or not isinstance(order, tuple) or len(order) != rank:
        return unknown_field(seen)
    return move_axes(seen.field, {old % rank: [new] for new, old in enumerate(order)}, seen.out)


def transposed_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `transpose(0, 1)`; `.T` and `.mT` swap the last two axes."""
    rank = len(seen.shape)
    first, second = seen.axis("dim0", max(0, rank - 2)), seen.axis("dim1", rank - 1)
    return move_axes(seen.field, {**identity_axes(seen), first: [second], second: [first]}, seen.out)


def concatenated_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `cat` or `stack`: each part keeps its axes."""
    if len(seen.out) == len(seen.shape):
        return join_fields(seen.fields)
    new = seen.axis("dim", 0) if seen.row.get("dim", 0) != -1 else len(seen.shape)
    where = {axis: [axis + (axis >= new)] for axis in range(len(seen.shape))}
    return join_fields(move_axes(field, where, seen.out) for field in seen.fields)


def sliced_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field of a part along an axis (`chunk`, `narrow`, `pad`): neighbours stay neighbours; the axis may be
    removed."""
    if len(seen.out) == len(seen.shape):
        return move_axes(seen.field, identity_axes(seen), seen.out)
    gone = seen.axis("dim", 0)
    return move_axes(
        seen.field, {axis: [axis - (axis > gone)] for axis in range(len(seen.shape)) if axis != gone}, seen.out
    )


def indexed_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `x[:, 0, ::2]`; unknown if an index is a tensor."""
    index = seen.row.get("index", "?")
    entries = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(entry, (int, type(None))) and ":" not in str(entry) and entry != "..." for entry in entries):
        return unknown_field(seen)
    where, moves = index_axes([*entries], len(seen.shape))
    return move_axes(tuple(shift_extent(extent, moves) for extent in seen.field), where, seen.out)


def index_axes(entries: list[object], rank: int) -> tuple[Mapping[int, list[int]], WindowMoves]:
    """Return old axis → new one, and the moves of the slices."""
    named = sum(entry is not None and entry != "..." for entry in entries)
    rest: list[object] = ["::"] * (rank - named)
    at = entries.index("...") if "..." in entries else len(entries)
    where: dict[int, list[int]] = {}
    moves: dict[int, tuple[int, Fraction]] = {}
    old = new = 0
    for entry in [*entries[:at], *rest, *entries[at + 1 :]]:
        if isinstance(entry, str):
            where[old] = [new]
            moves[old] = (0, Fraction(int(entry.split(":")[2] or 1)))
        old, new = old + (entry is not None), new + (not isinstance(entry, int))
    return where, moves
