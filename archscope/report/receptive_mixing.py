"""What reductions, products and attention do to reaches: the axes that a row combines, whole or in part."""

from __future__ import annotations

from collections.abc import Callable
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
    """Operands of one shape, after broadcasting; another shape is not understood."""
    shapes = [operand.value.shape for operand, field in zip(seen.row.inputs, seen.fields, strict=True) if field]
    if any(len(shape) > len(seen.out) for shape in shapes) or not all(map(broadcasts_to(seen.out), shapes)):
        return unknown_field(seen)
    pairs = zip(seen.row.inputs, seen.fields, strict=True)
    return join_fields(align_right(field, operand.value.shape, seen.out) for operand, field in pairs if field)


def broadcasts_to(out: Shape) -> Callable[[Shape], bool]:
    """Whether a shape gives `out` by broadcasting."""

    def check(shape: Shape) -> bool:
        return all(n in (1, m) for n, m in zip(reversed(shape), reversed(out), strict=False))

    return check


def reduced_field(seen: ReceptiveRow) -> ReceptiveField:
    """A mean, a maximum … over axes; over all where none are named."""
    if seen.out == seen.shape:
        return elementwise_field(seen)
    rank, dim = len(seen.shape), seen.row.get("dim")
    dims = dim if isinstance(dim, tuple) else (dim,)
    gone = {d % rank for d in dims if isinstance(d, int)} or (set(range(rank)) if dim in (None, ()) else set())
    field = tuple(mix_axes(reach, gone) for reach in seen.field)
    kept = [axis for axis in range(rank) if axis not in gone] if len(seen.out) < rank else list(range(rank))
    return move_axes(field, {old: [new] for new, old in enumerate(kept)}, seen.out)


def mixed_along(name: str, default: int) -> ReceptiveRule:
    """All positions along the axis that an attribute names are mixed."""

    def rule(seen: ReceptiveRow) -> ReceptiveField:
        return tuple(mix_axes(reach, [seen.axis(name, default)]) for reach in seen.field)

    return rule


def linear_field(seen: ReceptiveRow) -> ReceptiveField:
    """A linear map, a recurrent step over features: the last axis is mixed."""
    last = len(seen.shape) - 1
    return move_axes(tuple(mix_axes(reach, [last]) for reach in seen.field), identity_axes(seen), seen.out)


def global_field(seen: ReceptiveRow) -> ReceptiveField:
    """All positions: recurrent layers, transforms, running sums."""
    return tuple(replace(reach, whole=True) for reach in join_fields(seen.fields))


def embedding_field(seen: ReceptiveRow) -> ReceptiveField:
    """Axes stay, features come or change behind them."""
    return move_axes(seen.field, identity_axes(seen), seen.out)


def matmul_field(seen: ReceptiveRow) -> ReceptiveField:
    """A matrix product: the last axis of one and the last but one of the other are mixed."""
    shapes = [operand.value.shape for operand in seen.row.inputs[-2:]]
    if len(shapes) < 2 or min(map(len, shapes)) < 2:
        return unknown_field(seen)
    (left, right), (one, other) = seen.fields[-2:], shapes
    rows = tuple(mix_axes(reach, [len(one) - 1]) for reach in left)
    columns = tuple(mix_axes(reach, [max(0, len(other) - 2)]) for reach in right)
    return join_fields([align_right(rows, one, seen.out), align_right(columns, other, seen.out)])


def attention_field(positions: int) -> ReceptiveRule:
    """Every query sees all keys; `positions` is the axis of both, counted from the end where negative."""

    def rule(seen: ReceptiveRow) -> ReceptiveField:
        sides = [
            tuple(mix_axes(reach, [positions % len(operand.value.shape)]) for reach in field)
            for operand, field in zip(seen.row.inputs[1:3], seen.fields[1:3], strict=True)
        ]
        query = align_right(seen.field, seen.shape, seen.out)
        return join_fields([query, *(tuple(replace(r, at=frozenset()) for r in side) for side in sides)])

    return rule
