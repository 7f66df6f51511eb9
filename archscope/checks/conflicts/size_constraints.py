"""What must fit in a net: joins, products, layers that were told a size, windows → ConstraintSet on the sizes of its
inputs.

    TraceIndex → NetConstraints ─ SizeModel ─→ SizeConstraint: Sizes that must be equal ─ ConstraintSet.hold({input
    axis: n}) ─→ whether

Demands whose sizes cannot be followed back to an input are left out. So is one that holds in this run by a number that
the author's code may have worked out from the run's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.axis_names import SPATIAL_LETTERS
from archscope.checks.conflicts.size_model import (
    AxisSize,
    InputAxis,
    SizeModel,
    concat_axis,
    dependency_order,
    evaluate_sizes,
    window_resize,
)
from archscope.checks.conflicts.view_factors import find_view_factors
from archscope.report.windows import window_of
from archscope.trace import Mismatch, Operand, Row, SizeCondition, Trace

POINTWISE_OPS = ("add", "sub", "mul", "truediv", "div", "iadd", "imul", "isub")
SIZED_LAYER_OPS = ("linear", "layer_norm")
MATMUL_OPS = ("matmul", "bmm", "mm")
CHANNEL_NORMS = ("instance_norm", "batch_norm")


@dataclass(frozen=True)
class SizeConstraint:
    """Sizes that must be equal, all of them at least 1."""

    sizes: tuple[AxisSize, ...]
    row: int

    def holds(self, found: Mapping[int, int]) -> bool:
        """Whether they are, where the sizes are those found, by their ids."""
        values = {found[id(size)] for size in self.sizes}
        return len(values) == 1 and min(values) > 0

    @cached_property
    def axes(self) -> frozenset[InputAxis]:
        return frozenset().union(*(size.axes for size in self.sizes))

    @property
    def has_fixed_size(self) -> bool:
        """Whether the net says which size it wants: a layer, a table, a window that must fit."""
        return len(self.sizes) == 1 or any(not size.axes for size in self.sizes)


class ConstraintSet:
    """Demands that are asked together at many sizes of the inputs."""

    def __init__(self, demands: Sequence[SizeConstraint]):
        self.constraints = demands
        self.sizes = dependency_order(size for one in demands for size in one.sizes)

    def evaluate_each(self, given: Mapping[InputAxis, int]) -> Iterator[bool]:
        """Of each whether it holds where the axes of inputs are those given, others as they are."""
        found = dict(zip(map(id, self.sizes), evaluate_sizes(self.sizes, given), strict=True))
        return (one.holds(found) for one in self.constraints)

    def all_hold(self, given: Mapping[InputAxis, int]) -> bool:
        return all(self.evaluate_each(given))


class NetConstraints:
    """What must fit in one net, whichever of its conflicts is asked for."""

    def __init__(self, history: AxisHistory):
        self.history, self.index, self.original_operand = history, history.index, history.original_operand
        self.names, self.model = history.axis_names, SizeModel(history)

    @cached_property
    def broken(self) -> list[SizeConstraint]:
        """Those that do not hold in this run."""
        return [one for one, holds in self._evaluated if not holds]

    @cached_property
    def traceable(self) -> list[SizeConstraint]:
        """Those that depend on an input, and not on numbers that may follow it by themselves."""
        return [one for one, holds in self._evaluated if one.axes and not (holds and any(s.frozen for s in one.sizes))]

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
            there = [op for op in operands if len(op.value.shape) >= back and (strict or op.value.shape[-back] != 1)]
            found = [self.model.size(op.value, len(op.value.shape) - back) for op in there]
            known = tuple(size for size in found if size is not None)
            if len(known) == len(found) > 1:
                yield SizeConstraint(known, row.index)

    def _matmul_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """The last axis of the left operand, the last but one of the right one."""
        left, right = (self.original_operand(operand).value for operand in row.inputs)
        if len(right.shape) > 1:
            found = self.model.size(left, len(left.shape) - 1), self.model.size(right, len(right.shape) - 2)
            known = tuple(size for size in found if size is not None)
            if len(known) == 2:
                yield SizeConstraint(known, row.index)

    def _layer_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """The last axes, as a layer in conflict was told, or as the weight has them."""
        given, weight = self.original_operand(row.inputs[0]).value, row.inputs[1].value
        told = [
            m.wrong_argument.given
            for m in self.index.trace.mismatches
            if m.row == row.index and m.wrong_argument is not None
        ]
        said = told[0] if told and isinstance(told[0], (int, tuple)) else weight.shape
        whole = (said,) if isinstance(said, int) else said
        for back in range(1, 2 if row.short_name == "linear" else len(whole) + 1):
            size = self.model.size(given, len(given.shape) - back) if len(given.shape) >= back else None
            if size is not None and size.axes:
                yield SizeConstraint((size, AxisSize(whole[-back])), row.index)

    def _window_constraints(self, row: Row) -> Iterator[SizeConstraint]:
        """A window must fit into what it reads."""
        window, read = window_of(row), self.original_operand(row.inputs[0]).value
        for spatial in range(window.axes if window is not None else 0):
            size = self.model.size(read, len(read.shape) - window.axes + spatial) if window is not None else None
            if size is not None and window is not None and size.axes:
                yield SizeConstraint((AxisSize(size.now, (size,), window_resize(window, spatial)),), row.index)

    def _norm_constraints(self) -> Iterator[SizeConstraint]:
        """A norm that has refused a map of one position wants more than one along each axis."""
        refused = norm_refused_operand(self.index.trace)
        value = self.original_operand(refused).value if refused is not None else None
        for axis in range(2, len(value.shape)) if value is not None else ():
            size = self.model.size(value, axis) if value is not None else None
            if value is not None and size is not None and size.axes:
                yield SizeConstraint((AxisSize(0, (size,), lambda n: int(n > 1)),), self.index.maker_index(value.id))

    def of(self, mismatch: Mismatch) -> list[SizeConstraint]:
        """The broken demands of one conflict."""
        return [one for one in self.broken if one.row == mismatch.row]

    def extra_constraints(self, mismatch: Mismatch) -> list[SizeConstraint]:
        """What one conflict asks for beside them."""
        return list(self.from_view(mismatch)) if mismatch.kind == "view" else []

    def from_condition(self, asked: SizeCondition) -> SizeConstraint | None:
        """What a condition of the author's asks of a size; None where that follows no input."""
        size, rows = self.model.size(asked.operand.value, asked.axis), len(self.index.trace.rows)
        if size is None or not size.axes:
            return None
        if asked.divisor:
            return SizeConstraint((AxisSize(0, (size,), divisible_by(asked.divisor)),), rows)
        return SizeConstraint((size, AxisSize(asked.equals)), rows)

    def from_view(self, mismatch: Mismatch) -> Iterator[SizeConstraint]:
        """A view of as many axes has the sizes that were written; windows divide the axes that they cut."""
        value, told = (
            self.original_operand(mismatch.operands[0]).value,
            mismatch.wrong_argument.given if mismatch.wrong_argument is not None else (),
        )
        if not isinstance(told, tuple):
            return
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL_LETTERS]
        for axis in spatial if len(told) == len(value.shape) else ():
            size = self.model.size(value, axis)
            if size is not None and size.axes and told[axis] != -1:
                yield SizeConstraint((size, AxisSize(told[axis])), mismatch.row)
        for factors in find_view_factors(told, value.shape, spatial):
            size = self.model.size(value, factors.axis) if factors.is_window else None
            if size is not None and size.axes:
                yield SizeConstraint((AxisSize(0, (size,), divisible_by(factors.divisor)),), mismatch.row)

    def from_other_map(self, mismatch: Mismatch) -> Iterator[SizeConstraint]:
        """A view was told the size of the positions of another map: both have the same height and width."""
        value, said = (
            self.original_operand(mismatch.operands[0]).value,
            mismatch.wrong_argument.given if mismatch.wrong_argument is not None else (),
        )
        told = said if isinstance(said, tuple) else ()
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL_LETTERS]
        rows = self.index.trace.rows[: max(mismatch.row, 0)]
        for other in (output for row in reversed(rows) for output in row.outputs):
            where = [axis for axis, name in enumerate(self.names.of(other)) if name in SPATIAL_LETTERS]
            if len(where) == len(spatial) > 1 and prod(other.shape[axis] for axis in where) in told:
                pairs = [
                    (self.model.size(value, a), self.model.size(other, b)) for a, b in zip(spatial, where, strict=True)
                ]
                yield from (SizeConstraint((a, b), mismatch.row) for a, b in pairs if a is not None and b is not None)
                return


def norm_refused_operand(trace: Trace) -> Operand | None:
    """What a norm that needs several values of each channel has refused, since it has one; None for other failures."""
    failure = trace.failure
    if failure is None or not failure.function.endswith(CHANNEL_NORMS) or not failure.operands:
        return None
    shape = failure.operands[0].value.shape
    single = len(shape) > 2 and (prod(shape[2:]) if "instance" in failure.function else prod(shape[2:]) * shape[0]) == 1
    return failure.operands[0] if single else None


def divisible_by(number: int) -> Callable[[int], int]:
    """1 for a multiple of the number, 0 for every other size."""
    return lambda size: int(size % number == 0)
