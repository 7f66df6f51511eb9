"""How much of the input an output position depends on: Trace → for each row a Field, its reach along the input's axes.

    input ─ window: size += (kernel − 1) · dilation · jump, jump ×= stride ─ branches: the larger ─ mixed: all ─→ Field

Every value's positions are followed through views, so that it is known which of its axes still run over the input's.
Statistics of normalisations do not count. What no rule knows, and what mixes a part of the positions, is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, gcd

from archscope.report.mixing import along, attention, elementwise, everything, features, kept, product, reduced
from archscope.report.reach import Field, Moves, Reach, Rule, Seen, mixed, moved, shifted, unknown
from archscope.report.rearranging import concatenated, cut, indexed, permuted, repeated, reshaped, swapped
from archscope.report.slides import slides, sliding
from archscope.report.windows import Window, each
from archscope.trace import Operand, Row, Trace


def fields(trace: Trace) -> tuple[Field, ...]:
    """The field of every row's first output."""
    known = {operand.value.id: start(operand, trace) for operand in trace.inputs}
    for row in trace.rows:
        operands = tuple(known.get(operand.value.id, ()) for operand in row.inputs)
        for value in row.outputs:
            known[value.id] = reached(Seen(row, operands, value.shape)) if any(operands) else ()
    return tuple(known[row.outputs[0].id] if row.outputs else () for row in trace.rows)


def text(field: Field) -> str:
    """`23×23`; `all` and `?` where every axis says so."""
    parts = [reach.text for reach in field]
    return parts[0] if parts and len(set(parts)) == 1 and not parts[0].isdigit() else "×".join(parts)


def start(operand: Operand, trace: Trace) -> Field:
    """An input before the first row: every position stands for itself."""
    return tuple(Reach(at=frozenset([axis])) for axis in positions(operand, trace))


def extent(trace: Trace) -> tuple[int, ...]:
    """The sizes of the input along its positions; of the input with the most of them."""
    axes = [(operand.value.shape, positions(operand, trace)) for operand in trace.inputs]
    shape, found = max(axes, key=lambda pair: len(pair[1]), default=((), ()))
    return tuple(shape[axis] for axis in found)


def positions(operand: Operand, trace: Trace) -> tuple[int, ...]:
    """The axes of an input that are positions: those that the first window slides along, else all but batch and
    channels (images), but batch and features (sequences), but batch (tokens)."""
    shape = operand.value.shape
    slid = next((row.inputs[0].value.shape[axes[0] :] for row in trace.rows for _, axes in [sliding(row)] if axes), ())
    if slid and len(shape) in (len(slid) + 1, len(slid) + 2) and not shape[1:2] == slid != shape[2:]:
        return tuple(range(len(shape) - len(slid), len(shape)))
    return tuple(range(2, len(shape))) if len(shape) > 3 else (1,) if len(shape) > 1 else ()


ODD = (LookupError, ArithmeticError, TypeError, ValueError)
"""What a rule meets in a row that it was not written for."""


def reached(seen: Seen) -> Field:
    """One output's field, by the row's rule, unknown where the rule does not know the row; what is whole stays so."""
    short = seen.row.short.removesuffix("_")
    rule = windowed if sliding(seen.row)[0] else RULES.get(short, elementwise)
    try:
        made = rule(seen)
    except ODD:
        made = unknown(seen)
    whole = {i for field in seen.fields for i, reach in enumerate(field) if reach.whole}
    return tuple(replace(reach, whole=reach.whole or i in whole) for i, reach in enumerate(made))


# ------------------------------------------------------------ windows
def windowed(seen: Seen) -> Field:
    """A convolution or a pooling."""
    window, axes = sliding(seen.row)
    channels = axes[0] - 1 if "conv" in seen.row.short else -1
    field = tuple(mixed(reach, [channels]) for reach in seen.field)
    moves = transposed(window, axes) if window and window.transposed else slid(seen.row)
    return moved(tuple(shifted(reach, moves) for reach in field), {axis: [axis] for axis in axes}, seen.out)


def slid(row: Row) -> Moves:
    return {slide.axis: (slide.span - 1, Fraction(slide.stride)) for slide in slides(row)}


