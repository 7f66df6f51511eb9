"""Where one axis of a value comes from: a row and an axis of its output → the operands' axes that it follows.

    row, axis ─ window | list | view | permutation | product | element by element → [(operand, axis), …]; [] is set here

From shapes and attributes alone. What no rule knows is taken to follow an operand of the same size there, or to be set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archscope.report.receptive_reshape import attach_ones, axis_groups, index_axes
from archscope.trace import Operand, Row, Shape


@dataclass(frozen=True)
class OutputAxis:
    """One output axis of a row: the operands that flow, the output's shape, and the axis asked for."""

    row: Row
    operands: tuple[Operand, ...]
    shape: Shape
    axis: int

    @property
    def first(self) -> Operand:
        return self.operands[0]


CONCAT_OPS = ("cat", "concat", "concatenate")
"""Functions that lay values one behind the other."""
AxisOrigins = Sequence[tuple[Operand, int]]
OriginRule = Callable[[OutputAxis], AxisOrigins]


def axis_origins(made: OutputAxis) -> AxisOrigins:
    """The operands' axes that an output axis follows; none where the row sets its size."""
    if not made.operands:
        return ()
    found = ORIGIN_RULES.get(made.row.short_name.removesuffix("_"), broadcast_origins)(made)
    return [(operand, axis) for operand, axis in found if 0 <= axis < len(operand.value.shape)]


# ------------------------------------------------------------ windows, layers
def window_origins(channels: bool) -> OriginRule:
    """A window keeps the batch and slides over the last axes; a convolution sets the channels, a pool keeps them."""

    def rule(made: OutputAxis) -> AxisOrigins:
        spatial = int(made.row.short_name.rstrip("_")[-2])
        if channels and made.axis == len(made.shape) - spatial - 1:
            return ()
        return [(made.first, made.axis)]

    return rule


def adaptive_pool_origins(made: OutputAxis) -> AxisOrigins:
    """The output's size is given; batch and channels are kept."""
    spatial = int(made.row.short_name[-2])
    return [(made.first, made.axis)] if made.axis < len(made.shape) - spatial else ()


def linear_origins(made: OutputAxis) -> AxisOrigins:
    """A linear map or a recurrent layer sets the last axis."""
    return () if made.axis == len(made.shape) - 1 else broadcast_origins(made)


def embedding_origins(made: OutputAxis) -> AxisOrigins:
    """An embedding adds the last axis to those of its indexes."""
    return () if made.axis == len(made.shape) - 1 else [(made.first, made.axis)]


# ------------------------------------------------------------ lists, products
def concat_origins(made: OutputAxis) -> AxisOrigins:
    """Along `dim` every operand adds to the size; the other axes are the first one's."""
    dim = int_or_zero(made.row.get("dim", 0)) % len(made.shape)
    if made.axis == dim:
        return [(operand, dim) for operand in made.operands]
    return [(made.first, made.axis)]


def stack_origins(made: OutputAxis) -> AxisOrigins:
    dim = int_or_zero(made.row.get("dim", 0)) % len(made.shape)
    return () if made.axis == dim else [(made.first, made.axis - (made.axis > dim))]


def matmul_origins(made: OutputAxis) -> AxisOrigins:
    """(…, n, k) @ (…, k, m): n from the left one, m from the right one."""
    left, right = made.operands[0], made.operands[-1]
    if made.axis == len(made.shape) - 1 and len(made.operands) > 1 and len(right.value.shape) > 1:
        return [(right, len(right.value.shape) - 1)]
    if len(right.value.shape) == 1:  # of a vector nothing is left
        return [(left, made.axis)]
    axis = made.axis - len(made.shape) + len(left.value.shape)
    return [(left, axis)] if axis >= 0 else broadcast_origins(made)


def attention_origins(made: OutputAxis) -> AxisOrigins:
    source = made.operands[2] if made.axis == len(made.shape) - 1 and len(made.operands) > 2 else made.first
    return [(source, made.axis)]


# ------------------------------------------------------------ views
def view_origins(made: OutputAxis) -> AxisOrigins:
    """Axes whose products agree belong together: (16, 5, 5) → 400."""
    for before, after in attach_ones(axis_groups(made.first.value.shape, made.shape)):
        if made.axis in after:
            return [(made.first, axis) for axis in before]
    return ()


def transpose_origins(made: OutputAxis) -> AxisOrigins:
    """`transpose(dim0, dim1)`."""
    rank = len(made.shape)
    one, other = (int_or_zero(made.row.get(name, 0)) % rank for name in ("dim0", "dim1"))
    return [(made.first, {one: other, other: one}.get(made.axis, made.axis))]


