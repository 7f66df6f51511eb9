"""The axes that each axis of a value consists of, tracked through views, transposes and elementwise functions.

    (N, T, 64) of a Linear ─ view(N, T, 4, 16) → N, T, 4 of 64, 16 of 64 ─ transpose, reshape(N, 4 * T, 16)
        → N, [4 of 64, T], 16 of 64

An axis of size 1 has no parts. The output of a function without a rule gets new axes of unknown kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from archscope.ops.axis_map import AXIS_RULES, CONCAT_OPS, REPEAT_OPS, VIEW_OPS, axis_map
from archscope.ops.windows import window_and_axes
from archscope.trace import Row, Shape, Trace

FEATURES, POSITIONS, BATCH, UNKNOWN = "features", "positions", "batch", ""


class AxisPart(NamedTuple):
    """A part of an axis that a row (or an input) made: `size` of its `whole` positions, `step` apart.

    axis: the number of that axis. kind: features, positions, batch, or "" if unknown.
    """

    axis: int
    kind: str
    whole: int
    size: int
    step: int = 1

    @property
    def is_entire(self) -> bool:
        return self.size == self.whole


AxisParts = tuple[AxisPart, ...]
ShapeParts = tuple[AxisParts, ...]


def axis_parts(trace: Trace) -> dict[int, ShapeParts]:
    """Return the axes of every activation, by its id."""
    tracker = AxisPartTracker()
    for operand in trace.inputs:
        shape = operand.value.shape
        tracker.known[operand.value.id] = tracker.new_axes(shape, [BATCH] + [UNKNOWN] * (len(shape) - 1))
    for row in trace.rows:
        for value, axes in zip(row.outputs, tracker.outputs(row), strict=True):
            tracker.known[value.id] = axes
    return tracker.known


def whole_axis(axis: AxisParts) -> AxisPart | None:
    """Return the single entire axis that an axis consists of; None if it is a part of one, or several."""
    return axis[0] if len(axis) == 1 and axis[0].is_entire else None


def regroup_axes(axes: ShapeParts, shape: Shape) -> ShapeParts | None:
    """Return the axes of a view of this shape; None if a size cuts an axis into unequal parts."""
    waiting = [part for axis in axes for part in axis][::-1]
    regrouped: list[AxisParts] = []
    for size in shape:
        parts: list[AxisPart] = []
        while size > 1:
            if not waiting:
                return None
            part = waiting.pop()
            if size % part.size and part.size % size:
                return None
            if part.size > size:
                rest = part.size // size
                waiting.append(part._replace(size=rest))
                part = part._replace(size=size, step=part.step * rest)
            parts.append(part)
            size //= part.size
        regrouped.append(merge_parts(parts))
    return tuple(regrouped) if not waiting else None


def merge_parts(parts: Iterable[AxisPart]) -> AxisParts:
    """Return the parts with adjacent parts of one axis merged."""
    merged: list[AxisPart] = []
    for part in parts:
        last = merged[-1] if merged else None
        if last is not None and last.axis == part.axis and last.step == part.step * part.size:
            merged[-1] = part._replace(size=last.size * part.size)
        else:
            merged.append(part)
    return tuple(merged)


class AxisPartTracker:
    """The axes of all values of a run so far; `outputs` is called for its rows in order."""

    def __init__(self) -> None:
        self.known: dict[int, ShapeParts] = {}
        self.count = 0

    def new_axes(self, shape: Shape, kinds: Sequence[str] = ()) -> ShapeParts:
        """Return new axes for a shape."""
        named = [*kinds, *[UNKNOWN] * (len(shape) - len(kinds))]
        return tuple(self.new_axis(size, kind) for size, kind in zip(shape, named, strict=True))

    def new_axis(self, size: int, kind: str) -> AxisParts:
        """Return one new axis."""
        self.count += 1
        return (AxisPart(self.count, kind, size, size),) if size > 1 else ()

    def outputs(self, row: Row) -> list[ShapeParts]:
        """Return the axes of all outputs of a row."""
        if not row.inputs:
            return [self.new_axes(value.shape) for value in row.outputs]
        short = row.short_name.removesuffix("_")
        rule = window_axes if window_and_axes(row)[0] is not None else AXIS_PART_RULES.get(short, elementwise_axes)
        followed = row.outputs if rule is moved_axes else row.outputs[:1]
        found = [self._with_right_sizes(rule(RowOutput(self, row, value.shape)), value.shape) for value in followed]
        return [*found, *(self.new_axes(value.shape) for value in row.outputs[len(followed) :])]

    def _with_right_sizes(self, axes: ShapeParts | None, shape: Shape) -> ShapeParts:
        """Return the axes that a rule found, with new axes where the size is wrong."""
        if axes is None or len(axes) != len(shape):
            return self.new_axes(shape)
        found = zip(axes, shape, strict=True)
        return tuple(a if prod(p.size for p in a) == size else self.new_axis(size, UNKNOWN) for a, size in found)

    def of(self, row: Row, number: int = 0) -> ShapeParts:
        """Return the axes of an operand."""
        value = row.inputs[number].value
        if value.id not in self.known:
            self.known[value.id] = self.new_axes(value.shape)
        return self.known[value.id]

    def with_new_axes(self, axes: ShapeParts, shape: Shape, where: Mapping[int, str]) -> ShapeParts:
        """Return the axes with new ones of the given kinds at some places."""
        return tuple(self.new_axis(shape[i], where[i]) if i in where else axis for i, axis in enumerate(axes))


class RowOutput(NamedTuple):
    """A row, the shape of one of its outputs, and the axes known so far."""

    tracker: AxisPartTracker
    row: Row
    out: Shape


AxisPartRule = Callable[[RowOutput], ShapeParts | None]


# ------------------------------------------------------------ rows that keep axes
def elementwise_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes of the first operand with the output's shape, preferably an activation."""
    fitting = [i for i, operand in enumerate(at.row.inputs) if operand.value.shape == at.out]
    flowing = [i for i in fitting if at.row.inputs[i].value.id in at.tracker.known]
    return at.tracker.of(at.row, (flowing or fitting)[0]) if fitting else None


