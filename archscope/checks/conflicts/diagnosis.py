"""What is behind every mismatch of a run: its operands, the steps of each since the fork, the class of its cause.

    TraceIndex → Mismatches, those at one place together ─ AxisHistory ─→ sides since the fork ─→ cause → Diagnosis

Computed from shapes, so it is the same on every device. `render.conflicts` has the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.checks.conflicts.axis_history import AxisChange, AxisHistory
from archscope.checks.conflicts.axis_names import AxisLabels, AxisNames, image_labels
from archscope.checks.conflicts.causes import ConflictFacts, classify_cause
from archscope.checks.conflicts.concat_dims import concat_dim_before, concat_dim_beside
from archscope.checks.conflicts.fitting_sizes import FittingSizes, find_fitting_sizes, find_possible_sizes
from archscope.checks.conflicts.operand_relations import (
    SIDE_NAMES,
    CombinedOperands,
    operand_order,
    operand_relation,
    rounded_level,
)
from archscope.checks.conflicts.size_constraints import NetConstraints
from archscope.checks.conflicts.size_origins import SizeOrigin, come_from_several_inputs, find_size_origins
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS
from archscope.trace import Mismatch, Operand, Row, Shape
from archscope.trace_index import TraceIndex

OPERAND_ROLES = {
    "product": ("left", "right"),
    "attention": ("query", "key", "value", "mask"),
}
"""What the operands of a product are called."""


def diagnose_conflicts(index: TraceIndex) -> list[Diagnosis]:
    """What is behind each mismatch, in the order of the run; the same one at the same place of the text once."""
    found, demands = index.trace.mismatches, NetConstraints(AxisHistory(index))
    alike: dict[object, list[int]] = {}
    for number, one in enumerate(found):
        place = one.site.place
        alike.setdefault((one.kind, one.axes, place) if place else number, []).append(number)
    return [diagnose_conflict([found[n] for n in same], demands, found[: same[0]]) for same in alike.values()]


@dataclass(frozen=True)
class Diagnosis:
    """A mismatch with its operands as they really are, what they are called, and the steps of each since the fork.

    constraints: what must fit in the net, for all its conflicts. axis_names: of those of the widest operand. relation:
    what operands are to each other: `residual`, `table`, `pyramid`, `positions`, `inputs` or "". intended_dim: the
    dimension along which the values before a layer, or those of a concat, were to be joined; None where nothing shows
    that. rounded: of a pyramid or a concat, the window before both sides that gives what they share another size than
    its stride alone. inputs_apart: where the sizes on every disagreeing axis follow inputs, and not all the same one,
    the axis with those of each operand. tested_fits: sizes of inputs that a run has shown to fit.
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
        """The names of the axes of every value of the run."""
        return self.constraints.names

    @property
    def known_names(self) -> AxisLabels:
        """The names of the axes where steps before the conflict gave them; none where it is the layer in conflict that
        names what it reads."""
        return self.axis_names if any(self.sides) else ()

    @property
    def is_residual(self) -> bool:
        return self.relation == "residual"

    @cached_property
    def no_op_views(self) -> tuple[Row, ...]:
        """Of operands of several ranks, the views on their way that left the shape as it was: `flatten(3)` of maps."""
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
        """Of each input by itself the sizes at which the operands would fit; none where that is not known."""
        return () if self.likely else self.tested_fits or find_fitting_sizes(self.constraints, self.mismatch)

    @property
    def fit(self) -> FittingSizes | None:
        """The first of these."""
        return next(iter(self.fits), None)

    @cached_property
    def possible_fits(self) -> Sequence[FittingSizes]:
        """Where nothing is known, sizes that are worth a run."""
        return () if self.likely or self.fits else find_possible_sizes(self.constraints, self.mismatch)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(operand.value.shape for operand in self.operands)


