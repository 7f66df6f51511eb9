"""Rules for rows that mix positions: reductions, products and attention."""

from __future__ import annotations

from dataclasses import replace

from archscope.report.receptive_extent import (
    ReceptiveField,
    ReceptiveRow,
    ReceptiveRule,
    align_right,
    identity_axes,
    join_fields,
    mix_axes,
    move_axes,
    unknown_field,
)
from archscope.trace import Shape


def elementwise_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field of an elementwise operation with broadcasting; unknown if a shape does not broadcast."""
    shapes = [operand.value.shape for operand, field in zip(seen.row.inputs, seen.fields, strict=True) if field]
    if not all(broadcasts_to(shape, seen.out) for shape in shapes):
        return unknown_field(seen)
    pairs = zip(seen.row.inputs, seen.fields, strict=True)
    return join_fields(align_right(field, operand.value.shape, seen.out) for operand, field in pairs if field)


def broadcasts_to(shape: Shape, out: Shape) -> bool:
    """Return whether a shape broadcasts to `out`."""
    pairs = zip(reversed(shape), reversed(out), strict=False)
    return len(shape) <= len(out) and all(n in (1, m) for n, m in pairs)


def reduced_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a reduction (mean, maximum …) over some axes, or all if none are named."""
    if seen.out == seen.shape:
        return elementwise_field(seen)
    rank, dim = len(seen.shape), seen.row.get("dim")
    dims = dim if isinstance(dim, tuple) else (dim,)
    gone = {d % rank for d in dims if isinstance(d, int)} or (set(range(rank)) if dim in (None, ()) else set())
    field = tuple(mix_axes(extent, gone) for extent in seen.field)
    kept = [axis for axis in range(rank) if axis not in gone] if len(seen.out) < rank else list(range(rank))
    return move_axes(field, {old: [new] for new, old in enumerate(kept)}, seen.out)


def mixed_along(name: str, default: int) -> ReceptiveRule:
    """Return a rule that mixes all positions along the axis that an attribute names."""

    def rule(seen: ReceptiveRow) -> ReceptiveField:
        return tuple(mix_axes(extent, [seen.axis(name, default)]) for extent in seen.field)

    return rule


def linear_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a linear map: the last axis is mixed."""
    last = len(seen.shape) - 1
    return move_axes(tuple(mix_axes(extent, [last]) for extent in seen.field), identity_axes(seen), seen.out)


def global_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return a field of all positions: recurrent layers, Fourier transforms, cumulative sums."""
    return tuple(replace(extent, whole=True) for extent in join_fields(seen.fields))


def embedding_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after an embedding: the axes stay, features are added or changed behind them."""
    return move_axes(seen.field, identity_axes(seen), seen.out)


def matmul_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field of a matrix product: the last axis of the left and the last but one of the right are mixed."""
    shapes = [operand.value.shape for operand in seen.row.inputs[-2:]]
    if len(shapes) < 2 or min(map(len, shapes)) < 2:
        return unknown_field(seen)
    (left, right), (left_shape, right_shape) = seen.fields[-2:], shapes
    rows = tuple(mix_axes(extent, [len(left_shape) - 1]) for extent in left)
    columns = tuple(mix_axes(extent, [max(0, len(right_shape) - 2)]) for extent in right)
    return join_fields([align_right(rows, left_shape, seen.out), align_right(columns, right_shape, seen.out)])


def attention_field(positions: int) -> ReceptiveRule:
    """Return a rule for attention, where every query sees all keys. positions: the sequence axis of queries and keys,
    counted from the end if negative."""

    def rule(seen: ReceptiveRow) -> ReceptiveField:
        sides = [
            tuple(mix_axes(extent, [positions % len(operand.value.shape)]) for extent in field)
            for operand, field in zip(seen.row.inputs[1:3], seen.fields[1:3], strict=True)
        ]
        query = align_right(seen.field, seen.shape, seen.out)
        return join_fields([query, *(tuple(replace(r, at=frozenset()) for r in side) for side in sides)])

    return rule
