"""Whether an edit cures a conflict and harms nothing: the net before and after, step by step → EditVerdict.

    CompiledNet before, after ─ compare ─→ StepChanges ─ where do they lie? ─→ reasons against it, what else it changes

A fix keeps every input, parameter and output in use, joins no value with itself, meets what the file expects, and
changes nothing that does not lie behind the step that it edits. A block that several places use is edited only where
each of its uses is in conflict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.step_changes import (
    BlockComparer,
    LineMap,
    SourceLine,
    StepChange,
    inputs_used,
    self_joins,
    ways_to_use,
)
from archscope.errors import Problem, Span
from archscope.planned_block import PlannedBlock
from archscope.trace import Mismatch, join_path
from archscope.trace_index import TraceIndex

MAX_INSTANCES = 64
"""Of how many instances of one conflict the sides are looked at."""
UPSAMPLING_STEPS = ("interpolate", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "PixelShuffle")
"""Steps that make a map larger: a smaller factor of theirs loses nothing."""
FEATURE_LAYERS = ("Linear", "Embedding", "Bilinear")
"""Layers whose last axis holds features."""


@dataclass(frozen=True)
class CompiledNet:
    """A compiled spec as far as an edit can be judged by it. warnings: (rule, place) of its own warnings."""

    outline: PlannedBlock
    mismatches: tuple[Problem, ...]
    warnings: tuple[tuple[str, Span], ...]
    params: int

    @cached_property
    def self_joins(self) -> int:
        return self_joins(self.outline)

    @cached_property
    def ways_to_use(self) -> Counter[str]:
        return ways_to_use(self.outline)

    @cached_property
    def inputs_used(self) -> frozenset[int]:
        return inputs_used(self.outline)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.outline.outputs)


@dataclass(frozen=True)
class ConflictScope:
    """Where a conflict stands in its net.

    place: in the text. paths: of each instance. blocks: the uses of blocks that these stand in, "" for the net. block,
    path: of the first instance, which an edit must cure (one at its use may cure no other). behind: the paths of rows
    that lie behind it, whose sizes were made up. ahead: of the rows that it comes from, and of the uses of blocks
    around these. since: of those after the last value that its operands share, where each use of a block takes part in
    the conflict. others: the scopes of the other conflicts of the net, which an edit may cure as well.
    """

    place: Span | None
    paths: frozenset[str]
    blocks: frozenset[str]
    block: str
    path: str
    behind: frozenset[str]
    ahead: frozenset[str]
    since: frozenset[str] = frozenset()
    others: tuple[ConflictScope, ...] = ()

    def with_fixed(self, cured: Callable[[ConflictScope], bool]) -> ConflictScope:
        """The scope of this conflict and of the others that an edit cures."""
        also = [other for other in self.others if cured(other)]
        return replace(
            self,
            paths=self.paths.union(*(other.paths for other in also)),
            blocks=self.blocks.union(*(other.blocks for other in also)),
            ahead=self.ahead.union(*(other.ahead for other in also)),
            since=self.since.union(*(other.since for other in also)),
        )

    def has_assumed_size(self, change: StepChange) -> bool:
        """Whether a step's sizes before were made up, since it lies behind the conflict."""
        return change.path in self.behind and change.path not in self.ahead

    def is_on_path(self, change: StepChange) -> bool:
        """Whether a step lies between the input and the conflict, at it, or is new in the block that it stands in."""
        if change.path in self.ahead or change.path in self.paths:
            return True
        return change.before is None and change.use in self.blocks

    def contains(self, change: StepChange) -> bool:
        """Whether a step stands inside the block of the conflict."""
        return any(change.use == block or change.use.startswith(f"{block}.") or not block for block in self.blocks)

    def takes_part(self, use: str) -> bool:
        """Whether a use of a block has the conflict in it, or lies on one of its sides."""
        return use in self.since or any(path.startswith(f"{use}.") for path in self.paths)


@dataclass(frozen=True)
class EditVerdict:
    """What is against an edit (nothing: it is a fix), and what it changes.

    left: how many mismatches are left. edited: how many steps it edits beyond one for each instance of the conflict.
    unrelated_changes: the steps that it changes though they do not lead to the conflict; none of an edit of the net's
    input. outside: whether steps outside the conflict's block change. halves: whether a map is made smaller only to be
    enlarged again. others_unchanged: whether the other mismatches are as they were, so that the difference in figures
    is the edit's. frees_value: whether a value is used that was not, or one is not joined with itself any more.
    partial: whether other instances of the conflict are left. removes: whether the operation in conflict is not done
    any more. shared: whether uses of a block change that have no part in the conflict.
    """

    objection: str = ""
    left: int = 0
    edited: int = 0
    unrelated_changes: tuple[StepChange, ...] = ()
    outside: bool = False
    halves: bool = False
    others_unchanged: bool = True
    frees_value: bool = False
    partial: bool = False
    removes: bool = False
    shared: bool = False


