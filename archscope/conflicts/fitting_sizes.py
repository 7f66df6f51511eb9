"""The search for fitting input sizes: the constraints of a net → the nearest sizes at which all hold.

    NetConstraints, a conflict → find_fitting_sizes → FittingSizes: for each axis the next sizes below and above, or
    the sizes of all axes together

If no layer, table or window fixes a size, only sizes from half to twice the given one are considered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product, takewhile
from math import prod

from archscope.conflicts.axis_names import SPATIAL_LETTERS
from archscope.conflicts.size_constraints import ConstraintSet, NetConstraints, SizeConstraint
from archscope.conflicts.size_model import InputAxis
from archscope.trace import Mismatch, Operand, SizeCondition

MAX_SIZE_FACTOR = 4
"""The search goes up to this multiple of the given size."""
MIN_SEARCH_RANGE = 512
"""The search always goes up to this size."""
MAX_EVALUATED_SIZES = 200_000
"""The number of sizes inside the net that are computed in one search."""
MAX_NEIGHBOURS = 64
"""The number of neighbouring fitting sizes among which a common one is preferred."""
MAX_MULTIPLE_OF = 1024
"""The largest number of which all multiples are tried."""
COMMON_IMAGE_SIZES = (28, 32, 64, 96, 128, 224, 256)
"""Common sizes of images."""
COMMON_FACTOR = 32
"""Other image sizes are usually multiples of this."""
FREE_AXIS_NAMES = SPATIAL_LETTERS | {"T"}
"""Names of input axes whose size a user may choose."""


@dataclass(frozen=True)
class FittingAxis:
    """One axis of an input: its name, its given size, and the next fitting sizes below and above.

    step: a number whose multiples all fit, judged by those next to the given size; 0 if none is known. fits: the given
    size fits.
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
class FittingSizes:
    """Sizes of one input at which everything fits.

    axes: those that a user may choose, each independently. whole: the sizes of all axes if they depend on each other,
    as height × width for a table of positions. is_one_of_several: True if the net has other inputs.
    """

    input: str
    axes: tuple[FittingAxis, ...]
    whole: tuple[int, ...] = ()
    is_one_of_several: bool = False

    @property
    def changed(self) -> tuple[FittingAxis, ...]:
        """The axes whose given size does not fit."""
        return tuple(axis for axis in self.axes if not axis.fits)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """All combinations of sizes of the free axes at which everything fits."""
        return (self.whole,) if self.whole else tuple(product(*(axis.sizes for axis in self.axes)))


def find_fitting_sizes(net: NetConstraints, mismatch: Mismatch) -> list[FittingSizes]:
    """Return for each input alone the sizes at which everything traceable fits; [] if none is known.

    mismatch: the conflict that must be gone.
    """
    return list(InputSizeSearch(net, net.of(mismatch), extra=net.extra_constraints(mismatch)).fits())


def find_possible_sizes(net: NetConstraints, mismatch: Mismatch) -> list[FittingSizes]:
    """Return the same under assumptions that a run must confirm: numbers in the author's code are constants, and those
    of a view are the sizes of another value."""
    extra = [*net.extra_constraints(mismatch), *(net.from_other_map(mismatch) if mismatch.kind == "view" else ())]
    return list(InputSizeSearch(net, net.of(mismatch), extra=extra, guesses=True).fits())


def find_requested_sizes(net: NetConstraints, conditions: Sequence[SizeCondition]) -> list[FittingSizes]:
    """Return input sizes at which conditions in the author's code hold; a run must confirm them."""
    own = [net.from_condition(condition) for condition in conditions]
    known = [constraint for constraint in own if constraint is not None]
    return list(InputSizeSearch(net, [], extra=known, guesses=True).fits()) if len(known) == len(own) > 0 else []