def matrix_transpose_origins(made: OutputAxis) -> AxisOrigins:
    """`t()`, `.T`, `.mT` of a matrix."""
    rank = len(made.shape)
    last = {rank - 1: rank - 2, rank - 2: rank - 1} if rank > 1 else {}
    return [(made.first, last.get(made.axis, made.axis))]


def permute_origins(made: OutputAxis) -> AxisOrigins:
    dims = made.row.get("dims")
    assert isinstance(dims, tuple)
    return [(made.first, int_or_zero(dims[made.axis]) % len(made.shape))]


def reduction_origins(made: OutputAxis) -> AxisOrigins:
    """A reduction or a squeeze: the axes that are left are those of equal size, in order."""
    old = made.first.value.shape
    if len(old) == len(made.shape):
        return [(made.first, made.axis)] if old[made.axis] == made.shape[made.axis] else ()
    dim = made.row.get("dim")
    gone = {int_or_zero(d) % len(old) for d in (dim if isinstance(dim, tuple) else (dim,)) if isinstance(d, int)}
    left = [axis for axis in range(len(old)) if axis not in gone]
    if len(left) != len(made.shape):
        left = matching_axes(old, made.shape)
    return [(made.first, left[made.axis])] if made.axis < len(left) else ()


def index_origins(made: OutputAxis) -> AxisOrigins:
    """`x[:, 0, 1:]`: a slice keeps its axis, a number takes it away, None makes one; a tensor's axes are guessed."""
    index = made.row.get("index", "?")
    entries = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(entry, str) and ":" not in entry and entry != "..." for entry in entries):
        return reduction_origins(made)
    where, _ = index_axes(entries, len(made.first.value.shape))
    return [(made.first, old) for old, new in where.items() if new == [made.axis]]


def matching_axes(old: Shape, new: Shape) -> list[int]:
    """The axes of `old` that `new` may consist of, from the right."""
    found: list[int] = []
    axis = len(old)
    for size in reversed(new):
        axis = next((a for a in range(axis - 1, -1, -1) if old[a] == size), axis - 1)
        found.insert(0, max(axis, 0))
    return found


def unsqueeze_origins(made: OutputAxis) -> AxisOrigins:
    """`unsqueeze(dim)`."""
    dim = int_or_zero(made.row.get("dim", 0)) % len(made.shape)
    return () if made.axis == dim else [(made.first, made.axis - (made.axis > dim))]


# ------------------------------------------------------------ the rest
def broadcast_origins(made: OutputAxis) -> AxisOrigins:
    """The first operand that has this size there, aligned to the right as broadcasting does."""
    for operand in made.operands:
        axis = made.axis - len(made.shape) + len(operand.value.shape)
        if 0 <= axis < len(operand.value.shape) and operand.value.shape[axis] == made.shape[made.axis]:
            return [(operand, axis)]
    return ()


def kept_axis_origins(made: OutputAxis) -> AxisOrigins:
    """Sizes may change, axes do not (padding, interpolation, pixel shuffles, slices)."""
    return [(made.first, made.axis)] if len(made.first.value.shape) == len(made.shape) else reduction_origins(made)


def int_or_zero(value: object) -> int:
    return value if isinstance(value, int) else 0


ORIGIN_RULES: Mapping[str, OriginRule] = {
    **{f"conv{d}d": window_origins(True) for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": window_origins(True) for d in (1, 2, 3)},
    **{f"{kind}_pool{d}d": window_origins(False) for kind in ("max", "avg", "lp") for d in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{d}d": adaptive_pool_origins for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("linear", "lstm", "gru", "rnn_tanh", "rnn_relu", "bilinear"), linear_origins),
    "embedding": embedding_origins,
    **dict.fromkeys(CONCAT_OPS, concat_origins),
    "stack": stack_origins,
    **dict.fromkeys(("matmul", "bmm", "mm"), matmul_origins),
    "scaled_dot_product_attention": attention_origins,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten"), view_origins),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose_origins),
    **dict.fromkeys(("t", "T", "mT", "adjoint"), matrix_transpose_origins),
    "permute": permute_origins,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "squeeze", "select", "unbind", "norm"), reduction_origins),
    "unsqueeze": unsqueeze_origins,
    "getitem": index_origins,
    **dict.fromkeys(
        ("pad", "interpolate", "narrow", "chunk", "split", "pixel_shuffle", "pixel_unshuffle"), kept_axis_origins
    ),
    "new_zeros": view_origins,
}
"""Function (short name) → the rule of its axes."""
