"""Which sizes of the inputs would do: what must fit in a net → the sizes next to the given ones at which it does.

    TraceIndex → Demands (joins, layers that were told a size, windows) ─ SizeModel ─→ at any input: whether they hold
              → fitting(index) → Fit: along each axis the next size below and above, or whole shapes

Where no layer, table or window says which size it wants, sizes of less than half or more than twice the given one are
none. Demands whose sizes cannot be followed back to an input are left out. So is one that holds in this run by a number
that the author's code may have worked out from the run's sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product, takewhile
from math import prod

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.axis_names import SPATIAL, AxisNames
from archscope.checks.conflicts.size_model import InputAxis, Size, SizeModel, joined_axis, sizes_at, windowed
from archscope.checks.conflicts.view_factors import factors_of
from archscope.report.windows import window_of
from archscope.trace import Mismatch, Operand, Row
from archscope.trace_index import TraceIndex

FARTHEST = 4
"""How many times the given size is looked at."""
LEAST_RANGE = 512
"""Up to which size is looked in any case."""
LONGEST_RUN = 64
"""How many neighbouring sizes that fit are looked at for one that people use."""
USUAL = (28, 32, 64, 96, 128, 224, 256)
"""Sizes of images that people use; others are multiples of the second one as a rule."""
SUMS = ("add", "sub", "mul", "truediv", "div", "iadd", "imul", "isub")
TOLD = ("linear", "layer_norm")
PRODUCTS = ("matmul", "bmm", "mm")
FREE = SPATIAL | {"T"}
"""The axes of an input whose size a user may choose, by name."""


@dataclass(frozen=True)
class Demand:
    """Sizes that must be equal, all of them at least 1."""

    sizes: tuple[Size, ...]
    row: int

    def holds(self, found: Mapping[int, int]) -> bool:
        values = {found[id(size)] for size in self.sizes}
        return len(values) == 1 and min(values) > 0

    @cached_property
    def axes(self) -> frozenset[InputAxis]:
        return frozenset().union(*(size.axes() for size in self.sizes))


@dataclass(frozen=True)
class Axis:
    """One axis of an input: its name, what it is given, the next sizes below and above that would do.

    step: a number all multiples of which do, as far as those next to the given size show; 0: none is known. fits:
    whether it may stay.
    """

    input: str
    axis: int
    name: str
    given: int
    below: int = 0
    above: int = 0
    step: int = 0
    fits: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size to keep, or the next ones."""
        return (self.given,) if self.fits else tuple(size for size in (self.below, self.above) if size)


@dataclass(frozen=True)
class Fit:
    """Sizes of one input at which everything fits.

    axes: those that a user may choose, each by itself. whole: where they go together, as a table of positions wants
    height × width, the sizes of all of them at once.
    """

    input: str
    axes: tuple[Axis, ...]
    whole: tuple[int, ...] = ()

    @property
    def changed(self) -> tuple[Axis, ...]:
        """The axes that may not stay as they are."""
        return tuple(axis for axis in self.axes if not axis.fits)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """All sizes of the free axes at which everything fits, as they are told."""
        return (self.whole,) if self.whole else tuple(product(*(axis.sizes for axis in self.axes)))


def fitting(index: TraceIndex, mismatch: Mismatch | None = None) -> Fit | None:
    """The sizes of an input at which everything fits that can be followed; None where all does, or none is known.

    mismatch: the conflict that must be gone.
    """
    return Search(index, mismatch).fit()


class Demands:
    """Demands that are asked together at many sizes of the inputs."""

    def __init__(self, demands: Sequence[Demand]):
        self.demands = demands
        self.sizes = list({id(s): s for one in demands for size in one.sizes for s in size.ancestors()}.values())

    def hold(self, given: Mapping[InputAxis, int]) -> bool:
        """Whether all hold where the axes of inputs are those given, others as they are."""
        found = dict(zip(map(id, self.sizes), sizes_at(self.sizes, given), strict=True))
        return all(one.holds(found) for one in self.demands)


