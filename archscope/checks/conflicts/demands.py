"""What must fit in a net: joins, products, layers that were told a size, windows → Demands on the sizes of its inputs.

    TraceIndex → NetDemands ─ SizeModel ─→ Demand: Sizes that must be equal ─ Demands.hold({input axis: n}) ─→ whether

Demands whose sizes cannot be followed back to an input are left out. So is one that holds in this run by a number that
the author's code may have worked out from the run's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.axis_names import SPATIAL
from archscope.checks.conflicts.size_model import (
    InputAxis,
    Size,
    SizeModel,
    joined_axis,
    ordered,
    sizes_at,
    windowed,
)
from archscope.checks.conflicts.view_factors import factors_of
from archscope.report.windows import window_of
from archscope.trace import Asked, Mismatch, Operand, Row, Trace

SUMS = ("add", "sub", "mul", "truediv", "div", "iadd", "imul", "isub")
TOLD = ("linear", "layer_norm")
PRODUCTS = ("matmul", "bmm", "mm")
NORMS = ("instance_norm", "batch_norm")


@dataclass(frozen=True)
class Demand:
    """Sizes that must be equal, all of them at least 1."""

    sizes: tuple[Size, ...]
    row: int

    def holds(self, found: Mapping[int, int]) -> bool:
        """Whether they are, where the sizes are those found, by their ids."""
        values = {found[id(size)] for size in self.sizes}
        return len(values) == 1 and min(values) > 0

    @cached_property
    def axes(self) -> frozenset[InputAxis]:
        return frozenset().union(*(size.axes for size in self.sizes))

    @property
    def is_told(self) -> bool:
        """Whether the net says which size it wants: a layer, a table, a window that must fit."""
        return len(self.sizes) == 1 or any(not size.axes for size in self.sizes)


class Demands:
    """Demands that are asked together at many sizes of the inputs."""

    def __init__(self, demands: Sequence[Demand]):
        self.demands = demands
        self.sizes = ordered(size for one in demands for size in one.sizes)

    def held(self, given: Mapping[InputAxis, int]) -> Iterator[bool]:
        """Of each whether it holds where the axes of inputs are those given, others as they are."""
        found = dict(zip(map(id, self.sizes), sizes_at(self.sizes, given), strict=True))
        return (one.holds(found) for one in self.demands)

    def hold(self, given: Mapping[InputAxis, int]) -> bool:
        return all(self.held(given))


class NetDemands:
    """What must fit in one net, whichever of its conflicts is asked for."""

    def __init__(self, history: AxisHistory):
        self.history, self.index, self.real = history, history.index, history.real
        self.names, self.model = history.axis_names, SizeModel(history)

    @cached_property
    def broken(self) -> list[Demand]:
        """Those that do not hold in this run."""
        return [one for one, holds in self._judged if not holds]

    @cached_property
    def followed(self) -> list[Demand]:
        """Those that depend on an input, and not on numbers that may follow it by themselves."""
        return [one for one, holds in self._judged if one.axes and not (holds and any(s.frozen for s in one.sizes))]

    @cached_property
    def _judged(self) -> list[tuple[Demand, bool]]:
        found = list(self._demands())
        return list(zip(found, Demands(found).held({}), strict=True))

    def _demands(self) -> Iterator[Demand]:
        for row in self.index.trace.rows:
            kind = row.short.removesuffix("_")
            if kind in SUMS or joined_axis(row) is not None:
                yield from self._joins(row, strict=kind not in SUMS)
            elif kind in PRODUCTS and len(row.inputs) == 2:
                yield from self._summed(row)
            elif kind in TOLD and len(row.inputs) > 1:
                yield from self._told(row)
        yield from self._normed()
        for mismatch in self.index.trace.mismatches:
            too_large = mismatch.kind == "layer" and mismatch.says is None and bool(mismatch.axes)
            if too_large and 0 <= mismatch.row < len(self.index.trace.rows):
                yield from self._slides(self.index.trace.rows[mismatch.row])

    def _joins(self, row: Row, *, strict: bool) -> Iterator[Demand]:
        rank, along = len(row.outputs[0].shape), joined_axis(row)
        operands = [op for op in map(self.real, row.inputs) if not strict or len(op.value.shape) == rank]
        for back in range(1, rank + 1):
            if along is not None and rank - back == along:
                continue
            there = [op for op in operands if len(op.value.shape) >= back and (strict or op.value.shape[-back] != 1)]
            found = [self.model.size(op.value, len(op.value.shape) - back) for op in there]
            known = tuple(size for size in found if size is not None)
            if len(known) == len(found) > 1:
                yield Demand(known, row.index)

    def _summed(self, row: Row) -> Iterator[Demand]:
        """The last axis of the left operand, the last but one of the right one."""
        left, right = (self.real(operand).value for operand in row.inputs)
        if len(right.shape) > 1:
            found = self.model.size(left, len(left.shape) - 1), self.model.size(right, len(right.shape) - 2)
            known = tuple(size for size in found if size is not None)
            if len(known) == 2:
                yield Demand(known, row.index)

    def _told(self, row: Row) -> Iterator[Demand]:
        """The last axes, as a layer in conflict was told, or as the weight has them."""
        given, weight = self.real(row.inputs[0]).value, row.inputs[1].value
        told = [m.says.said for m in self.index.trace.mismatches if m.row == row.index and m.says is not None]
        said = told[0] if told and isinstance(told[0], (int, tuple)) else weight.shape
        whole = (said,) if isinstance(said, int) else said
        for back in range(1, 2 if row.short == "linear" else len(whole) + 1):
            size = self.model.size(given, len(given.shape) - back) if len(given.shape) >= back else None
            if size is not None and size.axes:
                yield Demand((size, Size(whole[-back])), row.index)

    def _slides(self, row: Row) -> Iterator[Demand]:
        """A window must fit into what it reads."""
        window, read = window_of(row), self.real(row.inputs[0]).value
        for spatial in range(window.axes if window is not None else 0):
            size = self.model.size(read, len(read.shape) - window.axes + spatial) if window is not None else None
            if size is not None and window is not None and size.axes:
                yield Demand((Size(size.now, (size,), windowed(window, spatial)),), row.index)

    def _normed(self) -> Iterator[Demand]:
        """A norm that has refused a map of one position wants more than one along each axis."""
        refused = refused_by_norm(self.index.trace)
        value = self.real(refused).value if refused is not None else None
        for axis in range(2, len(value.shape)) if value is not None else ():
            size = self.model.size(value, axis) if value is not None else None
            if value is not None and size is not None and size.axes:
                yield Demand((Size(0, (size,), lambda n: int(n > 1)),), self.index.maker_index(value.id))

    def of(self, mismatch: Mismatch) -> list[Demand]:
        """The broken demands of one conflict."""
        return [one for one in self.broken if one.row == mismatch.row]

    def extra(self, mismatch: Mismatch) -> list[Demand]:
        """What one conflict asks for beside them."""
        return list(self.of_view(mismatch)) if mismatch.kind == "view" else []

    def of_asked(self, asked: Asked) -> Demand | None:
        """What a condition of the author's asks of a size; None where that follows no input."""
        size, rows = self.model.size(asked.operand.value, asked.axis), len(self.index.trace.rows)
        if size is None or not size.axes:
            return None
        if asked.divisor:
            return Demand((Size(0, (size,), divided_by(asked.divisor)),), rows)
        return Demand((size, Size(asked.equals)), rows)

    def of_view(self, mismatch: Mismatch) -> Iterator[Demand]:
        """A view of as many axes has the sizes that were written; windows divide the axes that they cut."""
        value, told = self.real(mismatch.operands[0]).value, mismatch.says.said if mismatch.says is not None else ()
        if not isinstance(told, tuple):
            return
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL]
        for axis in spatial if len(told) == len(value.shape) else ():
            size = self.model.size(value, axis)
            if size is not None and size.axes and told[axis] != -1:
                yield Demand((size, Size(told[axis])), mismatch.row)
        for factors in factors_of(told, value.shape, spatial):
            size = self.model.size(value, factors.axis) if factors.is_window else None
            if size is not None and size.axes:
                yield Demand((Size(0, (size,), divided_by(factors.divisor)),), mismatch.row)

    def of_another_map(self, mismatch: Mismatch) -> Iterator[Demand]:
        """A view was told the size of the positions of another map: both have the same height and width."""
        value, said = self.real(mismatch.operands[0]).value, mismatch.says.said if mismatch.says is not None else ()
        told = said if isinstance(said, tuple) else ()
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL]
        rows = self.index.trace.rows[: max(mismatch.row, 0)]
        for other in (output for row in reversed(rows) for output in row.outputs):
            where = [axis for axis, name in enumerate(self.names.of(other)) if name in SPATIAL]
            if len(where) == len(spatial) > 1 and prod(other.shape[axis] for axis in where) in told:
                pairs = [
                    (self.model.size(value, a), self.model.size(other, b)) for a, b in zip(spatial, where, strict=True)
                ]
                yield from (Demand((a, b), mismatch.row) for a, b in pairs if a is not None and b is not None)
                return


def refused_by_norm(trace: Trace) -> Operand | None:
    """What a norm that needs several values of each channel has refused, since it has one; None for other failures."""
    failure = trace.failure
    if failure is None or not failure.function.endswith(NORMS) or not failure.operands:
        return None
    shape = failure.operands[0].value.shape
    single = len(shape) > 2 and (prod(shape[2:]) if "instance" in failure.function else prod(shape[2:]) * shape[0]) == 1
    return failure.operands[0] if single else None


def divided_by(number: int) -> Callable[[int], int]:
    """1 for a multiple of the number, 0 for every other size."""
    return lambda size: int(size % number == 0)
