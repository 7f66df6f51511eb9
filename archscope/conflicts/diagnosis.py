"""The diagnosis of every mismatch of a run: its operands, the steps of each since the fork, and the class of its cause.

    TraceIndex → Mismatches, grouped by place ─ AxisHistory ─→ sides since the fork ─→ cause → Diagnosis

Computed from shapes, so it is the same on every device. `messages` writes the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.conflicts.axis_history import AxisChange, AxisHistory
from archscope.conflicts.axis_names import AxisLabels, AxisNames, image_labels
from archscope.conflicts.causes import ConflictFacts, classify_cause
from archscope.conflicts.concat_dims import concat_dim_before, concat_dim_beside
from archscope.conflicts.fitting_sizes import FittingSizes, find_fitting_sizes, find_possible_sizes
from archscope.conflicts.operand_relations import (
    SIDE_NAMES,
    CombinedOperands,
    operand_order,
    operand_relation,
    rounded_level,
)
from archscope.conflicts.size_constraints import NetConstraints
from archscope.conflicts.size_origins import SizeOrigin, come_from_several_inputs, find_size_origins
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS
from archscope.trace import Mismatch, Operand, Row, Shape
from archscope.trace_index import TraceIndex

OPERAND_ROLES = {
    "product": ("left", "right"),
    "attention": ("query", "key", "value", "mask"),
}
"""The names of the operands of a product."""


def diagnose_conflicts(index: TraceIndex) -> list[Diagnosis]:
    """Return a Diagnosis of each mismatch in the order of the run; equal ones at the same place of the text as one."""
    found, constraints = index.trace.mismatches, NetConstraints(AxisHistory(index))
    alike: dict[object, list[int]] = {}
    for number, mismatch in enumerate(found):
        place = mismatch.site.place
        alike.setdefault((mismatch.kind, mismatch.axes, place) if place else number, []).append(number)
    return [diagnose_conflict([found[n] for n in same], constraints, found[: same[0]]) for same in alike.values()]


@dataclass(frozen=True)
class Diagnosis:
    """A mismatch with its original operands, their names, and the steps of each since the fork.

    constraints: what must fit in the net, for all its conflicts. axis_names: the axis names of the widest operand.
    relation: the relation of the operands: `residual`, `table`, `pyramid`, `positions`, `inputs` or "". intended_dim:
    the dimension along which the values before a layer, or those of a concat, should have been joined; None if unknown.
    rounded: for a pyramid or a concat, the window before both sides that gives their common value another size than its
    stride alone. inputs_apart: if the sizes on every disagreeing axis come from several inputs, each axis with the
    origins of its sizes. tested_fits: input sizes that a run has shown to fit.
    """

    mismatch: Mismatch
    index: TraceIndex
    operands: tuple[Operand, ...]
    names: tuple[str, ...]
    sides: tuple[tuple[AxisChange, ...], ...]
    cause: str
    relation: str
    likely: bool
    constraints: NetConstraints
    axis_names: AxisLabels = ()
    intended_dim: int | None = None
    rounded: AxisChange | None = None
    inputs_apart: tuple[tuple[int, tuple[SizeOrigin, ...]], ...] = ()
    also: tuple[str, ...] = ()
    tested_fits: tuple[FittingSizes, ...] = ()

    @property
    def all_axis_names(self) -> AxisNames:
        """The axis names of every value of the run."""
        return self.constraints.names

    @property
    def known_names(self) -> AxisLabels:
        """The axis names that steps before the conflict gave; empty if only the layer in conflict names them."""
        return self.axis_names if any(self.sides) else ()

    @property
    def is_residual(self) -> bool:
        return self.relation == "residual"

    @cached_property
    def no_op_views(self) -> tuple[Row, ...]:
        """For operands of different ranks, earlier views that kept the shape, such as `flatten(3)` of maps."""
        if len(set(map(len, self.shapes))) < 2:
            return ()
        rows = {row for operand in self.operands for row in self.index.ancestors(operand).values() if row >= 0}
        views = (self.index.trace.rows[row] for row in sorted(rows))
        return tuple(
            row
            for row in views
            if row.short_name in RESHAPE_FUNCTIONS and row.inputs[0].value.shape == row.outputs[0].shape
        )

    @cached_property
    def fits(self) -> Sequence[FittingSizes]:
        """For each input alone the sizes at which the operands would fit; empty if unknown."""
        return () if self.likely else self.tested_fits or find_fitting_sizes(self.constraints, self.mismatch)

    @property
    def fit(self) -> FittingSizes | None:
        """The first of `fits`."""
        return next(iter(self.fits), None)

    @cached_property
    def possible_fits(self) -> Sequence[FittingSizes]:
        """If `fits` is empty, sizes that are worth a run."""
        return () if self.likely or self.fits else find_possible_sizes(self.constraints, self.mismatch)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(operand.value.shape for operand in self.operands)


def diagnose_conflict(same: Sequence[Mismatch], constraints: NetConstraints, earlier: Sequence[Mismatch]) -> Diagnosis:
    """Return the Diagnosis of the first of several mismatches at one place; `also` has the paths of the others."""
    mismatch, history = same[0], constraints.history
    alone = mismatch.kind in ("layer", "view")
    given = mismatch.operands[:1] if alone else mismatch.operands
    given = given[-2:] if mismatch.kind == "product" else given  # without the bias of addmm
    operands = tuple(map(history.original_operand, given)) if mismatch.site.conflict is not None else given
    apart = () if alone else find_inputs_apart(mismatch, operands, history.index)
    fork = None if alone or apart else history.fork(operands)
    since = -1 if fork is None else fork
    axes = mismatch.axes or range(max(len(operand.value.shape) for operand in operands))
    operand_axes = [(operand, own_axes(operand, axes, mismatch)) for operand in operands]
    sides = tuple(tuple(history.changes(operand, own, since=since)) for operand, own in operand_axes)
    broken_rows = {before.row: before for before in earlier}
    combined = CombinedOperands(mismatch, operands, sides, fork, history, bool(apart))
    relation = operand_relation(combined)
    order = operand_order(relation, combined)
    operands, sides = tuple(operands[place] for place in order), tuple(sides[place] for place in order)
    names = widest_axis_names(operands, history)
    beside = concat_dim_beside(mismatch, history, names, apart=bool(apart))
    joined = concat_dim_before(mismatch, history.index) if mismatch.kind == "layer" else beside
    rounded = rounded_level(combined, axes) if relation == "pyramid" or mismatch.kind == "concat" else None
    elsewhere = (other.site.path for other in same[1:])
    shapes = [operand.value.shape for operand in operands]
    return Diagnosis(
        mismatch=mismatch,
        index=history.index,
        operands=operands,
        names=operand_names(mismatch, operands, relation),
        sides=sides,
        cause=classify_cause(ConflictFacts(mismatch, shapes, sides, names, relation, joined)),
        relation=relation,
        constraints=constraints,
        likely=any(history.follows_conflict(operand, own, broken_rows, since=since) for operand, own in operand_axes)
        or is_broken_size(mismatch, history.index, earlier),
        axis_names=names,
        intended_dim=joined,
        rounded=rounded,
        inputs_apart=apart,
        also=tuple(dict.fromkeys(path for path in elsewhere if path not in ("", mismatch.site.path))),
    )


def find_inputs_apart(
    mismatch: Mismatch, operands: Sequence[Operand], index: TraceIndex
) -> tuple[tuple[int, tuple[SizeOrigin, ...]], ...]:
    """Return the disagreeing axes with the origins of each operand's size, if these are several inputs; else ()."""
    found = []
    for axis in mismatch.axes if mismatch.kind in ("add", "multiply", "concat") else ():
        own = [(op, at) for op in operands for at in own_axes(op, [axis], mismatch)]
        origins = find_size_origins(index, own)
        if len(origins) < len(operands) or not come_from_several_inputs(origins):
            return ()
        found.append((axis, tuple(origins)))
    return tuple(found)


