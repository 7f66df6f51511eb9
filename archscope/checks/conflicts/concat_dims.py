"""Values that were joined along another dimension than they were to be."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.axis_origins import CONCAT_OPS
from archscope.checks.conflicts.operand_relations import find_table_operand
from archscope.trace import Mismatch, Operand, Row
from archscope.trace_index import TraceIndex

CHANNEL_COUNT_ARGUMENTS = ("in_channels", "num_features", "num_channels")
"""Arguments of layers that count dimension 1."""
FEATURE_COUNT_ARGUMENTS = ("in_features", "normalized_shape", "input_size", "embed_dim")
"""Arguments of layers that count the last dimension."""


def find_concat(operand: Operand, index: TraceIndex) -> Row | None:
    """The concat that made an operand, up to steps of one input that keep the shape; None where none did."""
    row = index.maker(operand)
    while row is not None and row.short_name not in CONCAT_OPS:
        kept = [one for one in index.activations(row) if one.value.shape == row.outputs[0].shape]
        row = index.maker(kept[0]) if len(kept) == 1 else None
    return row


def concat_dim_before(mismatch: Mismatch, index: TraceIndex) -> int | None:
    """The dimension along which a concat before a layer would give what the layer was told.

    None where no concat made its input, up to steps that keep the shape, or where it joins along that dimension, or the
    operands cannot be joined so.
    """
    says = mismatch.wrong_argument
    said = says.given[-1] if says is not None and isinstance(says.given, tuple) and len(says.given) == 1 else None
    said = says.given if said is None and says is not None else said
    argument = says.argument if says is not None else ""
    row = (
        find_concat(mismatch.operands[0], index)
        if argument in (*CHANNEL_COUNT_ARGUMENTS, *FEATURE_COUNT_ARGUMENTS)
        else None
    )
    shapes = [one.value.shape for one in row.inputs] if row is not None else []
    rank = len(shapes[0]) if shapes else 0
    dim = 1 if argument in CHANNEL_COUNT_ARGUMENTS else rank - 1
    present = row.get("dim", 0) if row is not None else 0
    if rank < 2 or not isinstance(present, int) or {len(shape) for shape in shapes} != {rank} or present % rank == dim:
        return None
    others = {shape[:dim] + shape[dim + 1 :] for shape in shapes}
    return dim if len(others) == 1 and sum(shape[dim] for shape in shapes) == said else None


def concat_dim_beside(mismatch: Mismatch, history: AxisHistory, names: Sequence[str], *, apart: bool) -> int | None:
    """The dimension along which a table fits what a concat joins it to, or tokens of one input those of another: the
    only one in which they differ.

    names: of the axes. apart: the sizes come from several inputs. None for two values that were computed of one: a skip
    of another size is no slip of the dimension.
    """
    if mismatch.kind != "concat" or len(mismatch.axes) != 1 or len(mismatch.operands) != 2:
        return None
    shapes = [operand.value.shape for operand in mismatch.operands]
    (axis,) = mismatch.axes
    differs = [dim for dim, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    if differs != [axis]:
        return None
    tokens = apart and axis < len(names) and names[axis] == "T"
    return axis if tokens or find_table_operand(mismatch, mismatch.operands, history) is not None else None