def judge_edit(
    before: CompiledNet,
    after: CompiledNet,
    scope: ConflictScope,
    lines: LineMap,
    blocks: Collection[str] = (),
    *,
    own: bool = False,
) -> EditVerdict:
    """What is against an edit, without its figures: conflicts, what is in use, which steps change.

    blocks: those whose definitions it edits. own: the edit makes a block say its own argument, so that it may change
    uses that have no part in the conflict if no mismatch is left in the net.
    """
    marks = MismatchKeys(lines, scope)
    old, new = marks.before(before.mismatches), marks.after(after.mismatches)
    narrow = scope
    scope = scope.with_fixed(lambda other: marks.is_gone(other, new, other.blocks))
    everything = list(find_step_changes(before, after, lines))
    changes = [change for change in everything if not scope.has_assumed_size(change)]
    against = [*lost_uses(before, after, lines), *marks.objections(old, new), *removed_layers(changes)]
    shared = edits_shared_block(after, everything, scope, blocks)
    if not own or after.mismatches:
        against += [*unrelated_edits(changes, scope), *(["a block is edited that other places use"] * shared)]
    others = [change for change in changes if not scope.is_on_path(change)]
    edited = [change for change in changes if change.edited and change.before is not None]
    kept = {problem.message for problem in before.mismatches if problem.span != scope.place}
    return EditVerdict(
        objection=against[0] if against else "",
        left=len({place for _, place in new}),
        edited=max(len(edited) - len(scope.paths), 0),
        unrelated_changes=() if any(map(is_input_change, changes)) else tuple(others),
        outside=any(not scope.contains(change) or is_input_change(change) for change in changes),
        halves=any(change.edited and halves_map(change) for change in changes) and not others,
        others_unchanged=kept == {problem.message for problem in after.mismatches},
        partial=not marks.is_gone(narrow, new, narrow.blocks),
        removes=any(change.after is None and change.path in narrow.paths for change in everything),
        shared=shared,
        frees_value=len(after.warnings) < len(before.warnings) or after.self_joins < before.self_joins,
    )


def find_step_changes(before: CompiledNet, after: CompiledNet, lines: LineMap) -> Iterator[StepChange]:
    clean = (False,) * after.outline.inputs
    return BlockComparer(lines).compare(before.outline, after.outline, clean).changes()


def is_input_change(change: StepChange) -> bool:
    return change.after is not None and change.after.name == "input" and not change.use


def halves_map(change: StepChange) -> bool:
    """Whether a step gives at most about half of what it gave along a spatial axis."""
    old, new = (step.shapes[0][2:] if step and step.shapes else () for step in (change.before, change.after))
    if change.after is not None and change.after.name in (*UPSAMPLING_STEPS, *FEATURE_LAYERS):
        return False
    return len(old) == len(new) and any(2 * n <= o + 1 and n < o for o, n in zip(old, new, strict=True))


# ------------------------------------------------------------ conflicts
MismatchKey = tuple[str, object]
"""The use of a block, and a place in the text before."""


@dataclass(frozen=True)
class MismatchKeys:
    """Names mismatches so that those before and after an edit can be compared: (use of a block, place before)."""

    lines: LineMap
    scope: ConflictScope

    def before(self, problems: Collection[Problem]) -> set[MismatchKey]:
        """Of the net before the edit."""
        return {(block_path(problem), self.place(span_line(problem.span), problem.span)) for problem in problems}

    def after(self, problems: Collection[Problem]) -> set[MismatchKey]:
        """Of the net after the edit, at the places where they stood before."""
        found = ((problem, self.lines.line_before(problem.span)) for problem in problems)
        return {(block_path(problem), self.place(line, problem.span)) for problem, line in found}

    def place(self, line: SourceLine, span: Span) -> object:
        """A line of the text before; with its column where the edit has left it as it was."""
        return line if line in self.lines.old else (*line, span.column)

    def is_gone(self, scope: ConflictScope, new: set[MismatchKey], blocks: Collection[str]) -> bool:
        """Whether a conflict of the net before stands in none of these uses of blocks after the edit."""
        here = scope.place and self.place(span_line(scope.place), scope.place)
        return here is not None and not any(place == here and block in blocks for block, place in new)

    def objections(self, old: set[MismatchKey], new: set[MismatchKey]) -> Iterator[str]:
        if not self.is_gone(self.scope, new, {self.scope.block}):
            yield "the conflict is still there"
        known = {place: {block for block, other in old if other == place} for _, place in old}
        for scope in (self.scope, *self.scope.others):  # an equal use is told of once, under the path of the first
            here = scope.place and self.place(span_line(scope.place), scope.place)
            known[here] = known.get(here, set()) | scope.blocks
        if any(block not in known.get(place, ()) for block, place in new):
            yield "something else does not fit"


