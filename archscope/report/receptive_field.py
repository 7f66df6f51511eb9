"""The receptive field of every row: how much of the input an output position depends on, per axis of the input.

    window: size += (kernel − 1) · dilation · jump, jump ×= stride; branches: the larger one; mixed axes: all

Positions are tracked through views, so it is known which axes of a value still run over the input's. Statistics of
normalisations do not count. Functions without a rule, and partial mixing of positions, give an unknown extent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, gcd, prod

from archscope.ops.axis_map import AXIS_RULES, CONCAT_OPS, VIEW_OPS, axis_map, identity_axes, index_steps
from archscope.ops.shape_errors import can_broadcast_to
from archscope.ops.windows import Window, axis_windows, effective_kernel, per_axis, window_and_axes
from archscope.report.receptive_extent import (
    ReceptiveExtent,
    ReceptiveField,
    ReceptiveRow,
    ReceptiveRule,
    WindowMoves,
    align_right,
    join_fields,
    mix_axes,
    move_axes,
    shift_extent,
    unknown_field,
)
from archscope.trace import Operand, Trace


def receptive_fields(trace: Trace) -> tuple[ReceptiveField, ...]:
    """Return the field of every row's first output."""
    known = {
        operand.value.id: tuple(ReceptiveExtent(at=frozenset([axis])) for axis in input_position_axes(operand, trace))
        for operand in trace.inputs
    }
    for row in trace.rows:
        operands = tuple(known.get(operand.value.id, ()) for operand in row.inputs)
        for value in row.outputs:
            known[value.id] = output_field(ReceptiveRow(row, operands, value.shape)) if any(operands) else ()
    return tuple(known[row.outputs[0].id] if row.outputs else () for row in trace.rows)


def field_text(field: ReceptiveField) -> str:
    """Return `23×23`; `all` or `?` if that holds for every axis."""
    parts = [extent.text for extent in field]
    return parts[0] if parts and len(set(parts)) == 1 and not parts[0].isdigit() else "×".join(parts)


def input_extent(trace: Trace) -> tuple[int, ...]:
    """Return the sizes of the input along its positions; with several inputs, of the one with the most axes."""
    axes = [(operand.value.shape, input_position_axes(operand, trace)) for operand in trace.inputs]
    shape, found = max(axes, key=lambda pair: len(pair[1]), default=((), ()))
    return tuple(shape[axis] for axis in found)


def input_position_axes(operand: Operand, trace: Trace) -> tuple[int, ...]:
    """Return the axes of an input that are positions: those of the first window; else all but batch and channels
    (images), batch and features (sequences), or batch (tokens)."""
    shape = operand.value.shape
    slid = next(
        (row.inputs[0].value.shape[axes[0] :] for row in trace.rows for _, axes in [window_and_axes(row)] if axes), ()
    )
    if slid and len(shape) in (len(slid) + 1, len(slid) + 2) and not shape[1:2] == slid != shape[2:]:
        return tuple(range(len(shape) - len(slid), len(shape)))
    return tuple(range(2, len(shape))) if len(shape) > 3 else (1,) if len(shape) > 1 else ()


RULE_ERRORS = (LookupError, ArithmeticError, TypeError, ValueError)
"""The exceptions of a rule on a row with unexpected arguments."""


def output_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return one output's field by the row's rule, unknown if the rule fails. An extent that is whole stays whole."""
    short = seen.row.short_name.removesuffix("_")
    rule = window_field if window_and_axes(seen.row)[0] else RECEPTIVE_RULES.get(short, elementwise_field)
    try:
        field_out = rule(seen)
    except RULE_ERRORS:
        field_out = unknown_field(seen)
    whole = {i for field in seen.fields for i, extent in enumerate(field) if extent.whole}
    return tuple(replace(extent, whole=extent.whole or i in whole) for i, extent in enumerate(field_out))


# ------------------------------------------------------------ windows
def window_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a convolution or a pooling."""
    window, axes = window_and_axes(seen.row)
    channels = axes[0] - 1 if "conv" in seen.row.short_name else -1
    field = tuple(mix_axes(extent, [channels]) for extent in seen.field)
    if window and window.transposed:
        moves = transposed_moves(window, axes)
    else:
        moves = {slide.axis: (slide.span - 1, Fraction(slide.stride)) for slide in axis_windows(seen.row)}
    return move_axes(tuple(shift_extent(extent, moves) for extent in field), {axis: [axis] for axis in axes}, seen.out)


def transposed_moves(window: Window, axes: Sequence[int]) -> WindowMoves:
    """Return the moves of a transposed convolution: an output sees as many inputs as the kernel covers at that
    stride."""
    return {
        axis: (ceil(Fraction(window.effective_kernel(i), window.stride[i])) - 1, Fraction(1, window.stride[i]))
        for i, axis in enumerate(axes)
    }