class Search:
    """The search for sizes of one net's inputs."""

    def __init__(self, index: TraceIndex, mismatch: Mismatch | None = None):
        self.index, self.mismatch, self.real = index, mismatch, AxisHistory(index).real
        self.model, self.names = SizeModel(index), AxisNames(index)
        found = [(one, Demands([one]).hold({})) for one in self._demands()]
        known = [(one, holds) for one, holds in found if not (holds and any(size.frozen for size in one.sizes))]
        self.broken = [one for one, holds in known if not holds and (one.axes or self._is_own(one))]
        self.all = Demands([one for one, _ in known if one.axes])
        self.is_made_for = any(not size.axes() or len(one.sizes) == 1 for one in self.broken for size in one.sizes)

    def _is_own(self, demand: Demand) -> bool:
        return self.mismatch is not None and demand.row == self.mismatch.row

    # -------------------------------------------------------- what must hold
    def _demands(self) -> Iterator[Demand]:
        for row in self.index.trace.rows:
            kind = row.short.removesuffix("_")
            if kind in SUMS or joined_axis(row) is not None:
                yield from self._joins(row, strict=kind not in SUMS)
            elif kind in PRODUCTS and len(row.inputs) == 2:
                yield from self._summed(row)
            elif kind in TOLD and len(row.inputs) > 1:
                yield from self._told(row)
        for mismatch in self.index.trace.mismatches:
            if mismatch.kind == "layer" and mismatch.says is None and 0 <= mismatch.row < len(self.index.trace.rows):
                yield from self._slides(self.index.trace.rows[mismatch.row])
        if self.mismatch is not None and self.mismatch.kind == "view":
            yield from self._viewed(self.mismatch)

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
            if size is not None and size.axes():
                yield Demand((size, Size(whole[-back])), row.index)

    def _slides(self, row: Row) -> Iterator[Demand]:
        """A window must fit into what it reads."""
        window, read = window_of(row), self.real(row.inputs[0]).value
        for spatial in range(window.axes if window is not None else 0):
            size = self.model.size(read, len(read.shape) - window.axes + spatial) if window is not None else None
            if size is not None and window is not None and size.axes():
                yield Demand((Size(size.now, (size,), windowed(window, spatial)),), row.index)

    def _viewed(self, mismatch: Mismatch) -> Iterator[Demand]:
        """A view of as many axes has the sizes that were written; windows divide the axes that they cut."""
        value, told = self.real(mismatch.operands[0]).value, mismatch.says.said if mismatch.says is not None else ()
        if not isinstance(told, tuple):
            return
        spatial = [axis for axis, name in enumerate(self.names.of(value)) if name in SPATIAL]
        for axis in spatial if len(told) == len(value.shape) else ():
            size = self.model.size(value, axis)
            if size is not None and size.axes() and told[axis] != -1:
                yield Demand((size, Size(told[axis])), mismatch.row)
        for factors in factors_of(told, value.shape, spatial):
            size = self.model.size(value, factors.axis) if factors.is_window else None
            if size is not None and size.axes():
                yield Demand((Size(0, (size,), divided_by(factors.divisor)),), mismatch.row)

    # -------------------------------------------------------- the search
    def fit(self) -> Fit | None:
        """The sizes of the input whose axes the broken demands depend on."""
        touched = frozenset().union(*(one.axes for one in self.broken))
        own = self.mismatch is None or any(map(self._is_own, self.broken))
        if not own or not all(one.axes for one in self.broken):
            return None
        values = {value for value, _ in touched}
        inputs = [operand for operand in self.index.trace.inputs if operand.value.id in values]
        found = (self._of_input(operand, touched) for operand in inputs)
        return next((fit for fit in found if fit is not None), None)

    def _of_input(self, operand: Operand, axes: frozenset[InputAxis]) -> Fit | None:
        """Sizes of one input, where the others stay as they are."""
        touched = {axis for axis in axes if axis[0] == operand.value.id}
        names = self.names.of(operand.value)
        free = [(operand.value.id, axis) for axis, name in enumerate(names) if name in FREE]
        if not touched <= set(free):
            return None
        together = any(len(one.axes & set(free)) > 1 for one in self.broken)
        return (None if together else self._apart(operand, free)) or self._together(operand, free)

    def _apart(self, operand: Operand, free: Sequence[InputAxis]) -> Fit | None:
        """Each axis by itself; every combination of what is told must do."""
        found = Fit(operand.source, tuple(self._axis(operand, axis) for axis in free))
        given = [dict(zip(free, shape, strict=True)) for shape in found.shapes]
        return found if given and all(map(self.all.hold, given)) else None

    def _axis(self, operand: Operand, axis: InputAxis) -> Axis:
        here = {(axis[0], other) for other in range(len(operand.value.shape))}
        own = Demands([one for one in self.all.demands if one.axes & here == {axis}])
        given, name = operand.value.shape[axis[1]], self.names.of(operand.value)[axis[1]]
        if own.hold({}):
            return Axis(operand.source, axis[1], name, given, fits=True)
        broken = Demands([one for one in self.broken if one.axes & here == {axis}])
        does: Callable[[int], bool] = lambda n: broken.hold({axis: n}) and own.hold({axis: n})  # noqa: E731
        below = next(filter(does, range(given - 1, 0, -1)), 0)
        above = next(filter(does, range(given + 1, limit(given))), 0)
        if self.is_made_for:
            below, above = (usual(size, way, does) if size else 0 for size, way in ((below, -1), (above, 1)))
            return Axis(operand.source, axis[1], name, given, below, above)
        near = [size if is_near([size], [given]) else 0 for size in (below, above)]
        return Axis(operand.source, axis[1], name, given, near[0], near[1], rule(given, does))

    def _together(self, operand: Operand, free: Sequence[InputAxis]) -> Fit | None:
        """Equal sizes on all axes, sizes in the given ratio, or one axis alone."""
        given = [operand.value.shape[axis] for _, axis in free]
        broken = Demands(self.broken)
        pairs = ((shape, dict(zip(free, shape, strict=True))) for shape in dict.fromkeys(candidates(given)))
        tried = ((shape, at) for shape, at in pairs if self.is_made_for or is_near(shape, given))
        found = [shape for shape, at in tried if broken.hold(at) and self.all.hold(at)]
        if not found:
            return None
        names = self.names.of(operand.value)
        axes = (Axis(operand.source, axis, names[axis], operand.value.shape[axis]) for _, axis in free)
        best = min(found, key=lambda shape: preference(shape, given))
        return Fit(operand.source, tuple(axes), best)