def is_confirmed_by_run(
    before: Sequence[Mismatch], after: Sequence[Mismatch], scope: ConflictScope, lines: LineMap
) -> bool:
    """Whether a run of the mended net had no mismatch in the block of the conflict, and none at a new place."""
    marks = MismatchKeys(lines, scope)
    known = {marks.place(span_line(m.site.place), m.site.place) for m in before if m.site.place is not None}
    here = scope.place and marks.place(span_line(scope.place), scope.place)
    for mismatch in after:
        span = mismatch.site.place
        place = marks.place(lines.line_before(span), span) if span is not None else None
        if place not in known or (place == here and mismatch.site.path == scope.path):
            return False
    return True


def span_line(span: Span) -> SourceLine:
    return span.file, span.line


def block_path(problem: Problem) -> str:
    """The absolute path of the use of a block that a problem stands in."""
    return join_path(*(frame.path for frame in reversed(problem.chain)))


# ------------------------------------------------------------ what must stay
def lost_uses(before: CompiledNet, after: CompiledNet, lines: LineMap) -> Iterator[str]:
    """Inputs, outputs and values that are not in use any more."""
    if after.outputs != before.outputs:
        yield "the outputs are others"
    if before.inputs_used - after.inputs_used:
        yield "an input is not used any more"
    if after.self_joins > before.self_joins:
        yield "a value is joined with itself"
    known = Counter((rule, span_line(place)) for rule, place in before.warnings)
    if Counter((rule, lines.line_before(place)) for rule, place in after.warnings) - known:
        yield "a value or a param is not used any more"


def removed_layers(changes: Sequence[StepChange]) -> Iterator[str]:
    """Layers that are not there any more."""
    if any(change.after is None and change.before is not None and change.before.params for change in changes):
        yield "a layer is gone"


def unrelated_edits(changes: Sequence[StepChange], scope: ConflictScope) -> Iterator[str]:
    """Steps that change by themselves though they do not lead to the conflict."""
    if any(change.edited and change.on_line and not scope.is_on_path(change) for change in changes):
        yield "a step that does not lead to the conflict is edited"


def edits_shared_block(
    after: CompiledNet, changes: Sequence[StepChange], scope: ConflictScope, blocks: Collection[str]
) -> bool:
    """Whether an edit of these blocks' text changes a use that has no part in the conflict, of a block used elsewhere.

    A step that gives other sizes since it is given others is not changed by the edit.
    """
    uses = [use for change in changes if change.edited and change.by_itself for use in change.around]
    shared = {path for block, path in uses if block in blocks and after.ways_to_use[block] > 1}
    return not all(map(scope.takes_part, shared))


# ------------------------------------------------------------ where a conflict stands
def mismatch_scope(index: TraceIndex, same: Sequence[Mismatch]) -> ConflictScope:
    """The scope of the mismatches at one place; the first one's is the one to be cured."""
    trace = index.trace
    uses = [call.site.path for call in trace.calls if call.site.kind == "block"]
    paths = frozenset(mismatch.site.path for mismatch in same)
    rows = [m.row for m in same if 0 <= m.row < len(trace.rows)]
    ahead = {row for m in same for operand in m.operands for row in index.ancestors(operand).values() if row >= 0}
    return ConflictScope(
        place=same[0].site.place,
        paths=paths,
        blocks=frozenset(innermost_use(uses, path) for path in paths),
        block=innermost_use(uses, same[0].site.path),
        path=same[0].site.path,
        behind=frozenset(trace.rows[row].path for row in index.descendants(rows) - set(rows)),
        ahead=frozenset(path for row in ahead for path in path_and_parents(trace.rows[row].path)),
        since=frozenset(
            path for row in rows_since_forks(index, same) for path in path_and_parents(trace.rows[row].path)
        ),
    )


def rows_since_forks(index: TraceIndex, same: Sequence[Mismatch]) -> Iterator[int]:
    """The rows on the sides of mismatches, after the last value that the operands share; none of a layer's."""
    history = AxisHistory(index)
    for mismatch in [m for m in same if m.kind not in ("layer", "view")][:MAX_INSTANCES]:
        fork = history.fork(mismatch.operands)
        after = -1 if fork is None else fork
        rows = (row for operand in mismatch.operands for row in index.ancestors(operand).values())
        yield from (row for row in rows if row > after)


def path_and_parents(path: str) -> Iterator[str]:
    """A path and those of all that it lies below."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def innermost_use(uses: Sequence[str], path: str) -> str:
    """The longest path of a use that a path lies below."""
    return max((use for use in uses if not use or path == use or path.startswith(f"{use}.")), key=len, default="")