class InputSizeSearch:
    """The search for sizes of an input at which one conflict, and all others, are gone."""

    def __init__(
        self,
        net: NetConstraints,
        own: Sequence[SizeConstraint],
        *,
        extra: Sequence[SizeConstraint] = (),
        guesses: bool = False,
    ):
        """own: the broken constraints of the conflict. extra: further constraints of it, some of which may hold."""
        self.index, self.names, self.guesses = net.index, net.names, guesses
        unmet = [
            constraint
            for constraint, holds in zip(extra, ConstraintSet(extra).evaluate_each({}), strict=True)
            if not holds
        ]
        self.own = [*own, *unmet]
        self.broken = [
            *self.own,
            *(constraint for constraint in net.broken if constraint not in own and constraint.axes),
        ]
        self.all_constraints = ConstraintSet([*net.traceable, *extra])
        self.has_fixed_size = any(constraint.has_fixed_size for constraint in self.broken)
        self.is_window = all(len(constraint.sizes) == 1 for constraint in self.own)

    # -------------------------------------------------------- the search
    def fits(self) -> Iterator[FittingSizes]:
        """Yield the sizes of each input whose axes the broken constraints depend on, with the others unchanged."""
        touched = frozenset().union(*(constraint.axes for constraint in self.broken))
        frozen = any(size.frozen for constraint in self.own for size in constraint.sizes)
        if not self.own or not all(constraint.axes for constraint in self.own) or (frozen and not self.guesses):
            return
        values = {value for value, _ in touched}
        inputs = [operand for operand in self.index.trace.inputs if operand.value.id in values]
        found = (self._search_input(operand, touched) for operand in inputs)
        several = len(self.index.trace.inputs) > 1
        yield from (replace(fit, is_one_of_several=several) for fit in found if fit is not None)

    def _search_input(self, operand: Operand, axes: frozenset[InputAxis]) -> FittingSizes | None:
        """Return sizes of one input, with the others unchanged."""
        touched = {axis for axis in axes if axis[0] == operand.value.id}
        names = self.names.of(operand.value)
        free = [(operand.value.id, axis) for axis, name in enumerate(names) if name in FREE_AXIS_NAMES]
        if not touched <= set(free):
            return None
        together = any(len(constraint.axes & set(free)) > 1 for constraint in self.broken)
        return (None if together else self._search_axes_apart(operand, free)) or self._search_axes_together(
            operand, free
        )

    def _search_axes_apart(self, operand: Operand, free: Sequence[InputAxis]) -> FittingSizes | None:
        """Return sizes for each axis independently; every combination of them must fit."""
        found = FittingSizes(operand.source, tuple(self._search_axis(operand, axis) for axis in free))
        given = [dict(zip(free, shape, strict=True)) for shape in found.shapes]
        return found if given and all(map(self.all_constraints.all_hold, given)) else None

    def _search_axis(self, operand: Operand, axis: InputAxis) -> FittingAxis:
        own_axes = {(axis[0], other) for other in range(len(operand.value.shape))}
        own = ConstraintSet(
            [constraint for constraint in self.all_constraints.constraints if constraint.axes & own_axes == {axis}]
        )
        given, name = operand.value.shape[axis[1]], self.names.of(operand.value)[axis[1]]
        if own.all_hold({}):
            return FittingAxis(operand.source, axis[1], name, given, fits=True)
        broken = ConstraintSet([constraint for constraint in self.broken if constraint.axes & own_axes == {axis}])
        is_fit: Callable[[int], bool] = lambda n: broken.all_hold({axis: n}) and own.all_hold({axis: n})  # noqa: E731
        least, most = (1, search_limit(given)) if self.has_fixed_size else (-(-given // 2), 2 * given + 1)
        number = max(MAX_EVALUATED_SIZES // max(len(own.sizes), 1), 1)
        below = next(filter(is_fit, range(given - 1, max(least, given - number) - 1, -1)), 0)
        above = next(filter(is_fit, range(given + 1, min(most, given + number))), 0)
        if self.is_window:
            return FittingAxis(operand.source, axis[1], name, given, below, above)
        others = self.sizes_of_other_inputs(operand)
        if self.has_fixed_size or others:
            near = ((below, -1), (above, 1))
            below, above = (
                pick_usual_size(size, way, is_fit, others or COMMON_IMAGE_SIZES) if size else 0 for size, way in near
            )
            return FittingAxis(operand.source, axis[1], name, given, below, above)
        return FittingAxis(operand.source, axis[1], name, given, below, above, find_common_divisor(given, is_fit))

    def sizes_of_other_inputs(self, operand: Operand) -> frozenset[int]:
        """Return the sizes of the other inputs that the conflict involves."""
        axes = frozenset().union(*(constraint.axes for constraint in self.own))
        inputs = {other.value.id: other.value.shape for other in self.index.trace.inputs}
        return frozenset(inputs[value][at] for value, at in axes if value in inputs and value != operand.value.id)

    def _search_axes_together(self, operand: Operand, free: Sequence[InputAxis]) -> FittingSizes | None:
        """Return equal sizes on all axes, sizes in the given ratio, or a change of one axis."""
        given = [operand.value.shape[axis] for _, axis in free]
        broken = ConstraintSet(self.broken)
        number = max(MAX_EVALUATED_SIZES // max(len(broken.sizes), 1), 1)
        shapes = dict.fromkeys(islice(candidate_shapes(given), number))
        pairs = ((shape, dict(zip(free, shape, strict=True))) for shape in shapes)
        tried = ((shape, at) for shape, at in pairs if self.has_fixed_size or is_near_shape(shape, given))
        found = [shape for shape, at in tried if broken.all_hold(at) and self.all_constraints.all_hold(at)]
        if not found:
            return None
        names = self.names.of(operand.value)
        axes = (FittingAxis(operand.source, axis, names[axis], operand.value.shape[axis]) for _, axis in free)
        best = min(found, key=lambda shape: shape_preference(shape, given))
        return FittingSizes(operand.source, tuple(axes), best)


def is_near_shape(shape: Sequence[int], given: Sequence[int]) -> bool:
    """Return whether every size is between half and twice the given one."""
    return all(own <= 2 * size <= 4 * own for own, size in zip(given, shape, strict=True))


def search_limit(given: int) -> int:
    """Return the first size that is not tried."""
    return max(MAX_SIZE_FACTOR * given, MIN_SEARCH_RANGE) + 1


def pick_usual_size(first: int, way: int, is_fit: Callable[[int], bool], known: Collection[int]) -> int:
    """Return, from the run of fitting sizes that starts with `first`, a known one, else a common one, else the
    nearest."""
    run = list(takewhile(is_fit, range(first, max(first + way * MAX_NEIGHBOURS, 0), way)))
    if len(run) == MAX_NEIGHBOURS:
        return first
    return next((n for n in run if n in known), next((n for n in run if n % COMMON_FACTOR == 0), first))


def find_common_divisor(given: int, is_fit: Callable[[int], bool]) -> int:
    """Return the least number of which the three multiples below and above the given size fit; 0 if there is none."""
    for number in range(2, min(given // 2, MAX_MULTIPLE_OF) + 1):
        least = max(given // number - 2, 1) * number
        if all(map(is_fit, range(least, least + 6 * number, number))):
            return number
    return 0


def candidate_shapes(given: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield sizes of all axes: squares or cubes, the given ratio, changes of one axis."""
    yield from ((n,) * len(given) for n in range(1, search_limit(max(given))))
    if len(set(given)) > 1:
        yield from (tuple(round(size * n / given[0]) for size in given) for n in range(1, search_limit(given[0])))
    for axis, size in enumerate(given if len(given) > 1 else ()):
        yield from ((*given[:axis], n, *given[axis + 1 :]) for n in range(1, search_limit(size)))


def shape_preference(shape: Sequence[int], given: Sequence[int]) -> tuple[object, ...]:
    """Return a sort key: squares first, common ones before others, then the nearest."""
    square = len(set(shape)) == 1
    far = abs(prod(shape) - prod(given)) / max(prod(given), 1)
    return (
        not square,
        not (square and shape[0] in COMMON_IMAGE_SIZES),
        not (square and shape[0] % COMMON_FACTOR == 0),
        far,
        tuple(shape),
    )