def is_near(shape: Sequence[int], given: Sequence[int]) -> bool:
    """Whether no size is less than half or more than twice the given one: of another order it would be another net."""
    return all(own <= 2 * size <= 4 * own for own, size in zip(given, shape, strict=True))


def divided_by(number: int) -> Callable[[int], int]:
    """1 for a multiple of the number, 0 for every other size."""
    return lambda size: int(size % number == 0)


def limit(given: int) -> int:
    """The first size that is not looked at."""
    return max(FARTHEST * given, LEAST_RANGE) + 1


def usual(first: int, way: int, does: Callable[[int], bool]) -> int:
    """The size to be told of the neighbouring ones from `first` on that do: one that people use, or the nearest."""
    run = list(takewhile(does, range(first, max(first + way * LONGEST_RUN, 0), way)))
    if len(run) == LONGEST_RUN:
        return first
    return next((n for n in run if n in USUAL), next((n for n in run if n % USUAL[1] == 0), first))


def rule(given: int, does: Callable[[int], bool]) -> int:
    """The least number of which the three multiples below the given size and the three above it do; 0: none is."""
    for number in range(2, given // 2 + 1):
        least = max(given // number - 2, 1) * number
        if all(map(does, range(least, least + 6 * number, number))):
            return number
    return 0


def candidates(given: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Sizes of all axes at once: those of a square or cube, those in the given ratio, one axis changed alone."""
    yield from ((n,) * len(given) for n in range(1, limit(max(given))))
    if len(set(given)) > 1:
        yield from (tuple(round(size * n / given[0]) for size in given) for n in range(1, limit(given[0])))
    for axis, size in enumerate(given if len(given) > 1 else ()):
        yield from ((*given[:axis], n, *given[axis + 1 :]) for n in range(1, limit(size)))


def preference(shape: Sequence[int], given: Sequence[int]) -> tuple[object, ...]:
    """Squares first, the usual ones among them, then the nearest."""
    square = len(set(shape)) == 1
    far = abs(prod(shape) - prod(given)) / max(prod(given), 1)
    return not square, not (square and shape[0] in USUAL), not (square and shape[0] % 32 == 0), far, tuple(shape)