def diagnose_conflict(same: Sequence[Mismatch], demands: NetConstraints, earlier: Sequence[Mismatch]) -> Diagnosis:
    """The first of several mismatches at one place; other paths stand beside it."""
    mismatch, history = same[0], demands.history
    alone = mismatch.kind in ("layer", "view")
    given = mismatch.operands[:1] if alone else mismatch.operands
    given = given[-2:] if mismatch.kind == "product" else given  # the bias of addmm is none of the two
    operands = tuple(map(history.original_operand, given)) if mismatch.site.conflict is not None else given
    apart = () if alone else find_inputs_apart(mismatch, operands, history.index)
    fork = None if alone or apart else history.fork(operands)
    since = -1 if fork is None else fork
    axes = mismatch.axes or range(max(len(operand.value.shape) for operand in operands))
    asked = [(operand, own_axes(operand, axes, mismatch)) for operand in operands]
    sides = tuple(tuple(history.changes(operand, own, since=since)) for operand, own in asked)
    mended = {before.row: before for before in earlier}
    met = CombinedOperands(mismatch, operands, sides, fork, history, bool(apart))
    relation = operand_relation(met)
    order = operand_order(relation, met)
    operands, sides = tuple(operands[one] for one in order), tuple(sides[one] for one in order)
    names = widest_axis_names(operands, history)
    beside = concat_dim_beside(mismatch, history, names, apart=bool(apart))
    joined = concat_dim_before(mismatch, history.index) if mismatch.kind == "layer" else beside
    rounded = rounded_level(met, axes) if relation == "pyramid" or mismatch.kind == "concat" else None
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
        constraints=demands,
        likely=any(history.follows_conflict(operand, own, mended, since=since) for operand, own in asked)
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
    """The disagreeing axes with where the sizes of each operand come from, where these are several inputs."""
    found = []
    for axis in mismatch.axes if mismatch.kind in ("add", "multiply", "concat") else ():
        own = [(op, at) for op in operands for at in own_axes(op, [axis], mismatch)]
        origins = find_size_origins(index, own)
        if len(origins) < len(operands) or not come_from_several_inputs(origins):
            return ()
        found.append((axis, tuple(origins)))
    return tuple(found)


def widest_axis_names(operands: Sequence[Operand], history: AxisHistory) -> AxisLabels:
    """The names of the axes of the widest operand; where it has none, those that another one has, from the right.

    Values with four axes that no layer has named are taken for images.
    """
    rank = max(len(operand.value.shape) for operand in operands)
    known = [history.axis_names.of(operand.value) for operand in operands]
    padded = [("",) * (rank - len(names)) + names for names in known]
    found = tuple(next(filter(None, names), "") for names in zip(*padded, strict=True))
    return image_labels(2, rank) if rank == 4 and not any(found) else found


def is_broken_size(mismatch: Mismatch, index: TraceIndex, earlier: Sequence[Mismatch]) -> bool:
    """Whether a view was told a size that an earlier conflict on its way was about."""
    said = mismatch.wrong_argument.given if mismatch.kind == "view" and mismatch.wrong_argument is not None else ()
    if not isinstance(said, tuple) or not earlier:
        return False
    rows = set(index.ancestors(mismatch.operands[0]).values())
    broken = (other for other in earlier if other.row in rows and other.kind != "view")
    shapes = ((operand.value.shape, other.axes) for other in broken for operand in other.operands)
    return any(shape[axis] in said for shape, axes in shapes for axis in axes if axis < len(shape))


def own_axes(operand: Operand, axes: Sequence[int], mismatch: Mismatch) -> list[int]:
    """The disagreeing axes, counted in this operand's own shape (they are aligned at the right)."""
    rank = len(operand.value.shape)
    first = mismatch.operands[-2 if mismatch.kind == "product" and len(mismatch.operands) > 1 else 0]
    if mismatch.kind in ("product", "attention") and operand is not first and mismatch.axes:
        return [rank - 2] if mismatch.kind == "product" and rank > 1 else [axis for axis in axes if axis < rank]
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
