"""The changes that an edit of a spec makes in its net: two planned blocks, step by step → StepChanges.

    PlannedBlock before, PlannedBlock after, LineMap → BlockComparer.compare → StepChanges with absolute paths
    PlannedBlock → inputs that an output depends on, steps that join a value with itself, ways to use a block

Steps are matched by the line on which they are written, so that a new step does not rename those after it. A step is
`edited` if it changed although nothing that it reads did; all others depend on an edit.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from archscope.errors import Span
from archscope.planned_block import PlannedBlock, PlannedStep
from archscope.trace import join_path

SourceLine = tuple[str, int]
"""A file and a line in it."""


def common_prefix_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the number of equal lines at the beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(first), len(second)))


@dataclass(frozen=True)
class LineMap:
    """The lines of an edited file and where they were before; a line with another indentation only is not edited.

    old, new: the lines that the edit removes and adds.
    """

    file: str
    before: str
    after: str

    @cached_property
    def _runs(self) -> Sequence[tuple[str, int, int, int, int]]:
        old, new = ([line.strip() for line in text.splitlines()] for text in (self.before, self.after))
        head = common_prefix_length(old, new)  # kept apart, since an inserted line may be equal to the one before it
        tail = common_prefix_length(old[: head - 1 if head else None : -1], new[: head - 1 if head else None : -1])
        middle = difflib.SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
        runs = [(kind, i + head, j + head, k + head, m + head) for kind, i, j, k, m in middle.get_opcodes()]
        ends = ("equal", len(old) - tail, len(old), len(new) - tail, len(new))
        return [("equal", 0, head, 0, head), *runs, ends]

    @cached_property
    def old(self) -> frozenset[SourceLine]:
        """The lines of the text before that are changed or gone."""
        return frozenset((self.file, n + 1) for kind, i, j, _, _ in self._runs if kind != "equal" for n in range(i, j))

    @cached_property
    def new(self) -> frozenset[SourceLine]:
        """The lines of the text after that are changed or new."""
        return frozenset((self.file, n + 1) for kind, _, _, k, m in self._runs if kind != "equal" for n in range(k, m))

    @cached_property
    def _origin(self) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for _, i, j, k, m in self._runs:
            found |= {k + n + 1: i + n + 1 for n in range(min(j - i, m - k))}
        return found

    def line_before(self, place: Span | None) -> SourceLine:
        """Return the line before the edit of a place in the text after; a new line gets a negative number."""
        if place is None:
            return "", 0
        if place.file != self.file:
            return place.file, place.line
        return place.file, self._origin.get(place.line, -place.line)


@dataclass(frozen=True)
class StepChange:
    """One changed step. before, after: None if it is new or gone.

    path: in the net before; for a new step, in the net after. use: the absolute path of the use of a block that
    contains it; block: its name. edited: see the module. on_line: its own line is edited. by_itself: more than the
    sizes that it reads has changed. around: the uses of blocks around it, as (block, path).
    """

    path: str
    use: str
    block: str
    edited: bool
    on_line: bool
    before: PlannedStep | None
    after: PlannedStep | None
    by_itself: bool = True
    around: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BlockComparison:
    """The comparison of two blocks. dirty: for each output, whether it depends on an edit. own: the block's own
    changes. inside: the comparisons of nested blocks."""

    dirty: tuple[bool, ...]
    own: tuple[StepChange, ...]
    inside: tuple[tuple[str, str, BlockComparison], ...]

    def changes(self, path: str = "", around: tuple[tuple[str, str], ...] = ()) -> Iterator[StepChange]:
        """Yield all changes with absolute paths."""
        for change in self.own:
            if path and change.after is not None and change.after.name == "input":
                continue  # a changed input of a block is reported at the step that makes it
            yield replace(change, path=join_path(path, change.path), use=path, around=around)
        for block, use, comparison in self.inside:
            yield from comparison.changes(join_path(path, use), (*around, (block, join_path(path, use))))


@dataclass
class BlockComparer:
    """A comparison of blocks with a cache, so that equal uses are compared once."""

    lines: LineMap
    known: dict[tuple[int, int, tuple[bool, ...]], BlockComparison] = field(default_factory=dict)

    def compare(self, before: PlannedBlock, after: PlannedBlock, dirty: tuple[bool, ...]) -> BlockComparison:
        """Return the comparison of two blocks. dirty: for each input, whether it depends on an edit."""
        key = id(before), id(after), dirty
        if key not in self.known:
            self.known[key] = self._compare_blocks(before, after, dirty)
        return self.known[key]

    def _compare_blocks(self, before: PlannedBlock, after: PlannedBlock, given: tuple[bool, ...]) -> BlockComparison:
        matches = self.match_steps(before, after)
        dirty: list[bool] = []
        own: list[StepChange] = []
        inside: list[tuple[str, str, BlockComparison]] = []
        for index, step in enumerate(after.steps):
            old = before.steps[matches[index]] if index in matches else None
            behind = any(dirty[read] for read in step.reads) or (index < after.inputs and any(given[index : index + 1]))
            on_line = step_line(step) in self.lines.new
            nested = self._compare_nested(old, step, dirty)
            if nested is not None and old is not None:
                inside.append((step.name, old.path, nested))
            rewired = old is not None and tuple(matches.get(read, -1) for read in step.reads) != old.reads
            new = step.shapes, step.params, step.arguments
            changed = old is None or (old.shapes, old.params, old.arguments) != new
            by_itself = changes_by_itself(before, old, after, step)
            edited = (on_line and by_itself) or (not behind and (changed or rewired))
            dirty.append(behind or edited or on_line or (nested is not None and any(nested.dirty)))
            if (changed and (nested is None or old is None)) or (rewired and step.shapes):
                found = self.make_change(after, old, step, edited=edited, on_line=on_line)
                own.append(replace(found, by_itself=by_itself))
        own += self._removed_steps(before, after, set(matches.values()))
        return BlockComparison(tuple(dirty[index] for _, index in after.outputs), tuple(own), tuple(inside))

    def _compare_nested(
        self, before: PlannedStep | None, after: PlannedStep, dirty: Sequence[bool]
    ) -> BlockComparison | None:
        if before is None or before.block is None or after.block is None:
            return None
        return self.compare(before.block, after.block, tuple(dirty[read] for read in after.reads))

    def _removed_steps(self, before: PlannedBlock, after: PlannedBlock, kept: set[int]) -> Iterator[StepChange]:
        for index, step in enumerate(before.steps):
            if index not in kept and step.shapes:
                on_line = step_line(step) in self.lines.old
                yield self.make_change(after, step, None, edited=on_line, on_line=on_line)

    @staticmethod
    def make_change(
        block: PlannedBlock, before: PlannedStep | None, after: PlannedStep | None, *, edited: bool, on_line: bool
    ) -> StepChange:
        path = next(step.path for step in (before, after) if step is not None)
        return StepChange(path, "", block.name, edited, on_line, before, after)

    def match_steps(self, before: PlannedBlock, after: PlannedBlock) -> dict[int, int]:
        """Return the steps of the block after → those of the block before: of equal name and line, in order; then, on
        edited lines, of equal name."""
        found = pair_by_key(
            {index: (step_line(step), step.name) for index, step in enumerate(before.steps)},
            {index: (self.lines.line_before(step.place), step.name) for index, step in enumerate(after.steps)},
        )
        taken = set(found.values())
        return found | pair_by_key(
            {i: s.name for i, s in enumerate(before.steps) if i not in taken and step_line(s) in self.lines.old},
            {i: s.name for i, s in enumerate(after.steps) if i not in found and step_line(s) in self.lines.new},
        )


def pair_by_key(before: Mapping[int, object], after: Mapping[int, object]) -> dict[int, int]:
    """Return the indexes of equal keys, in order: after → before."""
    waiting: dict[object, list[int]] = {}
    for index, key in sorted(before.items(), reverse=True, key=lambda item: item[0]):
        waiting.setdefault(key, []).append(index)
    return {index: waiting[key].pop() for index, key in after.items() if waiting.get(key)}


def step_line(step: PlannedStep) -> SourceLine:
    return (step.place.file, step.place.line) if step.place is not None else ("", 0)


def changes_by_itself(before: PlannedBlock, old: PlannedStep | None, after: PlannedBlock, new: PlannedStep) -> bool:
    """Return whether a step changed by its own arguments, and not only by the sizes that it reads."""
    if old is None:
        return True
    read = [[block.steps[index].shapes for index in step.reads] for block, step in ((before, old), (after, new))]
    return read[0] == read[1] or old.arguments != new.arguments


# ------------------------------------------------------------ use of values
def inputs_used(block: PlannedBlock) -> frozenset[int]:
    """Return the inputs of a net that an output depends on."""
    return frozenset().union(*inputs_per_output(block, {}))


def inputs_per_output(block: PlannedBlock, known: dict[int, list[frozenset[int]]]) -> list[frozenset[int]]:
    """Return for each output of a block the inputs that it depends on."""
    if id(block) not in known:
        sets: list[frozenset[int]] = []
        for index, step in enumerate(block.steps):
            if index < block.inputs:
                sets.append(frozenset([index]))
            elif not step.shapes:  # a size does not depend on a tensor's values
                sets.append(frozenset())
            else:
                sets.append(frozenset().union(*(sets[step.reads[n]] for n in flowing_operands(step, known))))
        known[id(block)] = [sets[index] for _, index in block.outputs]
    return known[id(block)]


def flowing_operands(step: PlannedStep, known: dict[int, list[frozenset[int]]]) -> Sequence[int]:
    """Return the operands of a step that its outputs depend on."""
    if step.block is None:
        return range(len(step.reads))
    return sorted(n for n in frozenset().union(*inputs_per_output(step.block, known)) if n < len(step.reads))


def self_joins(block: PlannedBlock) -> int:
    """Return the number of steps, in distinct blocks, that read one tensor twice, as in `cat([a, a])` or `bmm(prev, t)`
    of one value."""
    blocks = {id(block): block, **{id(inner): inner for _, inner in block.walk_blocks()}}
    count = 0
    for distinct_block in blocks.values():
        for step in distinct_block.steps:
            read = [index for index in step.reads if distinct_block.steps[index].shapes]
            count += len(set(read)) < len(read)
    return count


def ways_to_use(net: PlannedBlock) -> Counter[str]:
    """Return for each block in how many ways it is used: at different places, or at one place of a block that is used
    in several ways. Turns of a loop are one way."""
    return Counter(_count_ways(net, {}))


def _count_ways(block: PlannedBlock, known: dict[int, dict[str, int]]) -> dict[str, int]:
    if id(block) not in known:
        places: dict[Span | None, dict[str, int]] = {}
        for step in block.steps:
            if step.block is not None:
                counts = places.setdefault(step.place, {})
                for name, count in {**_count_ways(step.block, known), step.block.name: 1}.items():
                    counts[name] = max(counts.get(name, 0), count)
        known[id(block)] = dict(sum(map(Counter, places.values()), Counter()))
    return known[id(block)]
