"""What is behind every mismatch of a run: its operands, the steps of each since the fork, the class of its cause.

    TraceIndex → Mismatches, those at one place together ─ AxisHistory ─→ sides since the fork ─→ cause → Diagnosis

Computed from shapes, so it is the same on every device. `render.conflicts` has the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.checks.conflicts.axis_history import AxisHistory, Change
from archscope.checks.conflicts.axis_names import AxisNames, Names, of_images
from archscope.checks.conflicts.causes import ConflictFacts, cause_of
from archscope.checks.conflicts.demands import NetDemands
from archscope.checks.conflicts.input_sizes import Fit, all_fitting, perhaps_fitting
from archscope.checks.conflicts.joins import joined_before, joined_beside
from archscope.checks.conflicts.relations import NAMES, Meeting, order_of, relation_of, rounded_level
from archscope.checks.conflicts.size_origins import SizeOrigin, come_from_several_inputs, origins_of
from archscope.spec.tensor_calls import VIEWS
from archscope.trace import Mismatch, Operand, Row, Shape
from archscope.trace_index import TraceIndex

OPERANDS = {
    "product": ("left", "right"),
    "attention": ("query", "key", "value", "mask"),
}
"""What the operands of a product are called."""


def diagnoses(index: TraceIndex) -> list[Diagnosis]:
    """What is behind each mismatch, in the order of the run; the same one at the same place of the text once."""
    found, demands = index.trace.mismatches, NetDemands(AxisHistory(index))
    alike: dict[object, list[int]] = {}
    for number, one in enumerate(found):
        place = one.site.place
        alike.setdefault((one.kind, one.axes, place) if place else number, []).append(number)
    return [diagnosed([found[n] for n in same], demands, found[: same[0]]) for same in alike.values()]


@dataclass(frozen=True)
class Diagnosis:
    """A mismatch with its operands as they really are, what they are called, and the steps of each since the fork.

    demands: what must fit in the net, for all its conflicts. axis_names: of those of the widest operand. relation: what
    operands are to each other: `residual`, `table`, `pyramid`, `positions`, `inputs` or "". joined: the dimension along
    which the values before a layer, or those of a concat, were to be joined; None where nothing shows that. rounded: of
    a pyramid or a concat, the window before both sides that gives what they share another size than its stride alone.
    inputs_apart: where the sizes on every disagreeing axis follow inputs, and not all the same one, the axis with those
    of each operand. tried: sizes of inputs that a run has shown to fit.
    """

    mismatch: Mismatch
    index: TraceIndex
    operands: tuple[Operand, ...]
    names: tuple[str, ...]
    sides: tuple[tuple[Change, ...], ...]
    cause: str
    relation: str
    likely: bool
    demands: NetDemands
    axis_names: Names = ()
    joined: int | None = None
    rounded: Change | None = None
    inputs_apart: tuple[tuple[int, tuple[SizeOrigin, ...]], ...] = ()
    also: tuple[str, ...] = ()
    tried: tuple[Fit, ...] = ()

    @property
    def naming(self) -> AxisNames:
        """The names of the axes of every value of the run."""
        return self.demands.names

    @property
    def known_names(self) -> Names:
        """The names of the axes where steps before the conflict gave them; none where it is the layer in conflict that
        names what it reads."""
        return self.axis_names if any(self.sides) else ()

    @property
    def residual(self) -> bool:
        return self.relation == "residual"

    @cached_property
    def idle_views(self) -> tuple[Row, ...]:
        """Of operands of several ranks, the views on their way that left the shape as it was: `flatten(3)` of maps."""
        if len(set(map(len, self.shapes))) < 2:
            return ()
        rows = {row for operand in self.operands for row in self.index.ancestors(operand).values() if row >= 0}
        views = (self.index.trace.rows[row] for row in sorted(rows))
        return tuple(row for row in views if row.short in VIEWS and row.inputs[0].value.shape == row.outputs[0].shape)

    @cached_property
    def fits(self) -> Sequence[Fit]:
        """Of each input by itself the sizes at which the operands would fit; none where that is not known."""
        return () if self.likely else self.tried or all_fitting(self.demands, self.mismatch)

    @property
    def fit(self) -> Fit | None:
        """The first of these."""
        return next(iter(self.fits), None)

    @cached_property
    def perhaps(self) -> Sequence[Fit]:
        """Where nothing is known, sizes that are worth a run."""
        return () if self.likely or self.fits else perhaps_fitting(self.demands, self.mismatch)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(operand.value.shape for operand in self.operands)


def diagnosed(same: Sequence[Mismatch], demands: NetDemands, earlier: Sequence[Mismatch]) -> Diagnosis:
    """The first of several mismatches at one place; other paths stand beside it."""
    mismatch, history = same[0], demands.history
    alone = mismatch.kind in ("layer", "view")
    given = mismatch.operands[:1] if alone else mismatch.operands
    given = given[-2:] if mismatch.kind == "product" else given  # the bias of addmm is none of the two
    operands = tuple(map(history.real, given)) if mismatch.site.conflict is not None else given
    apart = () if alone else inputs_apart(mismatch, operands, history.index)
    fork = None if alone or apart else history.fork(operands)
    since = -1 if fork is None else fork
    axes = mismatch.axes or range(max(len(operand.value.shape) for operand in operands))
    asked = [(operand, own_axes(operand, axes, mismatch)) for operand in operands]
    sides = tuple(tuple(history.changes(operand, own, since=since)) for operand, own in asked)
    mended = {before.row: before for before in earlier}
    met = Meeting(mismatch, operands, sides, fork, history, bool(apart))
    relation = relation_of(met)
    order = order_of(relation, met)
    operands, sides = tuple(operands[one] for one in order), tuple(sides[one] for one in order)
    names = axis_names(operands, history)
    beside = joined_beside(mismatch, history, names, apart=bool(apart))
    joined = joined_before(mismatch, history.index) if mismatch.kind == "layer" else beside
    rounded = rounded_level(met, axes) if relation == "pyramid" or mismatch.kind == "concat" else None
    elsewhere = (other.site.path for other in same[1:])
    shapes = [operand.value.shape for operand in operands]
    return Diagnosis(
        mismatch=mismatch,
        index=history.index,
        operands=operands,
        names=names_of(mismatch, operands, relation),
        sides=sides,
        cause=cause_of(ConflictFacts(mismatch, shapes, sides, names, relation, joined)),
        relation=relation,
        demands=demands,
        likely=any(history.follows(operand, own, mended, since=since) for operand, own in asked)
        or names_a_broken_size(mismatch, history.index, earlier),
        axis_names=names,
        joined=joined,
        rounded=rounded,
        inputs_apart=apart,
        also=tuple(dict.fromkeys(path for path in elsewhere if path not in ("", mismatch.site.path))),
    )


def inputs_apart(
    mismatch: Mismatch, operands: Sequence[Operand], index: TraceIndex
) -> tuple[tuple[int, tuple[SizeOrigin, ...]], ...]:
    """The disagreeing axes with where the sizes of each operand come from, where these are several inputs."""
    found = []
    for axis in mismatch.axes if mismatch.kind in ("add", "multiply", "concat") else ():
        own = [(op, at) for op in operands for at in own_axes(op, [axis], mismatch)]
        origins = origins_of(index, own)
        if len(origins) < len(operands) or not come_from_several_inputs(origins):
            return ()
        found.append((axis, tuple(origins)))
    return tuple(found)


def axis_names(operands: Sequence[Operand], history: AxisHistory) -> Names:
    """The names of the axes of the widest operand; where it has none, those that another one has, from the right.

    Values with four axes that no layer has named are taken for images.
    """
    rank = max(len(operand.value.shape) for operand in operands)
    known = [history.axis_names.of(operand.value) for operand in operands]
    padded = [("",) * (rank - len(names)) + names for names in known]
    found = tuple(next(filter(None, names), "") for names in zip(*padded, strict=True))
    return of_images(2, rank) if rank == 4 and not any(found) else found


def names_a_broken_size(mismatch: Mismatch, index: TraceIndex, earlier: Sequence[Mismatch]) -> bool:
    """Whether a view was told a size that an earlier conflict on its way was about."""
    said = mismatch.says.said if mismatch.kind == "view" and mismatch.says is not None else ()
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


def names_of(mismatch: Mismatch, operands: Sequence[Operand], relation: str) -> tuple[str, ...]:
    if relation in NAMES:
        return NAMES[relation]
    if mismatch.kind in ("layer", "view"):
        return ("state" if mismatch.says is not None and mismatch.says.argument == "hx" else "input",)
    if mismatch.kind in OPERANDS:
        known = OPERANDS[mismatch.kind]
        return (*known, *(f"value {n + 1}" for n in range(len(known), len(operands))))[: len(operands)]
    beside = mismatch.site.path.rpartition(".")[0] + "."
    names = (operand.source.removeprefix(beside) for operand in operands)
    return tuple(name if name.isidentifier() else f"value {number}" for number, name in enumerate(names, start=1))
