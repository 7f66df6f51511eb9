"""The history of axis sizes: an operand and an axis → the rows that changed or set its size, back to a fork.

TraceIndex → AxisHistory ─ fork(operands) ─→ the last value they share ─ changes(operand, axes) ─→ AxisChanges
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_

from archscope.conflicts.axis_names import AxisNames
from archscope.conflicts.axis_origins import OutputAxis, axis_origins
from archscope.ops.axis_map import CONCAT_OPS
from archscope.spec.tensor_calls import PERMUTE_FUNCTIONS
from archscope.trace import Mismatch, Operand, Row, Value
from archscope.trace_index import TraceIndex

AxisStep = tuple[Row, Value, int, Sequence[tuple[Operand, int]]]
"""A row on the way back, its output, the axis in question, and the operands' axes that it follows."""


@dataclass(frozen=True)
class AxisChange:
    """The effect of one row on axes: for each (axis, size before or None if the row set it, size after)."""

    row: Row
    axes: tuple[tuple[int, int | None, int], ...]
    shape: tuple[int, ...]

    @property
    def output(self) -> Value:
        """The output with these axes."""
        return next(value for value in self.row.outputs if value.shape == self.shape)

    @property
    def changed(self) -> bool:
        """True if a size is different afterwards, or at another position."""
        return self.row.short_name in PERMUTE_FUNCTIONS or any(before != after for _, before, after in self.axes)

    @property
    def is_resizable(self) -> bool:
        """True if the row moves a window, whose stride or padding could be different, or joins other values."""
        return can_resize(self.row)


IMAGE_RANK = 4
"""The rank of a batch of images, which are concatenated along their channels."""


def can_resize(row: Row) -> bool:
    """Return whether the row could give another size with other arguments or operands, even if it kept this one."""
    return (
        "conv" in row.short_name
        or "pool" in row.short_name
        or row.short_name in ("matmul", "scaled_dot_product_attention")
    )


