"""The relation of operands that are combined, and which side of a residual is the main one.

`residual`, `table` (of positions, of a bias), `pyramid`, `positions` (of a map, with features that a layer makes),
`inputs` (their sizes come from several)

operands, the rows of each since their fork → operand_relation, operand_order
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archscope.conflicts.axis_history import AxisChange, AxisHistory
from archscope.conflicts.causes import is_uneven
from archscope.conflicts.size_model import RESAMPLING_OPS
from archscope.conflicts.size_origins import find_size_origin
from archscope.ops.windows import window_of
from archscope.trace import Mismatch, Operand, Row

SIDE_NAMES = {"residual": ("main", "shortcut"), "pyramid": ("lateral", "top-down")}
"""Relation → the names of its two sides, in the order of `operand_order`."""
SUM_KINDS = ("add", "multiply")


@dataclass(frozen=True)
class CombinedOperands:
    """Operands of one operation, with the changes of each since the row that made the last value they share.

    apart: True if the sizes that differ come from several inputs.
    """

    mismatch: Mismatch
    operands: Sequence[Operand]
    sides: Sequence[Sequence[AxisChange]]
    fork: int | None
    history: AxisHistory
    apart: bool = False


def operand_relation(combined: CombinedOperands) -> str:
    """Return the relation of the operands of a sum or a product; "" if unknown.

    In a spec, the form of the step says that it is a residual. In Python, it is an addition of two sides that fork at a
    value, one of which has no layers but projections.
    """
    mismatch, operands, sides, fork, history = (
        combined.mismatch,
        combined.operands,
        combined.sides,
        combined.fork,
        combined.history,
    )
    if mismatch.kind in SUM_KINDS and find_table_operand(mismatch, operands, history) is not None:
        return "table"
    if combined.apart:
        return "inputs"
    if mismatch.kind == "product" and len(operands) == 2:
        return "positions" if sums_over_positions(operands, history) else ""
    if mismatch.kind != "add" or len(operands) != 2:
        return ""
    if mismatch.site.strict:
        return "residual" if mismatch.site.name.startswith("main +") else ""
    if fork is None:
        return ""
    direct = any(history.index.maker_index(operand.value.id) <= fork for operand in operands)
    if is_pyramid(operands, sides, history, direct=direct):
        return "pyramid"
    work = [layer_work(history, operand, fork) for operand in operands]
    layers = any(weighted for _, weighted, _ in work) and min(len(operand.value.shape) for operand in operands) > 1
    return "residual" if layers and any(own == 0 for own, _, _ in work) else ""


def is_pyramid(
    operands: Sequence[Operand], sides: Sequence[Sequence[AxisChange]], history: AxisHistory, *, direct: bool
) -> bool:
    """Return whether one side comes from a smaller level that was made from the other: it shrinks, and enlarges again.

    If the other side is the fork itself, enlarging is its last step.
    """
    enlarged = [any(is_upsampling(change.row) for change in side) for side in sides]
    if sorted(enlarged) != [False, True]:
        return False
    top_down = enlarged.index(True)
    shrinks = any((window := window_of(change.row)) and max(window.stride) > 1 for change in sides[top_down])
    last = history.index.maker(operands[top_down])
    return shrinks and (not direct or (last is not None and last.short_name in RESAMPLING_OPS))


def rounded_level(combined: CombinedOperands, axes: Sequence[int]) -> AxisChange | None:
    """Return the last window before the fork if its output size along these axes differs from input size / stride and
    is odd, so that it cannot be halved and doubled. For a concat, only a window of stride 1, which should keep the
    size."""
    row = combined.history.index.trace.rows[combined.fork] if combined.fork is not None and combined.fork >= 0 else None
    if row is None:
        return None
    level = Operand("", row.outputs[0])
    windows = [change for change in combined.history.changes(level, axes) if window_of(change.row) is not None]
    if not windows or not is_uneven(windows[-1]):
        return None
    window = window_of(windows[-1].row)
    keeps = window is not None and set(window.stride) == {1}
    if not any(after % 2 for _, _, after in windows[-1].axes):
        return None
    return windows[-1] if keeps or combined.mismatch.kind != "concat" else None


def centred_arguments(row: Row) -> Iterator[tuple[str, int]]:
    """Yield the padding, or else the kernel, with which a window's output size is its input size divided by the
    stride."""
    window = window_of(row)
    if window is None:
        return
    reach, padding = {window.effective_kernel(axis) for axis in range(window.axes)}, set(window.padding)
    if len(reach) == 1 and (size := reach.pop()) % 2:
        yield "padding", size // 2
    if len(padding) == 1 and (size := padding.pop()) and set(window.dilation) == {1}:
        yield "kernel_size", 2 * size + 1


def sums_over_positions(operands: Sequence[Operand], history: AxisHistory) -> bool:
    """Return whether exactly one of the two sizes that a matrix product sums over is that of a flattened map."""
    (left, right), index = operands, history.index
    inner = [(left, len(left.value.shape) - 1), (right, max(len(right.value.shape) - 2, 0))]
    return sum(bool(find_size_origin(index, operand, axis).factors) for operand, axis in inner) == 1


def find_table_operand(mismatch: Mismatch, operands: Sequence[Operand], history: AxisHistory) -> int | None:
    """Return the operand whose disagreeing axes all come from parameters or buffers; None if there is none, or more
    than one."""
    rank = max(len(operand.value.shape) for operand in operands)
    found = []
    for number, operand in enumerate(operands):
        axes = [axis - rank + len(operand.value.shape) for axis in mismatch.axes]
        kinds = {find_size_origin(history.index, operand, axis).kind for axis in axes if axis >= 0}
        found += [number] if kinds == {"table"} else []
    return found[0] if len(found) == 1 else None


def operand_order(relation: str, combined: CombinedOperands) -> list[int]:
    """Return the operands in the order of their names: for a residual, main before shortcut, judged by their layers and
    not by the order in the code; for a pyramid, the lateral side first."""
    order = list(range(len(combined.operands)))
    if relation == "residual" and not combined.mismatch.site.strict:
        work = [layer_work(combined.history, operand, combined.fork) for operand in combined.operands]
        return sorted(order, key=lambda number: work[number], reverse=True)
    if relation == "pyramid":
        return sorted(order, key=lambda number: any(is_upsampling(change.row) for change in combined.sides[number]))
    return order


def layer_work(history: AxisHistory, operand: Operand, fork: int | None) -> tuple[int, int, int]:
    """Return the numbers of layers that are no projection, of layers with weights, and of rows between the fork and an
    operand.

    A projection is a convolution of size 1, a Linear, a pool or a norm.
    """
    index = history.index
    since = -1 if fork is None else fork
    rows = {row for row in index.ancestors(operand).values() if row > since}
    found = [index.trace.rows[row] for row in rows]
    weighted = [row for row in found if weight_rank(row)]
    mixing = 0
    for row in weighted:
        window = window_of(row)
        mixing += row.short_name != "linear" and (window is None or set(window.kernel) != {1})
    return mixing, len(weighted), len(found)


def weight_rank(row: Row) -> int:
    """Return the rank of the weight of a layer that mixes channels; 0 for every other row."""
    mixes = "conv" in row.short_name or row.short_name in ("linear", "lstm", "gru", "multi_head_attention_forward")
    return len(row.inputs[1].value.shape) if mixes and len(row.inputs) > 1 else 0


def is_upsampling(row: Row) -> bool:
    """Return whether a row enlarges a map."""
    window = window_of(row)
    if window is not None:
        return window.transposed and max(window.stride) > 1
    return row.short_name in RESAMPLING_OPS and row.outputs[0].shape[-1:] > row.inputs[0].value.shape[-1:]
