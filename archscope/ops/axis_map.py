"""The way of axes through operations that move them: a row → input axis → the output axes that it becomes.

    (16, 5, 5) ─ flatten → (400,)           0 → 0, 1 → 0, 2 → 0
    (N, C, H, W) ─ permute(0, 2, 3, 1)      0 → 0, 1 → 3, 2 → 1, 3 → 2
    x[:, 0]                                 0 → 0, 2 → 1, …: an axis that is gone is left out

Views, permutations, slices, parts, and functions that add or remove an axis. Only shapes and attributes are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul

from archscope.trace import Row, Shape

AxisMap = Mapping[int, Sequence[int]]
"""Input axis → output axes."""
AxisGroups = list[tuple[list[int], list[int]]]
AxisRule = Callable[[Row, Shape, Shape], AxisMap | None]

CONCAT_OPS = ("cat", "concat", "concatenate")
"""Functions that concatenate values."""
VIEW_OPS = ("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "ravel")
"""Functions that give the same elements another shape."""
REPEAT_OPS = ("expand", "expand_as", "repeat", "broadcast_to")
"""Functions that repeat their input along axes."""


def axis_map(row: Row, shape: Shape, out: Shape) -> AxisMap | None:
    """Return where the axes of an operand go in an output; None if the row's function does not move axes, or its
    arguments do not say how.

    shape, out: of the operand and of the output.
    """
    rule = AXIS_RULES.get(row.short_name.removesuffix("_"))
    return rule(row, shape, out) if rule is not None else None


def dim_of(row: Row, name: str, default: int, rank: int) -> int:
    """Return the axis that an attribute names, counted from the front."""
    dim = row.get(name, default)
    return dim % max(1, rank) if isinstance(dim, int) else default


# ------------------------------------------------------------ views
def count_equal_leading(before: Shape, after: Shape) -> int:
    """Return the number of leading sizes that are equal."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((number for number, (old, new) in pairs if old != new), len(before))


def axis_groups(old: Shape, new: Shape) -> AxisGroups:
    """Return the axes of two shapes of equal size in the smallest groups of equal products."""
    ends_old, ends_new = ([1, *accumulate(shape, mul)] for shape in (old, new))
    found: AxisGroups = []
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


def attach_ones(found: AxisGroups) -> AxisGroups:
    """Return the groups with left-over axes of size 1 joined to the group before: (88, 1, 1) → 88."""
    joined: AxisGroups = []
    for before, after in found:
        if joined and before and not after:
            joined[-1] = (joined[-1][0] + before, joined[-1][1])
        else:
            joined.append((before, after))
    return joined


def view_axes(_: Row, shape: Shape, out: Shape) -> AxisMap | None:
    """Return the map of a view; merged and split axes are found by their products."""
    if prod(shape) != prod(out):
        return None
    return {axis: after for before, after in axis_groups(shape, out) for axis in before}


# ------------------------------------------------------------ permutations
def permute_axes(row: Row, shape: Shape, _: Shape) -> AxisMap | None:
    order = row.get("dims")
    if not isinstance(order, tuple) or len(order) != len(shape):
        return None
    return {old % len(shape): (new,) for new, old in enumerate(order) if isinstance(old, int)}


def transpose_axes(row: Row, shape: Shape, _: Shape) -> AxisMap:
    """Return the map of `transpose(0, 1)`; `.T`, `.mT` and `t()` swap the last two axes."""
    rank = len(shape)
    if rank < 2:
        return identity_axes(shape, shape)
    first, second = dim_of(row, "dim0", max(0, rank - 2), rank), dim_of(row, "dim1", rank - 1, rank)
    return {**identity_axes(shape, shape), first: (second,), second: (first,)}


# ------------------------------------------------------------ parts, axes that are added or removed
def identity_axes(shape: Shape, out: Shape) -> AxisMap:
    return {axis: (axis,) for axis in range(min(len(shape), len(out)))}


def part_axes(row: Row, shape: Shape, out: Shape) -> AxisMap:
    """Return the map of a part along an axis (`chunk`, `narrow`, `pad`, `select`), which `select` and `unbind`
    remove."""
    if len(out) == len(shape):
        return identity_axes(shape, out)
    gone = dim_of(row, "dim", 0, len(shape))
    return {axis: (axis - (axis > gone),) for axis in range(len(shape)) if axis != gone}


def squeeze_axes(row: Row, shape: Shape, out: Shape) -> AxisMap | None:
    """Return the map of a squeeze: the axes of size 1 that it names are gone, or all of them."""
    dim = row.get("dim")
    named = [axis for axis in (dim if isinstance(dim, tuple) else (dim,)) if isinstance(axis, int)]
    dims = {axis % max(1, len(shape)) for axis in named} or set(range(len(shape)))
    kept = [axis for axis, size in enumerate(shape) if size != 1 or axis not in dims]
    return {old: (new,) for new, old in enumerate(kept)} if len(kept) == len(out) else view_axes(row, shape, out)


def insert_axis(row: Row, shape: Shape, out: Shape) -> AxisMap:
    """Return the map of `unsqueeze`, or of one of the values that `stack` stacks along a new axis."""
    new = dim_of(row, "dim", 0, len(out))
    return {axis: (axis + (axis >= new),) for axis in range(len(shape))}


def trailing_axes(_: Row, shape: Shape, out: Shape) -> AxisMap | None:
    """Return the map of `expand` and `repeat`, which add axes at the front."""
    shift = len(out) - len(shape)
    return {axis: (axis + shift,) for axis in range(len(shape))} if shift >= 0 else None


# ------------------------------------------------------------ indexing
def index_axes(row: Row, shape: Shape, _: Shape) -> AxisMap | None:
    """Return the map of `x[:, 0, ::2]`; None if an index is a tensor."""
    return None if (found := index_steps(row, len(shape))) is None else found[0]


def index_steps(row: Row, rank: int) -> tuple[AxisMap, Mapping[int, Fraction]] | None:
    """Return the map of `x[:, 0, ::2]`, and the step of the slice along each axis; None if an index is a tensor."""
    index = row.get("index", "?")
    entries: list[object] = [*index] if isinstance(index, tuple) else [index]
    if any(not isinstance(entry, (int, type(None))) and ":" not in str(entry) and entry != "..." for entry in entries):
        return None
    named = sum(entry is not None and entry != "..." for entry in entries)
    rest: list[object] = ["::"] * (rank - named)
    at = entries.index("...") if "..." in entries else len(entries)
    where: dict[int, list[int]] = {}
    steps: dict[int, Fraction] = {}
    old = new = 0
    for entry in [*entries[:at], *rest, *entries[at + 1 :]]:
        if isinstance(entry, str):
            where[old] = [new]
            steps[old] = Fraction(int(entry.split(":")[2] or 1))
        old, new = old + (entry is not None), new + (not isinstance(entry, int))
    return where, steps


AXIS_RULES: Mapping[str, AxisRule] = {
    **dict.fromkeys(VIEW_OPS, view_axes),
    "permute": permute_axes,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "t", "T", "mT", "adjoint"), transpose_axes),
    **dict.fromkeys(("chunk", "split", "tensor_split", "narrow", "pad", "unbind", "select"), part_axes),
    "squeeze": squeeze_axes,
    **dict.fromkeys(("unsqueeze", "stack"), insert_axis),
    **dict.fromkeys(CONCAT_OPS, part_axes),
    **dict.fromkeys(REPEAT_OPS, trailing_axes),
    "getitem": index_axes,
}
"""Function (short name, without the underscore of an in-place one) → the rule of its axes."""
