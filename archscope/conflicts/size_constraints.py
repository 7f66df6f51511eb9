"""The size constraints of a net: additions, concats, products, layers with stated sizes, windows → SizeConstraints.

    TraceIndex → NetConstraints ─ SizeModel ─→ SizeConstraint: sizes that must be equal
    ConstraintSet.all_hold({input axis: n}) ─→ bool

Constraints whose sizes cannot be traced to an input are left out, and so are those that hold in this run through a
number that the author's code may have computed from the run's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.axis_names import SPATIAL_LETTERS
from archscope.conflicts.size_model import (
    AxisSize,
    InputAxis,
    SizeModel,
    concat_axis,
    dependency_order,
    evaluate_sizes,
    window_resize,
)
from archscope.conflicts.view_factors import find_view_factors
from archscope.ops.norms import CHANNEL_NORMS
from archscope.ops.windows import window_of
from archscope.trace import Mismatch, Operand, Row, SizeCondition, Trace

POINTWISE_OPS = ("add", "sub", "mul", "truediv", "div", "iadd", "imul", "isub")
SIZED_LAYER_OPS = ("linear", "layer_norm")
MATMUL_OPS = ("matmul", "bmm", "mm")


@dataclass(frozen=True)
class SizeConstraint:
    """Sizes that must be equal, and all at least 1. row: the index of the row that requires it."""

    sizes: tuple[AxisSize, ...]
    row: int

    def holds(self, found: Mapping[int, int]) -> bool:
        """Return whether it holds for these sizes (id of an AxisSize → its value)."""
        values = {found[id(size)] for size in self.sizes}
        return len(values) == 1 and min(values) > 0

    @cached_property
    def axes(self) -> frozenset[InputAxis]:
        return frozenset().union(*(size.axes for size in self.sizes))

    @property
    def has_fixed_size(self) -> bool:
        """True if the net fixes a size: a layer, a table, a window that must fit."""
        return len(self.sizes) == 1 or any(not size.axes for size in self.sizes)


class ConstraintSet:
    """Constraints that are evaluated together at many sizes of the inputs."""

    def __init__(self, constraints: Sequence[SizeConstraint]):
        self.constraints = constraints
        self.sizes = dependency_order(size for constraint in constraints for size in constraint.sizes)

    def evaluate_each(self, given: Mapping[InputAxis, int]) -> Iterator[bool]:
        """Return for each constraint whether it holds with these sizes of input axes, others unchanged."""
        found = dict(zip(map(id, self.sizes), evaluate_sizes(self.sizes, given), strict=True))
        return (constraint.holds(found) for constraint in self.constraints)

    def all_hold(self, given: Mapping[InputAxis, int]) -> bool:
        return all(self.evaluate_each(given))


class NetConstraints:
    """The size constraints of one net, for all its conflicts."""

    def __init__(self, history: AxisHistory):
        self.history, self.index, self.original_operand = history, history.index, history.original_operand
        self.names, self.model = history.axis_names, SizeModel(history)

    @cached_property
    def broken(self) -> list[SizeConstraint]:
        """The constraints that do not hold in this run."""
        return [constraint for constraint, holds in self._evaluated if not holds]

    @cached_property
    def traceable(self) -> list[SizeConstraint]:
        """The constraints that depend on an input, and not on numbers that may follow it on their own."""
        return [
            constraint
            for constraint, holds in self._evaluated
            if constraint.axes and not (holds and any(s.frozen for s in constraint.sizes))
        ]

    @cached_property
    def _evaluated(self) -> list[tuple[SizeConstraint, bool]]:
        found = list(self._all_constraints())
        return list(zip(found, ConstraintSet(found).evaluate_each({}), strict=True))

    def _all_constraints(self) -> Iterator[SizeConstraint]:
        for row in self.index.trace.rows:
            kind = row.short_name.removesuffix("_")
            if kind in POINTWISE_OPS or concat_axis(row) is not None:
                yield from self._join_constraints(row, strict=kind not in POINTWISE_OPS)
            elif kind in MATMUL_OPS and len(row.inputs) == 2:
                yield from self._matmul_constraints(row)
            elif kind in SIZED_LAYER_OPS and len(row.inputs) > 1:
                yield from self._layer_constraints(row)
        yield from self._norm_constraints()
        for mismatch in self.index.trace.mismatches:
            too_large = mismatch.kind == "layer" and mismatch.wrong_argument is None and bool(mismatch.axes)
            if too_large and 0 <= mismatch.row < len(self.index.trace.rows):
                yield from self._window_constraints(self.index.trace.rows[mismatch.row])

    def _join_constraints(self, row: Row, *, strict: bool) -> Iterator[SizeConstraint]:
        rank, along = len(row.outputs[0].shape), concat_axis(row)
        operands = [op for op in map(self.original_operand, row.inputs) if not strict or len(op.value.shape) == rank]
        for back in range(1, rank + 1):
            if along is not None and rank - back == along:
                continue
            present = [op for op in operands if len(op.value.shape) >= back and (strict or op.value.shape[-back] != 1)]
            found = [self.model.size(op.value, len(op.value.shape) - back) for op in present]
            known = tuple(size for size in found if size is not None)
            if len(known) == len(found) > 1:
                yield SizeConstraint(known, row.index)

    def _matmul_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """Yield the equality of the left operand's last axis and the right operand's last but one."""
        left, right = (self.original_operand(operand).value for operand in row.inputs)
        if len(right.shape) > 1:
            found = self.model.size(left, len(left.shape) - 1), self.model.size(right, len(right.shape) - 2)
            known = tuple(size for size in found if size is not None)
            if len(known) == 2:
                yield SizeConstraint(known, row.index)

    def _layer_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """Yield the sizes of the last axes, as a layer in conflict states them, or as its weight has them."""
        given, weight = self.original_operand(row.inputs[0]).value, row.inputs[1].value
        stated = [
            m.wrong_argument.given
            for m in self.index.trace.mismatches
            if m.row == row.index and m.wrong_argument is not None
        ]
        declared = stated[0] if stated and isinstance(stated[0], (int, tuple)) else weight.shape
        sizes = (declared,) if isinstance(declared, int) else declared
        for back in range(1, 2 if row.short_name == "linear" else len(sizes) + 1):
            size = self.model.size(given, len(given.shape) - back) if len(given.shape) >= back else None
            if size is not None and size.axes:
                yield SizeConstraint((size, AxisSize(sizes[-back])), row.index)

    def _window_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """Yield that a window must fit into its input."""
        window, read = window_of(row), self.original_operand(row.inputs[0]).value
        for spatial in range(window.axes if window is not None else 0):
            size = self.model.size(read, len(read.shape) - window.axes + spatial) if window is not None else None
            if size is not None and window is not None and size.axes:
                yield SizeConstraint((AxisSize(size.now, (size,), window_resize(window, spatial)),), row.index)

    def _norm_constraints(self) -> Iterator[SizeConstraint]:
        """Yield that a norm which rejected a map of one position needs more than one along each axis."""
        refused = norm_refused_operand(self.index.trace)
        value = self.original_operand(refused).value if refused is not None else None
        for axis in range(2, len(value.shape)) if value is not None else ():
            size = self.model.size(value, axis) if value is not None else None
            if value is not None and size is not None and size.axes:
                yield SizeConstraint((AxisSize(0, (size,), lambda n: int(n > 1)),), self.index.maker_index(value.id))

    def of(self, mismatch: Mismatch) -> list[SizeConstraint]:
        """Return the broken constraints of one conflict."""
        return [constraint for constraint in self.broken if constraint.row == mismatch.row]

    def extra_constraints(self, mismatch: Mismatch) -> list[SizeConstraint]:
        """Return further constraints of one conflict."""
        return list(self.from_view(mismatch)) if mismatch.kind == "view" else []

    def from_condition(self, condition: SizeCondition) -> SizeConstraint | None:
        """Return the constraint of a condition in the author's code; None if its size depends on no input."""
        size, rows = self.model.size(condition.operand.value, condition.axis), len(self.index.trace.rows)
        if size is None or not size.axes:
            return None
        if condition.divisor:
            return SizeConstraint((AxisSize(0, (size,), divisible_by(condition.divisor)),), rows)
        return SizeConstraint((size, AxisSize(condition.equals)), rows)

    def from_view(self, mismatch: Mismatch) -> Iterator[SizeConstraint]:
        """Yield that a view with the same number of axes has the written sizes, and that windows divide the axes that
        they cut."""
        value, sizes = (
            self.original_operand(mismatch.operands[0]).value,
            mismatch.wrong_argument.given if mismatch.wrong_argument is not None else (),
        )
        if not isinstance(sizes, tuple):
            return
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL_LETTERS]
        for axis in spatial if len(sizes) == len(value.shape) else ():
            size = self.model.size(value, axis)
            if size is not None and size.axes and sizes[axis] != -1:
                yield SizeConstraint((size, AxisSize(sizes[axis])), mismatch.row)
        for factors in find_view_factors(sizes, value.shape, spatial):
            size = self.model.size(value, factors.axis) if factors.is_window else None
            if size is not None and size.axes:
                yield SizeConstraint((AxisSize(0, (size,), divisible_by(factors.divisor)),), mismatch.row)

    def from_other_map(self, mismatch: Mismatch) -> Iterator[SizeConstraint]:
        """Yield that a map has the height and width of another map, whose number of positions the view states."""
        value, given = (
            self.original_operand(mismatch.operands[0]).value,
            mismatch.wrong_argument.given if mismatch.wrong_argument is not None else (),
        )
        sizes = given if isinstance(given, tuple) else ()
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL_LETTERS]
        rows = self.index.trace.rows[: max(mismatch.row, 0)]
        for other in (output for row in reversed(rows) for output in row.outputs):
            where = [axis for axis, name in enumerate(self.names.of(other)) if name in SPATIAL_LETTERS]
            if len(where) == len(spatial) > 1 and prod(other.shape[axis] for axis in where) in sizes:
                pairs = [
                    (self.model.size(value, a), self.model.size(other, b)) for a, b in zip(spatial, where, strict=True)
                ]
                yield from (SizeConstraint((a, b), mismatch.row) for a, b in pairs if a is not None and b is not None)
                return


def norm_refused_operand(trace: Trace) -> Operand | None:
    """Return the operand that a norm rejected because it has a single value for each channel; None for other
    failures."""
    failure = trace.failure
    if failure is None or not failure.function.endswith(tuple(CHANNEL_NORMS)) or not failure.operands:
        return None
    shape = failure.operands[0].value.shape
    single = len(shape) > 2 and (prod(shape[2:]) if "instance" in failure.function else prod(shape[2:]) * shape[0]) == 1
    return failure.operands[0] if single else None


def divisible_by(number: int) -> Callable[[int], int]:
    """Return a function that is 1 for a multiple of the number, and 0 for every other size."""
    return lambda size: int(size % number == 0)