class AxisHistory:
    """The origins of the axis sizes of one trace's values."""

    def __init__(self, index: TraceIndex):
        self.index, self.trace = index, index.trace
        self.axis_names = AxisNames(index)

    def original_operand(self, operand: Operand) -> Operand:
        """Return the operand, or the value that was there before it was replaced by one that the layer accepts."""
        row = self.index.maker(operand)
        return row.inputs[0] if row is not None and row.index in self.stand_ins and row.inputs else operand

    def fork(self, operands: Sequence[Operand]) -> int | None:
        """Return the index of the row that made the last value from which all operands come, themselves included; -1 if
        that is an input, None if there is no such value."""
        sides: dict[int, int] = {}  # value → the operands that are made from it, a bit for each
        for number, operand in enumerate(operands):
            sides[operand.value.id] = sides.get(operand.value.id, 0) | 1 << number
        every = (1 << len(operands)) - 1
        last = max((row.index for row in map(self.index.maker, operands) if row is not None), default=-1)
        for row in reversed(self.trace.rows[: last + 1]):
            derived = [sides[value.id] for value in row.outputs if value.id in sides]
            if every in derived:
                return row.index
            for source in row.inputs if derived else ():
                sides[source.value.id] = reduce(or_, derived, sides.get(source.value.id, 0))
        return -1 if any(sides.get(operand.value.id) == every for operand in self.trace.inputs) else None

    def steps(
        self, operand: Operand, axes: Iterable[int], *, since: int = -1, through: bool = False
    ) -> Iterator[AxisStep]:
        """Yield every row after `since` that an axis of the operand went through, backwards from the operand.

        through: continue through rows that set an axis to the size that it had before.
        """
        waiting = [(operand.value, axis) for axis in axes if axis < len(operand.value.shape)]
        seen: set[tuple[int, int]] = set()
        while waiting:
            value, axis = waiting.pop(0)
            row = self.index.makers.get(value.id)
            if (value.id, axis) in seen or row is None or row.index <= since:
                continue
            seen.add((value.id, axis))
            found = axis_origins(OutputAxis(row, self.index.activations(row), value.shape, axis))
            yield row, value, axis, found
            if through and not found and self._input_size(row, axis) == value.shape[axis]:
                found = [(self.index.activations(row)[0], axis)]
            waiting += [(source.value, where) for source, where in found]

    def changes(self, operand: Operand, axes: Iterable[int], *, since: int = -1) -> list[AxisChange]:
        """Return the effects of rows on these axes, in the order of the run, without rows that keep them."""
        found: dict[int, tuple[Row, Value, list[tuple[int, int | None, int]]]] = {}
        for row, value, axis, sources in self.steps(operand, axes, since=since, through=True):
            before = sources[0][0].value.shape[sources[0][1]] if len(sources) == 1 else None
            after = value.shape[axis]
            slides = can_resize(row)
            before = self._input_size(row, axis) if not sources and (slides or row.short_name == "linear") else before
            moved = row.short_name in PERMUTE_FUNCTIONS and len(sources) == 1 and sources[0][1] != axis
            if (before == after and not slides and not moved) or row.index in self.stand_ins:
                continue
            found.setdefault(row.index, (row, value, []))[2].append((axis, before, after))
        rows = (found[index] for index in sorted(found))
        return [AxisChange(row, tuple(sorted(axes, key=lambda a: a[0])), value.shape) for row, value, axes in rows]

    def _input_size(self, row: Row, axis: int) -> int | None:
        inputs = self.index.activations(row)
        return inputs[0].value.shape[axis] if inputs and axis < len(inputs[0].value.shape) else None

    def follows_conflict(
        self, operand: Operand, axes: Iterable[int], earlier: Mapping[int, Mismatch], *, since: int = -1
    ) -> bool:
        """Return whether an axis of the operand depends on an axis in conflict at a row whose value was assumed.

        earlier: index of a row → its mismatch. A layer with a wrong argument continued with the size of its
        input. A view continued with the written sizes, which are not those of its input.
        """
        for row, _, axis, sources in self.steps(operand, axes, since=since):
            broken = earlier.get(row.index)
            if broken is None:
                continue
            doubted = broken.axes or (axis,)
            if broken.kind == "concat" and len(row.outputs[0].shape) != IMAGE_RANK:
                doubted = (*doubted, axis)  # it may have been meant for another dimension
            made_up = broken.wrong_argument is None and sources and axis in doubted
            if broken.kind == "view" or made_up:
                return True
        return False

    @cached_property
    def stand_ins(self) -> frozenset[int]:
        """The rows that replace a value that a layer rejects by one that it accepts."""
        read = {
            operand.value.id
            for mismatch in self.trace.mismatches
            if mismatch.site.conflict is not None
            for operand in mismatch.operands[:1]
        }
        makers = (self.index.makers[value] for value in read if value in self.index.makers)
        return frozenset(row.index for row in makers if row.short_name == "new_zeros")


def split_branches(side: Sequence[AxisChange], index: TraceIndex) -> list[Sequence[AxisChange]]:
    """Return the steps of one side, with each branch of its last concat separate: those before the branches, those of
    each branch in order, and the concat with what follows."""
    joins = [number for number, change in enumerate(side) if len(joined_operands(change.row, index)) > 1]
    if not joins:
        return [side]
    row = side[joins[-1]].row
    reached = [frozenset(index.ancestors(operand).values()) for operand in joined_operands(row, index)]
    shared = frozenset.intersection(*reached)
    before, rest = side[: joins[-1]], side[joins[-1] :]
    trunk = [change for change in before if change.row.index in shared]
    seen = {change.row.index for change in trunk}
    found: list[Sequence[AxisChange]] = [trunk]
    for rows in reached:
        found.append([change for change in before if change.row.index in rows - seen])
        seen |= rows
    return [*filter(None, found), rest]


def joined_operands(row: Row, index: TraceIndex) -> Sequence[Operand]:
    """Return the operands that a concat or stack joins; () for other rows."""
    return index.activations(row) if row.short_name in (*CONCAT_OPS, "stack") else ()
