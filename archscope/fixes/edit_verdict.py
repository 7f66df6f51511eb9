"""The verdict on an edit: the compiled net before and after, step by step → EditVerdict.

    CompiledNet before, after ─ compare ─→ StepChanges ─ related to the conflict? ─→ objections, other changes

A fix keeps every input, parameter and output in use, joins no value with itself, meets the expectations of the file,
and changes nothing but steps that depend on the edited one. A block that several places use is edited only if each of
its uses is in conflict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from archscope.conflicts.axis_history import AxisHistory
from archscope.errors import Problem, Span
from archscope.fixes.step_changes import (
    BlockComparer,
    LineMap,
    SourceLine,
    StepChange,
    inputs_used,
    self_joins,
    ways_to_use,
)
from archscope.planned_block import PlannedBlock
from archscope.trace import Mismatch, join_path
from archscope.trace_index import TraceIndex

MAX_INSTANCES = 64
"""The number of instances of one conflict whose sides are examined."""
UPSAMPLING_STEPS = ("interpolate", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "PixelShuffle")
"""Steps that enlarge a map: with a smaller factor nothing is lost."""
FEATURE_LAYERS = ("Linear", "Embedding", "Bilinear")
"""Layers whose last axis holds features."""


@dataclass(frozen=True)
class CompiledNet:
    """A compiled spec, as far as an edit is judged by it. warnings: (rule, place) of its own warnings."""

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
    """The position of a conflict in its net.

    place: in the text. paths: of each instance. blocks: the uses of blocks that contain these, "" for the net. block,
    path: of the first instance, which an edit must fix (an edit at its use may fix no other). behind: the paths of rows
    that depend on the conflict, whose sizes are assumed. ahead: the paths of the rows that it depends on, and of the
    uses of blocks around these. since: the paths of those after the last value that its operands share, where each use
    of a block is part of the conflict. others: the scopes of the net's other conflicts, which an edit may fix as well.
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

    def with_fixed(self, is_fixed: Callable[[ConflictScope], bool]) -> ConflictScope:
        """Return the scope of this conflict and of the others that an edit fixes."""
        also = [other for other in self.others if is_fixed(other)]
        return replace(
            self,
            paths=self.paths.union(*(other.paths for other in also)),
            blocks=self.blocks.union(*(other.blocks for other in also)),
            ahead=self.ahead.union(*(other.ahead for other in also)),
            since=self.since.union(*(other.since for other in also)),
        )

    def has_assumed_size(self, change: StepChange) -> bool:
        """Return whether a step's sizes before were assumed, because it depends on the conflict."""
        return change.path in self.behind and change.path not in self.ahead

    def is_on_path(self, change: StepChange) -> bool:
        """Return whether a step lies between the input and the conflict, is the conflict, or is new in its block."""
        if change.path in self.ahead or change.path in self.paths:
            return True
        return change.before is None and change.use in self.blocks

    def contains(self, change: StepChange) -> bool:
        """Return whether a step is inside the block of the conflict."""
        return any(change.use == block or change.use.startswith(f"{block}.") or not block for block in self.blocks)

    def takes_part(self, use: str) -> bool:
        """Return whether a use of a block contains the conflict, or lies on one of its sides."""
        return use in self.since or any(path.startswith(f"{use}.") for path in self.paths)