def resized_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes after slicing, padding or repetition: axes of equal size stay, others are new ones of the same
    kind."""
    axes = at.tracker.of(at.row)
    if len(axes) != len(at.out):
        return None
    sizes = at.row.inputs[0].value.shape
    return tuple(
        axis if size == new else at.tracker.new_axis(new, axis[0].kind if len(axis) == 1 else UNKNOWN)
        for axis, size, new in zip(axes, sizes, at.out, strict=True)
    )


def moved_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes after a permutation or a part along an axis, by `ops.axis_map`; one of another size is a new axis
    of the same kind."""
    axes, shape = at.tracker.of(at.row), at.row.inputs[0].value.shape
    where = axis_map(at.row, shape, at.out)
    if where is None:
        return None
    found: list[AxisParts] = [()] * len(at.out)
    for old, news in where.items():
        for new in news:
            kind = axes[old][0].kind if len(axes[old]) == 1 else UNKNOWN
            found[new] = axes[old] if shape[old] == at.out[new] else at.tracker.new_axis(at.out[new], kind)
    return tuple(found)


def reduced_axes(at: RowOutput) -> ShapeParts | None:
    axes, dim = at.tracker.of(at.row), at.row.get("dim")
    dims = dim if isinstance(dim, tuple) else (dim,)
    gone = {d % len(axes) for d in dims if isinstance(d, int)} if axes else set()
    if len(axes) == len(at.out):
        return tuple(() if i in gone else axis for i, axis in enumerate(axes))
    return tuple(axis for i, axis in enumerate(axes) if i not in gone)


# ------------------------------------------------------------ rows that move axes
def viewed_axes(at: RowOutput) -> ShapeParts | None:
    return regroup_axes(at.tracker.of(at.row), at.out)