def widest_axis_names(operands: Sequence[Operand], history: AxisHistory) -> AxisLabels:
    """Return the axis names of the widest operand, with missing ones from other operands, aligned at the right.

    Unnamed values of rank 4 are assumed to be images.
    """
    rank = max(len(operand.value.shape) for operand in operands)
    known = [history.axis_names.of(operand.value) for operand in operands]
    padded = [("",) * (rank - len(names)) + names for names in known]
    found = tuple(next(filter(None, names), "") for names in zip(*padded, strict=True))
    return image_labels(2, rank) if rank == 4 and not any(found) else found


def is_broken_size(mismatch: Mismatch, index: TraceIndex, earlier: Sequence[Mismatch]) -> bool:
    """Return whether a view states a size that an earlier conflict on its path was about."""
    sizes = mismatch.wrong_argument.given if mismatch.kind == "view" and mismatch.wrong_argument is not None else ()
    if not isinstance(sizes, tuple) or not earlier:
        return False
    rows = set(index.ancestors(mismatch.operands[0]).values())
    broken = (other for other in earlier if other.row in rows and other.kind != "view")
    shapes = ((operand.value.shape, other.axes) for other in broken for operand in other.operands)
    return any(shape[axis] in sizes for shape, axes in shapes for axis in axes if axis < len(shape))


def own_axes(operand: Operand, axes: Sequence[int], mismatch: Mismatch) -> list[int]:
    """Return the disagreeing axes, counted in this operand's own shape (shapes are aligned at the right)."""
    rank = len(operand.value.shape)
    first = mismatch.operands[-2 if mismatch.kind == "product" and len(mismatch.operands) > 1 else 0]
    if mismatch.kind == "product" and tuple(axes) == (len(first.value.shape) - 1,):  # the sizes that are summed over
        return [rank - 1 if operand is first else max(rank - 2, 0)] if rank else []
    if mismatch.kind == "attention" and operand is not first and mismatch.axes:
        return [axis for axis in axes if axis < rank]
    widest = max(len(other.value.shape) for other in mismatch.operands)
    shift = 0 if mismatch.kind in ("layer", "view") else rank - widest
    return [axis + shift for axis in axes if 0 <= axis + shift < rank]


def operand_names(mismatch: Mismatch, operands: Sequence[Operand], relation: str) -> tuple[str, ...]:
    if relation in SIDE_NAMES:
        return SIDE_NAMES[relation]
    if mismatch.kind in ("layer", "view"):
        return (
            "state" if mismatch.wrong_argument is not None and mismatch.wrong_argument.argument == "hx" else "input",
        )
    if mismatch.kind in OPERAND_ROLES:
        known = OPERAND_ROLES[mismatch.kind]
        return (*known, *(f"value {n + 1}" for n in range(len(known), len(operands))))[: len(operands)]
    beside = mismatch.site.path.rpartition(".")[0] + "."
    names = (operand.source.removeprefix(beside) for operand in operands)
    return tuple(name if name.isidentifier() else f"value {number}" for number, name in enumerate(names, start=1))
