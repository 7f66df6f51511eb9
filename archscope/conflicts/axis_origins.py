"""The origins of an output axis: a row and an axis of its output → the operands' axes that it follows.

    row, axis ─ window | concat | view | permutation | product | elementwise → [(operand, axis), …]; [] if set here

Only shapes and attributes are used. Without a rule, an axis follows an operand of the same size there, or is set here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archscope.ops.axis_map import (
    AXIS_RULES,
    CONCAT_OPS,
    REPEAT_OPS,
    VIEW_OPS,
    attach_ones,
    axis_groups,
    axis_map,
)
from archscope.trace import Operand, Row, Shape


@dataclass(frozen=True)
class OutputAxis:
    """One output axis of a row: the operands that are activations, the output's shape, and the axis."""

    row: Row
    operands: tuple[Operand, ...]
    shape: Shape
    axis: int

    @property
    def first(self) -> Operand:
        return self.operands[0]


AxisOrigins = Sequence[tuple[Operand, int]]
OriginRule = Callable[[OutputAxis], AxisOrigins]


def axis_origins(output: OutputAxis) -> AxisOrigins:
    """Return the operands' axes that an output axis follows; () if the row sets its size."""
    if not output.operands:
        return ()
    found = ORIGIN_RULES.get(output.row.short_name.removesuffix("_"), broadcast_origins)(output)
    return [(operand, axis) for operand, axis in found if 0 <= axis < len(operand.value.shape)]


# ------------------------------------------------------------ windows, layers
def window_origins(channels: bool) -> OriginRule:
    """Return the rule for windows, which keep the batch and move over the last axes; a convolution sets the
    channels."""

    def rule(output: OutputAxis) -> AxisOrigins:
        spatial = int(output.row.short_name.rstrip("_")[-2])
        if channels and output.axis == len(output.shape) - spatial - 1:
            return ()
        return [(output.first, output.axis)]

    return rule


def adaptive_pool_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for adaptive pooling, whose output size is given; batch and channels are kept."""
    spatial = int(output.row.short_name[-2])
    return [(output.first, output.axis)] if output.axis < len(output.shape) - spatial else ()


def linear_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for a linear map or a recurrent layer, which sets the last axis."""
    return () if output.axis == len(output.shape) - 1 else broadcast_origins(output)


def embedding_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for an embedding, which adds the last axis to those of its indices."""
    return () if output.axis == len(output.shape) - 1 else [(output.first, output.axis)]


# ------------------------------------------------------------ concatenations, products
def concat_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for a concat: along `dim` all operands; other axes follow the first operand."""
    dim = int_or_zero(output.row.get("dim", 0)) % len(output.shape)
    if output.axis == dim:
        return [(operand, dim) for operand in output.operands]
    return [(output.first, output.axis)]


def matmul_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for (…, n, k) @ (…, k, m): n from the left operand, m from the right one."""
    left, right = output.operands[0], output.operands[-1]
    if output.axis == len(output.shape) - 1 and len(output.operands) > 1 and len(right.value.shape) > 1:
        return [(right, len(right.value.shape) - 1)]
    if len(right.value.shape) == 1:  # a vector leaves no axis
        return [(left, output.axis)]
    axis = output.axis - len(output.shape) + len(left.value.shape)
    return [(left, axis)] if axis >= 0 else broadcast_origins(output)


def attention_origins(output: OutputAxis) -> AxisOrigins:
    source = output.operands[2] if output.axis == len(output.shape) - 1 and len(output.operands) > 2 else output.first
    return [(source, output.axis)]


# ------------------------------------------------------------ views
def view_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for a view: axes with equal products belong together, as in (16, 5, 5) → 400."""
    for before, after in attach_ones(axis_groups(output.first.value.shape, output.shape)):
        if output.axis in after:
            return [(output.first, axis) for axis in before]
    return ()


def moved_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for permutations, parts and axes that are added or removed, by `ops.axis_map`."""
    where = axis_map(output.row, output.first.value.shape, output.shape)
    if where is None:
        return reduction_origins(output)
    return [(output.first, old) for old, new in where.items() if output.axis in new]


def reduction_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for a reduction, or for an index that is a tensor: remaining axes in order, else guessed from
    the sizes."""
    old = output.first.value.shape
    if len(old) == len(output.shape):
        return [(output.first, output.axis)] if old[output.axis] == output.shape[output.axis] else ()
    dim = output.row.get("dim")
    gone = {int_or_zero(d) % len(old) for d in (dim if isinstance(dim, tuple) else (dim,)) if isinstance(d, int)}
    left = [axis for axis in range(len(old)) if axis not in gone]
    if len(left) != len(output.shape):
        left = matching_axes(old, output.shape)
    return [(output.first, left[output.axis])] if output.axis < len(left) else ()


def matching_axes(old: Shape, new: Shape) -> list[int]:
    """Return the axes of `old` that `new` may consist of, matched from the right."""
    found: list[int] = []
    axis = len(old)
    for size in reversed(new):
        axis = next((a for a in range(axis - 1, -1, -1) if old[a] == size), axis - 1)
        found.insert(0, max(axis, 0))
    return found


# ------------------------------------------------------------ other functions
def broadcast_origins(output: OutputAxis) -> AxisOrigins:
    """Return the first operand with this size there, aligned to the right as in broadcasting."""
    for operand in output.operands:
        axis = output.axis - len(output.shape) + len(operand.value.shape)
        if 0 <= axis < len(operand.value.shape) and operand.value.shape[axis] == output.shape[output.axis]:
            return [(operand, axis)]
    return ()


def kept_axis_origins(output: OutputAxis) -> AxisOrigins:
    """Return the origins for functions that change sizes and keep axes (interpolation, pixel shuffles)."""
    return (
        [(output.first, output.axis)]
        if len(output.first.value.shape) == len(output.shape)
        else reduction_origins(output)
    )


def int_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0


ORIGIN_RULES: Mapping[str, OriginRule] = {
    **{f"conv{d}d": window_origins(True) for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": window_origins(True) for d in (1, 2, 3)},
    **{f"{kind}_pool{d}d": window_origins(False) for kind in ("max", "avg", "lp") for d in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{d}d": adaptive_pool_origins for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("linear", "lstm", "gru", "rnn_tanh", "rnn_relu", "bilinear"), linear_origins),
    "embedding": embedding_origins,
    **dict.fromkeys(AXIS_RULES, moved_origins),
    **dict.fromkeys(VIEW_OPS, view_origins),
    **dict.fromkeys(REPEAT_OPS, broadcast_origins),
    **dict.fromkeys(CONCAT_OPS, concat_origins),
    **dict.fromkeys(("matmul", "bmm", "mm"), matmul_origins),
    "scaled_dot_product_attention": attention_origins,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "norm"), reduction_origins),
    **dict.fromkeys(("interpolate", "pixel_shuffle", "pixel_unshuffle"), kept_axis_origins),
    "new_zeros": view_origins,
}
"""Function (short name) → the rule of its axes."""
