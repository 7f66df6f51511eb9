"""What reductions, products and attention do to reaches: the axes that a row combines, whole or in part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archscope.report.reach import Field, Rule, Seen, counted_back, joined, mixed, moved, same_axes, unknown
from archscope.trace import Shape


def elementwise(seen: Seen) -> Field:
    """Operands of one shape, after broadcasting; another shape is not understood."""
    shapes = [operand.value.shape for operand, field in zip(seen.row.inputs, seen.fields, strict=True) if field]
    if any(len(shape) > len(seen.out) for shape in shapes) or not all(map(fits(seen.out), shapes)):
        return unknown(seen)
    pairs = zip(seen.row.inputs, seen.fields, strict=True)
    return joined(counted_back(field, operand.value.shape, seen.out) for operand, field in pairs if field)


def fits(out: Shape) -> Callable[[Shape], bool]:
    """Whether a shape gives `out` by broadcasting."""

    def check(shape: Shape) -> bool:
        return all(n in (1, m) for n, m in zip(reversed(shape), reversed(out), strict=False))

    return check


def reduced(seen: Seen) -> Field:
    """A mean, a maximum … over axes; over all where none are named."""
    if seen.out == seen.shape:
        return elementwise(seen)
    rank, dim = len(seen.shape), seen.row.get("dim")
    dims = dim if isinstance(dim, tuple) else (dim,)
    gone = {d % rank for d in dims if isinstance(d, int)} or (set(range(rank)) if dim in (None, ()) else set())
    field = tuple(mixed(reach, gone) for reach in seen.field)
    kept = [axis for axis in range(rank) if axis not in gone] if len(seen.out) < rank else list(range(rank))
    return moved(field, {old: [new] for new, old in enumerate(kept)}, seen.out)


def along(name: str, default: int) -> Rule:
    """All positions along the axis that an attribute names are mixed."""

    def rule(seen: Seen) -> Field:
        return tuple(mixed(reach, [seen.axis(name, default)]) for reach in seen.field)

    return rule


def features(seen: Seen) -> Field:
    """A linear map, a recurrent step over features: the last axis is mixed."""
    last = len(seen.shape) - 1
    return moved(tuple(mixed(reach, [last]) for reach in seen.field), same_axes(seen), seen.out)


def everything(seen: Seen) -> Field:
    """All positions: recurrent layers, transforms, running sums."""
    return tuple(replace(reach, whole=True) for reach in joined(seen.fields))


def kept(seen: Seen) -> Field:
    """Axes stay, features come or change behind them."""
    return moved(seen.field, same_axes(seen), seen.out)


def product(seen: Seen) -> Field:
    """A matrix product: the last axis of one and the last but one of the other are mixed."""
    shapes = [operand.value.shape for operand in seen.row.inputs[-2:]]
    if len(shapes) < 2 or min(map(len, shapes)) < 2:
        return unknown(seen)
    (left, right), (one, other) = seen.fields[-2:], shapes
    rows = tuple(mixed(reach, [len(one) - 1]) for reach in left)
    columns = tuple(mixed(reach, [max(0, len(other) - 2)]) for reach in right)
    return joined([counted_back(rows, one, seen.out), counted_back(columns, other, seen.out)])


def attention(positions: int) -> Rule:
    """Every query sees all keys; `positions` is the axis of both, counted from the end where negative."""

    def rule(seen: Seen) -> Field:
        sides = [
            tuple(mixed(reach, [positions % len(operand.value.shape)]) for reach in field)
            for operand, field in zip(seen.row.inputs[1:3], seen.fields[1:3], strict=True)
        ]
        query = counted_back(seen.field, seen.shape, seen.out)
        return joined([query, *(tuple(replace(r, at=frozenset()) for r in side) for side in sides)])

    return rule