# ------------------------------------------------------------ rows that make axes
def linear_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes with a new last axis: linear layers, attention's output, recurrent layers."""
    axes = at.tracker.of(at.row)
    return at.tracker.with_new_axes(axes, at.out, {len(at.out) - 1: FEATURES}) if len(axes) == len(at.out) else None


def embedding_axes(at: RowOutput) -> ShapeParts | None:
    return (*at.tracker.of(at.row), *at.tracker.new_axes(at.out[-1:], [FEATURES]))


def window_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes after a convolution or a pooling: new positions, new channels for a convolution, others stay."""
    _, slid = window_and_axes(at.row)
    kinds = dict.fromkeys(slid, POSITIONS)
    if "conv" in at.row.short_name:
        kinds[slid[0] - 1] = FEATURES
    axes = at.tracker.of(at.row)
    if len(axes) == len(at.out) and not kinds.keys() & {slid[0] - 1} and slid[0] >= 1 and len(axes[slid[0] - 1]) == 1:
        part = axes[slid[0] - 1][0]
        axes = (*axes[: slid[0] - 1], (part._replace(kind=part.kind or FEATURES),), *axes[slid[0] :])
    return at.tracker.with_new_axes(axes, at.out, kinds) if len(axes) == len(at.out) else None


def adaptive_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes after adaptive pooling or interpolation: channels stay, positions are new."""
    axes = at.tracker.of(at.row)
    kinds = dict.fromkeys(range(2, len(at.out)), POSITIONS)
    return at.tracker.with_new_axes(axes, at.out, kinds) if len(axes) == len(at.out) else None


def pixel_shuffle_axes(at: RowOutput) -> ShapeParts | None:
    return at.tracker.new_axes(at.out, [BATCH, FEATURES, POSITIONS, POSITIONS])


def matmul_axes(at: RowOutput) -> ShapeParts | None:
    """Return the axes of the left operand, with the last one of the right."""
    left, right = at.tracker.of(at.row), at.tracker.of(at.row, 1) if len(at.row.inputs) > 1 else ()
    if len(left) != len(at.out) or len(right) != len(at.out) or len(at.out) < 2:
        return None
    return (*left[:-1], right[-1])


def attention_axes(at: RowOutput) -> ShapeParts | None:
    """Return the positions of the queries with the features of the values."""
    query, value = at.tracker.of(at.row), at.tracker.of(at.row, 2)
    return (*query[:-1], value[-1]) if len(query) == len(value) == len(at.out) else None


def unknown_axes(at: RowOutput) -> ShapeParts | None:
    """Return new axes of unknown kind."""
    return at.tracker.new_axes(at.out)


AXIS_PART_RULES: Mapping[str, AxisPartRule] = {
    **dict.fromkeys(AXIS_RULES, moved_axes),
    **dict.fromkeys((*VIEW_OPS, "squeeze", "unsqueeze"), viewed_axes),
    **dict.fromkeys((*CONCAT_OPS, *REPEAT_OPS, "pad"), resized_axes),
    "expand_as": elementwise_axes,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "prod", "logsumexp", "var", "std", "norm"), reduced_axes),
    **dict.fromkeys(("linear", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu"), linear_axes),
    **dict.fromkeys(("interpolate", "upsample"), adaptive_axes),
    **{f"adaptive_{kind}_pool{d}d": adaptive_axes for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), pixel_shuffle_axes),
    **dict.fromkeys(("matmul", "bmm", "baddbmm"), matmul_axes),
    **dict.fromkeys(("flip", "roll", "sort", "gather", "take", "einsum", "stack", "unfold", "fold"), unknown_axes),
    "movedim": unknown_axes,
    "scaled_dot_product_attention": attention_axes,
    "embedding": embedding_axes,
}
"""Function (short name, without the underscore of an in-place one) → rule. A function that is not here counts as
elementwise if the shapes fit."""
