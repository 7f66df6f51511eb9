"""Whether an edit cures a conflict and harms nothing: the net before and after, step by step → Verdict.

    CompiledNet before, after ─ compare ─→ StepChanges ─ where do they lie? ─→ reasons against it, what else it changes

A fix keeps every input, parameter and output in use, joins no value with itself, meets what the file expects, and
changes nothing that does not lie behind the step that it edits. A block that several places use is edited only where
each of its uses is in conflict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.checks.effects import Comparing, LineMap, StepChange, inputs_used, self_joins, use_places
from archscope.errors import Problem, Span
from archscope.planned import PlannedBlock
from archscope.trace import Mismatch, Trace


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
    def inputs_used(self) -> frozenset[int]:
        return inputs_used(self.outline)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.outline.outputs)


@dataclass(frozen=True)
class ConflictScope:
    """Where a conflict stands in its net.

    place: in the text. paths: of each instance. blocks: the uses of blocks that these stand in, "" for the net. behind:
    the paths of rows that lie behind it, whose sizes were made up. ahead: of the rows that it comes from, and of the
    uses of blocks around these.
    """

    place: Span | None
    paths: frozenset[str]
    blocks: frozenset[str]
    behind: frozenset[str]
    ahead: frozenset[str]

    def made_up(self, change: StepChange) -> bool:
        """Whether a step's sizes before were made up, since it lies behind the conflict."""
        return change.path in self.behind and change.path not in self.ahead

    def on_its_way(self, change: StepChange) -> bool:
        """Whether a step lies between the input and the conflict, at it, or is new in the block that it stands in."""
        if change.path in self.ahead or change.path in self.paths:
            return True
        return change.before is None and change.use in self.blocks

    def contains(self, change: StepChange) -> bool:
        """Whether a step stands inside the block of the conflict."""
        return any(change.use == block or change.use.startswith(f"{block}.") or not block for block in self.blocks)

    def has_instance_in(self, use: str) -> bool:
        return any(path.startswith(f"{use}.") for path in self.paths) if use else True


@dataclass(frozen=True)
class Verdict:
    """What is against an edit (nothing: it is a fix), and what it changes.

    left: how many mismatches are left. edited: how many steps it edits beyond one for each instance of the conflict.
    elsewhere: the steps that it changes though they do not lead to the conflict; none of an edit of the net's input.
    outside: whether steps outside the conflict's block change. halves: whether a map is made smaller only to be
    enlarged again. alone: whether the other mismatches are as they were, so that the difference in figures is the
    edit's. frees: whether a value is used that was not, or one is not joined with itself any more.
    """

    against: str = ""
    left: int = 0
    edited: int = 0
    elsewhere: tuple[StepChange, ...] = ()
    outside: bool = False
    halves: bool = False
    alone: bool = True
    frees: bool = False


def verdict(before: CompiledNet, after: CompiledNet, scope: ConflictScope, lines: LineMap) -> Verdict:
    """What is against an edit, without its figures: conflicts, what is in use, which steps change."""
    marks = Marks(lines, scope)
    old, new = marks.of(before.mismatches), marks.of(after.mismatches)
    changes = [change for change in changes_of(before, after, lines) if not scope.made_up(change)]
    against = next(
        filter(None, (*in_use(before, after, lines), *marks.against(old, new), *harm(after, changes, scope))), ""
    )
    others = [change for change in changes if not scope.on_its_way(change)]
    edited = [change for change in changes if change.edited]
    kept = {problem.message for problem in before.mismatches if problem.span != scope.place}
    return Verdict(
        against=against,
        left=len({place for _, place in new}),
        edited=max(len(edited) - len(scope.paths), 0),
        elsewhere=() if any(map(is_input, changes)) else tuple(others),
        outside=any(not scope.contains(change) or is_input(change) for change in changes),
        halves=any(change.edited and halves(change) for change in changes) and not others,
        alone=kept == {problem.message for problem in after.mismatches},
        frees=len(after.warnings) < len(before.warnings) or after.self_joins < before.self_joins,
    )


def changes_of(before: CompiledNet, after: CompiledNet, lines: LineMap) -> Iterator[StepChange]:
    clean = (False,) * after.outline.inputs
    return Comparing(lines).compare(before.outline, after.outline, clean).changes()


