"""Values that were concatenated along the wrong dimension."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.operand_relations import find_table_operand
from archscope.ops.axis_map import CONCAT_OPS
from archscope.ops.shape_errors import concat_shape, differing_axes, differing_other_axes
from archscope.trace import Mismatch, Operand, Row
from archscope.trace_index import TraceIndex

CHANNEL_COUNT_ARGUMENTS = ("in_channels", "num_features", "num_channels")
"""Arguments of layers that count dimension 1."""
FEATURE_COUNT_ARGUMENTS = ("in_features", "normalized_shape", "input_size", "embed_dim")
"""Arguments of layers that count the last dimension."""


def find_concat(operand: Operand, index: TraceIndex) -> Row | None:
    """Return the concat that made an operand, up to shape-preserving steps with one input; None if there is none."""
    row = index.maker(operand)
    while row is not None and row.short_name not in CONCAT_OPS:
        same_shape = [read for read in index.activations(row) if read.value.shape == row.outputs[0].shape]
        row = index.maker(same_shape[0]) if len(same_shape) == 1 else None
    return row


def concat_dim_before(mismatch: Mismatch, index: TraceIndex) -> int | None:
    """Return the dimension along which a concat before a layer would give the size that the layer states.

    None if no concat made its input (up to shape-preserving steps), if it already joins along that dimension, or if the
    operands cannot be joined that way.
    """
    wrong = mismatch.wrong_argument
    declared = (
        wrong.given[-1] if wrong is not None and isinstance(wrong.given, tuple) and len(wrong.given) == 1 else None
    )
    declared = wrong.given if declared is None and wrong is not None else declared
    argument = wrong.argument if wrong is not None else ""
    row = (
        find_concat(mismatch.operands[0], index)
        if argument in (*CHANNEL_COUNT_ARGUMENTS, *FEATURE_COUNT_ARGUMENTS)
        else None
    )
    shapes = [operand.value.shape for operand in row.inputs] if row is not None else []
    rank = len(shapes[0]) if shapes else 0
    dim = 1 if argument in CHANNEL_COUNT_ARGUMENTS else rank - 1
    dim_now = row.get("dim", 0) if row is not None else 0
    if rank < 2 or not isinstance(dim_now, int) or {len(shape) for shape in shapes} != {rank} or dim_now % rank == dim:
        return None
    return dim if not differing_other_axes(shapes, dim) and concat_shape(shapes, dim)[dim] == declared else None


def concat_dim_beside(mismatch: Mismatch, history: AxisHistory, names: Sequence[str], *, apart: bool) -> int | None:
    """Return the only dimension in which a table differs from the value that it is joined to, or tokens of one input
    from those of another; that is the dimension that was meant.

    names: of the axes. apart: the sizes come from several inputs. None for two values computed from one: a skip
    connection of another size is no wrong dimension.
    """
    if mismatch.kind != "concat" or len(mismatch.axes) != 1 or len(mismatch.operands) != 2:
        return None
    shapes = [operand.value.shape for operand in mismatch.operands]
    (axis,) = mismatch.axes
    if differing_axes(*shapes, strict=True) != (axis,):
        return None
    tokens = apart and axis < len(names) and names[axis] == "T"
    return axis if tokens or find_table_operand(mismatch, mismatch.operands, history) is not None else None