def resized_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after an interpolation or an adaptive pooling: an output covers the inputs that lie under it."""
    more = {"nearest": 0, "bicubic": 3}.get(str(seen.row.get("mode", "nearest")).removesuffix("-exact"), 1)
    pairs = [(axis, n, out) for axis, (n, out) in enumerate(zip(seen.shape, seen.out, strict=True)) if n != out]
    if "adaptive" not in seen.row.short_name:
        return scaled_field(seen, {axis: (more, Fraction(n, out)) for axis, n, out in pairs})
    pooled = tuple(mix_axes(extent, [axis for axis, _, out in pairs if out == 1]) for extent in seen.field)
    moves = {axis: (widest_bin(n, out) - 1, Fraction(n, out)) for axis, n, out in pairs if out > 1}
    return scaled_field(replace(seen, fields=(pooled,)), moves)


def widest_bin(size: int, outputs: int) -> int:
    """Return the size of the widest bin of an adaptive pooling."""
    whole, rest = divmod(size, outputs)
    shared = gcd(size, outputs)  # the bins begin at all multiples of it, in parts of 1 / outputs
    return whole + (0 if rest == 0 else 1 if rest == shared else 2)


def scaled_field(seen: ReceptiveRow, moves: WindowMoves) -> ReceptiveField:
    field = tuple(shift_extent(extent, moves) for extent in seen.field)
    return move_axes(field, {axis: [axis] for axis in range(len(seen.out))}, seen.out)


def pixel_shuffle_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after channels became positions, or the reverse."""
    if len(seen.out) != len(seen.shape):
        return unknown_field(seen)
    pairs = enumerate(zip(seen.shape, seen.out, strict=True))
    moves = {axis: (max(0, n // out - 1), Fraction(n, out)) for axis, (n, out) in pairs if axis >= len(seen.out) - 2}
    return scaled_field(seen, moves)


def unfold_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `F.unfold` of a map, whose windows lie along one axis; unknown for `Tensor.unfold`."""
    if len(seen.shape) != 4 or "Tensor" in seen.row.function:
        return unknown_field(seen)
    kernel, stride, dilation = (per_axis(seen.row.get(name, 1), 2) for name in ("kernel_size", "stride", "dilation"))
    moves = {2 + i: (effective_kernel(kernel[i], dilation[i]) - 1, Fraction(stride[i])) for i in range(2)}
    return move_axes(tuple(shift_extent(extent, moves) for extent in seen.field), {2: [2], 3: [2]}, seen.out)


# ------------------------------------------------------------ mixed positions
def elementwise_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field of an elementwise operation with broadcasting; unknown if a shape does not broadcast."""
    shapes = [operand.value.shape for operand, field in zip(seen.row.inputs, seen.fields, strict=True) if field]
    if not all(can_broadcast_to(shape, seen.out) for shape in shapes):
        return unknown_field(seen)
    pairs = zip(seen.row.inputs, seen.fields, strict=True)
    return join_fields(align_right(field, operand.value.shape, seen.out) for operand, field in pairs if field)


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
    field = tuple(mix_axes(extent, [last]) for extent in seen.field)
    return move_axes(field, identity_axes(seen.shape, seen.out), seen.out)


def global_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return a field of all positions: recurrent layers, Fourier transforms, cumulative sums."""
    return tuple(replace(extent, whole=True) for extent in join_fields(seen.fields))


def embedding_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after an embedding: the axes stay, features are added or changed behind them."""
    return move_axes(seen.field, identity_axes(seen.shape, seen.out), seen.out)


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


# ------------------------------------------------------------ moved axes
def moved_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a view, a permutation or a part along an axis, by `ops.axis_map`."""
    where = axis_map(seen.row, seen.shape, seen.out)
    return unknown_field(seen) if where is None else move_axes(seen.field, where, seen.out)


def reshaped_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after a view; one of another size repeats its input."""
    if prod(seen.shape) == prod(seen.out):
        return moved_field(seen)
    return align_right(seen.field, seen.shape, seen.out) if len(seen.out) >= len(seen.shape) else unknown_field(seen)


def concatenated_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `cat` or `stack`: each part keeps its axes."""
    where = axis_map(seen.row, seen.shape, seen.out) or {}
    return join_fields(move_axes(field, where, seen.out) for field in seen.fields)


def indexed_field(seen: ReceptiveRow) -> ReceptiveField:
    """Return the field after `x[:, 0, ::2]`; unknown if an index is a tensor."""
    found = index_steps(seen.row, len(seen.shape))
    if found is None:
        return unknown_field(seen)
    where, steps = found
    moves = {axis: (0, step) for axis, step in steps.items()}
    return move_axes(tuple(shift_extent(extent, moves) for extent in seen.field), where, seen.out)


RECEPTIVE_RULES: Mapping[str, ReceptiveRule] = {
    **{f"adaptive_{kind}_pool{d}d": resized_field for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("interpolate", "upsample"), resized_field),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), pixel_shuffle_field),
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "prod", "logsumexp", "max", "min", "var", "std", "norm"), reduced_field
    ),
    **dict.fromkeys(("softmax", "log_softmax"), mixed_along("dim", -1)),
    "linear": linear_field,
    "embedding": embedding_field,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "fft", "ifft", "rfft2", "fft2", "irfft2"), global_field),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp"), global_field),
    **dict.fromkeys(("matmul", "bmm", "mm", "baddbmm", "addmm", "addbmm"), matmul_field),
    **dict.fromkeys(
        ("flip", "roll", "sort", "argsort", "grid_sample", "fold", "einsum", "gather", "take"), unknown_field
    ),
    **dict.fromkeys((*AXIS_RULES, "movedim"), moved_field),
    **dict.fromkeys((*VIEW_OPS, "squeeze", "unsqueeze"), reshaped_field),
    **dict.fromkeys((*CONCAT_OPS, "stack"), concatenated_field),
    "scaled_dot_product_attention": attention_field(-2),
    "multi_head_attention_forward": attention_field(0),
    "unfold": unfold_field,
    "getitem": indexed_field,
}
"""Function (short name, without the underscore of an in-place one) → rule. A function that is not here counts as
elementwise if the shapes fit, else its fields are unknown."""