@dataclass(frozen=True)
class EditVerdict:
    """The objection to an edit (empty: it is a fix), and what it changes.

    left: the number of remaining mismatches. edited: the number of edited steps beyond one for each instance of the
    conflict. unrelated_changes: changed steps that do not lead to the conflict; empty for an edit of the net's input.
    outside: steps outside the conflict's block change. halves: a map is made smaller although it is enlarged again
    later. others_unchanged: the other mismatches are unchanged, so the difference in figures is due to the edit.
    frees_value: an unused value is used now, or a value is no longer joined with itself. partial: other instances of
    the conflict remain. removes: the operation in conflict is gone. shared: uses of a block change that are not part of
    the conflict.
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
    """Return the verdict on an edit, without figures.

    blocks: those whose definitions it edits. own: the edit makes a block use its own argument, so it may change uses
    that are not part of the conflict if no mismatch remains in the net.
    """
    keys = MismatchKeys(lines, scope)
    old, new = keys.before(before.mismatches), keys.after(after.mismatches)
    narrow = scope
    scope = scope.with_fixed(lambda other: keys.is_gone(other, new, other.blocks))
    everything = list(find_step_changes(before, after, lines))
    changes = [change for change in everything if not scope.has_assumed_size(change)]
    objections = [*lost_uses(before, after, lines), *keys.objections(old, new)]
    if any(change.after is None and change.before is not None and change.before.params for change in changes):
        objections.append("a layer is gone")
    shared = edits_shared_block(after, everything, scope, blocks)
    if not own or after.mismatches:
        if any(change.edited and change.on_line and not scope.is_on_path(change) for change in changes):
            objections.append("a step that does not lead to the conflict is edited")
        if shared:
            objections.append("a block is edited that other places use")
    others = [change for change in changes if not scope.is_on_path(change)]
    edited = [change for change in changes if change.edited and change.before is not None]
    messages_before = {problem.message for problem in before.mismatches if problem.span != scope.place}
    return EditVerdict(
        objection=objections[0] if objections else "",
        left=len({place for _, place in new}),
        edited=max(len(edited) - len(scope.paths), 0),
        unrelated_changes=() if any(map(is_input_change, changes)) else tuple(others),
        outside=any(not scope.contains(change) or is_input_change(change) for change in changes),
        halves=any(change.edited and halves_map(change) for change in changes) and not others,
        others_unchanged=messages_before == {problem.message for problem in after.mismatches},
        partial=not keys.is_gone(narrow, new, narrow.blocks),
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
    """Return whether a step gives at most about half of its previous size along a spatial axis."""
    old, new = (step.shapes[0][2:] if step and step.shapes else () for step in (change.before, change.after))
    if change.after is not None and change.after.name in (*UPSAMPLING_STEPS, *FEATURE_LAYERS):
        return False
    return len(old) == len(new) and any(2 * n <= o + 1 and n < o for o, n in zip(old, new, strict=True))


# ------------------------------------------------------------ conflicts
MismatchKey = tuple[str, object]
"""The use of a block, and a place in the text before."""


@dataclass(frozen=True)
class MismatchKeys:
    """Keys (use of a block, place before) by which mismatches before and after an edit can be compared."""

    lines: LineMap
    scope: ConflictScope

    def before(self, problems: Collection[Problem]) -> set[MismatchKey]:
        """Return the keys of the mismatches before the edit."""
        return {(block_path(problem), self.place(span_line(problem.span), problem.span)) for problem in problems}

    def after(self, problems: Collection[Problem]) -> set[MismatchKey]:
        """Return the keys of the mismatches after the edit, with their places before it."""
        found = ((problem, self.lines.line_before(problem.span)) for problem in problems)
        return {(block_path(problem), self.place(line, problem.span)) for problem, line in found}

    def place(self, line: SourceLine, span: Span) -> object:
        """Return a line of the text before; with the column if the edit did not change the line."""
        return line if line in self.lines.old else (*line, span.column)

    def is_gone(self, scope: ConflictScope, new: set[MismatchKey], blocks: Collection[str]) -> bool:
        """Return whether a conflict of the net before is in none of these uses of blocks after the edit."""
        own_place = scope.place and self.place(span_line(scope.place), scope.place)
        return own_place is not None and not any(place == own_place and block in blocks for block, place in new)

    def objections(self, old: set[MismatchKey], new: set[MismatchKey]) -> Iterator[str]:
        if not self.is_gone(self.scope, new, {self.scope.block}):
            yield "the conflict is still there"
        known = {place: {block for block, other in old if other == place} for _, place in old}
        for scope in (self.scope, *self.scope.others):  # equal uses are reported once, with the path of the first
            own_place = scope.place and self.place(span_line(scope.place), scope.place)
            known[own_place] = known.get(own_place, set()) | scope.blocks
        if any(block not in known.get(place, ()) for block, place in new):
            yield "something else does not fit"


def is_confirmed_by_run(
    before: Sequence[Mismatch], after: Sequence[Mismatch], scope: ConflictScope, lines: LineMap
) -> bool:
    """Return whether a run of the fixed net had no mismatch in the block of the conflict, and none at a new place."""
    keys = MismatchKeys(lines, scope)
    known = {keys.place(span_line(m.site.place), m.site.place) for m in before if m.site.place is not None}
    own_place = scope.place and keys.place(span_line(scope.place), scope.place)
    for mismatch in after:
        span = mismatch.site.place
        place = keys.place(lines.line_before(span), span) if span is not None else None
        if place not in known or (place == own_place and mismatch.site.path == scope.path):
            return False
    return True


def span_line(span: Span) -> SourceLine:
    return span.file, span.line


def block_path(problem: Problem) -> str:
    """Return the absolute path of the use of a block that contains a problem."""
    return join_path(*(frame.path for frame in reversed(problem.chain)))


# ------------------------------------------------------------ objections
def lost_uses(before: CompiledNet, after: CompiledNet, lines: LineMap) -> Iterator[str]:
    """Yield objections about inputs, outputs and values that are no longer used."""
    if after.outputs != before.outputs:
        yield "the outputs are others"
    if before.inputs_used - after.inputs_used:
        yield "an input is not used any more"
    if after.self_joins > before.self_joins:
        yield "a value is joined with itself"
    known = Counter((rule, span_line(place)) for rule, place in before.warnings)
    if Counter((rule, lines.line_before(place)) for rule, place in after.warnings) - known:
        yield "a value or a param is not used any more"


def edits_shared_block(
    after: CompiledNet, changes: Sequence[StepChange], scope: ConflictScope, blocks: Collection[str]
) -> bool:
    """Return whether an edit of these blocks' text changes a use that is not part of the conflict, of a block used
    elsewhere.

    A step whose sizes change only because its inputs do is not changed by the edit.
    """
    uses = [use for change in changes if change.edited and change.by_itself for use in change.around]
    shared = {path for block, path in uses if block in blocks and after.ways_to_use[block] > 1}
    return not all(map(scope.takes_part, shared))


# ------------------------------------------------------------ the scope of a conflict
def mismatch_scope(index: TraceIndex, same: Sequence[Mismatch]) -> ConflictScope:
    """Return the scope of the mismatches at one place; the first one is the one to fix."""
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
    """Yield the rows on the sides of mismatches after the last value that the operands share; none for layers and
    views."""
    history = AxisHistory(index)
    for mismatch in [m for m in same if m.kind not in ("layer", "view")][:MAX_INSTANCES]:
        fork = history.fork(mismatch.operands)
        after = -1 if fork is None else fork
        rows = (row for operand in mismatch.operands for row in index.ancestors(operand).values())
        yield from (row for row in rows if row > after)


def path_and_parents(path: str) -> Iterator[str]:
    """Yield a path and the paths that contain it."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def innermost_use(uses: Sequence[str], path: str) -> str:
    """Return the longest path of a use that contains a path."""
    return max((use for use in uses if not use or path == use or path.startswith(f"{use}.")), key=len, default="")