def transposed(window: Window, axes: Sequence[int]) -> Moves:
    """Each output sees as many inputs as its kernel covers at that stride."""
    return {
        axis: (ceil(Fraction(window.reach(i), window.stride[i])) - 1, Fraction(1, window.stride[i]))
        for i, axis in enumerate(axes)
    }


def resized(seen: Seen) -> Field:
    """An interpolation, or an adaptive pooling: every output takes in the inputs that lie under it."""
    more = {"nearest": 0, "bicubic": 3}.get(str(seen.row.get("mode", "nearest")).removesuffix("-exact"), 1)
    pairs = [(axis, n, out) for axis, (n, out) in enumerate(zip(seen.shape, seen.out, strict=True)) if n != out]
    if "adaptive" not in seen.row.short:
        return scaled(seen, {axis: (more, Fraction(n, out)) for axis, n, out in pairs})
    pooled = tuple(mixed(reach, [axis for axis, _, out in pairs if out == 1]) for reach in seen.field)
    moves = {axis: (covered(n, out) - 1, Fraction(n, out)) for axis, n, out in pairs if out > 1}
    return scaled(replace(seen, fields=(pooled,)), moves)


def covered(size: int, outputs: int) -> int:
    """The widest bin of an adaptive pooling."""
    whole, rest = divmod(size, outputs)
    shared = gcd(size, outputs)  # the bins begin at all multiples of it, in parts of 1 / outputs
    return whole + (0 if rest == 0 else 1 if rest == shared else 2)


def scaled(seen: Seen, moves: Moves) -> Field:
    field = tuple(shifted(reach, moves) for reach in seen.field)
    return moved(field, {axis: [axis] for axis in range(len(seen.out))}, seen.out)


def shuffled(seen: Seen) -> Field:
    """Channels to positions, or back."""
    if len(seen.out) != len(seen.shape):
        return unknown(seen)
    pairs = enumerate(zip(seen.shape, seen.out, strict=True))
    moves = {axis: (max(0, n // out - 1), Fraction(n, out)) for axis, (n, out) in pairs if axis >= len(seen.out) - 2}
    return scaled(seen, moves)


def unfolded(seen: Seen) -> Field:
    """`unfold` of a map lays its windows out along one axis; of a tensor, by its method, it is not followed."""
    if len(seen.shape) != 4 or "Tensor" in seen.row.function:
        return unknown(seen)
    kernel, stride, dilation = (each(seen.row.get(name, 1), 2) for name in ("kernel_size", "stride", "dilation"))
    moves = {2 + i: ((kernel[i] - 1) * dilation[i], Fraction(stride[i])) for i in range(2)}
    return moved(tuple(shifted(reach, moves) for reach in seen.field), {2: [2], 3: [2]}, seen.out)


RULES: Mapping[str, Rule] = {
    **{f"adaptive_{kind}_pool{d}d": resized for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("interpolate", "upsample"), resized),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), shuffled),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "prod", "logsumexp", "max", "min", "var", "std", "norm"), reduced),
    **dict.fromkeys(("softmax", "log_softmax"), along("dim", -1)),
    "linear": features,
    "embedding": kept,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "fft", "ifft", "rfft2", "fft2", "irfft2"), everything),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp"), everything),
    **dict.fromkeys(("matmul", "bmm", "mm", "baddbmm", "addmm", "addbmm"), product),
    **dict.fromkeys(("flip", "roll", "sort", "argsort", "grid_sample", "fold", "einsum", "gather", "take"), unknown),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"), reshaped),
    **dict.fromkeys(("expand", "repeat", "expand_as", "broadcast_to"), repeated),
    **dict.fromkeys(("permute", "movedim"), permuted),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "T", "mT", "t"), swapped),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), concatenated),
    **dict.fromkeys(("chunk", "split", "tensor_split", "narrow", "pad", "unbind", "select"), cut),
    "scaled_dot_product_attention": attention(-2),
    "multi_head_attention_forward": attention(0),
    "unfold": unfolded,
    "getitem": indexed,
}
"""Function (short name, without the underscore of an in-place one) → rule; what is not here is taken element by element
where the shapes fit."""