def is_input(change: StepChange) -> bool:
    return change.after is not None and change.after.name == "input" and not change.use


def halves(change: StepChange) -> bool:
    """Whether a step gives at most about half of what it gave along a spatial axis."""
    old, new = (step.shapes[0][2:] if step and step.shapes else () for step in (change.before, change.after))
    return len(old) == len(new) and any(2 * n <= o + 1 and n < o for o, n in zip(old, new, strict=True))


# ------------------------------------------------------------ conflicts
@dataclass(frozen=True)
class Marks:
    """Names mismatches so that those before and after an edit can be compared: (use of a block, place before)."""

    lines: LineMap
    scope: ConflictScope

    def of(self, problems: Collection[Problem]) -> set[tuple[str, object]]:
        return {(block_path(problem), self.place(problem.span)) for problem in problems}

    def place(self, span: Span) -> object:
        """A line; with its column where the edit has left the line as it was."""
        line = self.lines.line_before(span)
        return line if (span.file, span.line) in self.lines.new | self.lines.old else (*line, span.column)

    def against(self, old: set[tuple[str, object]], new: set[tuple[str, object]]) -> Iterator[str]:
        here = self.scope.place and self.place(self.scope.place)
        if any(place == here and block in self.scope.blocks for block, place in new):
            yield "the conflict is still there"
        places = {place for _, place in old}
        if any(place not in places and place != here for _, place in new):
            yield "something else does not fit"


def block_path(problem: Problem) -> str:
    """The absolute path of the use of a block that a problem stands in."""
    return ".".join(filter(None, (frame.path for frame in reversed(problem.chain))))


# ------------------------------------------------------------ what must stay
def in_use(before: CompiledNet, after: CompiledNet, lines: LineMap) -> Iterator[str]:
    """Inputs, outputs and values that are not in use any more."""
    if after.outputs != before.outputs:
        yield "the outputs are others"
    if before.inputs_used - after.inputs_used:
        yield "an input is not used any more"
    if after.self_joins > before.self_joins:
        yield "a value is joined with itself"
    known = {(rule, (place.file, place.line)) for rule, place in before.warnings}
    if {(rule, lines.line_before(place)) for rule, place in after.warnings} - known:
        yield "a value or a param is not used any more"


def harm(after: CompiledNet, changes: Sequence[StepChange], scope: ConflictScope) -> Iterator[str]:
    """Layers that are gone, steps that change by themselves though they do not lead to the conflict, shared blocks."""
    if any(change.after is None and change.before is not None and change.before.params for change in changes):
        yield "a layer is gone"
    if any(change.edited and change.on_line and not scope.on_its_way(change) for change in changes):
        yield "a step that does not lead to the conflict is edited"
    if edits_shared_block(after, changes, scope):
        yield "a block is edited that other places use"


def edits_shared_block(after: CompiledNet, changes: Sequence[StepChange], scope: ConflictScope) -> bool:
    """Whether steps of a block change by their own line in a use that has no conflict, and it is used elsewhere."""
    return any(
        change.on_line
        and change.use
        and use_places(after.outline, change.block) > 1
        and not scope.has_instance_in(change.use)
        for change in changes
    )


# ------------------------------------------------------------ where a conflict stands
def scope_of(trace: Trace, same: Sequence[Mismatch], ahead: Collection[int], behind: Collection[int]) -> ConflictScope:
    """The scope of the mismatches at one place. ahead, behind: indexes of the rows before and after them."""
    uses = [call.site.path for call in trace.calls if call.site.kind == "block"]
    paths = frozenset(mismatch.site.path for mismatch in same)
    return ConflictScope(
        place=same[0].site.place,
        paths=paths,
        blocks=frozenset(innermost(uses, path) for path in paths),
        behind=frozenset(trace.rows[index].path for index in behind),
        ahead=frozenset(path for index in ahead for path in with_parents(trace.rows[index].path)),
    )


def with_parents(path: str) -> Iterator[str]:
    """A path and those of all that it lies below."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def innermost(uses: Sequence[str], path: str) -> str:
    """The longest path of a use that a path lies below."""
    return max((use for use in uses if not use or path == use or path.startswith(f"{use}.")), key=len, default="")
