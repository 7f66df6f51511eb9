"""What an edit of a spec's text changes: two texts → lines that belong together → lines that the edit touches.

Change(before, after) → line after ↔ line before        Places(file, text) → steps, blocks, names, expectations
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from archscope.spec import Library, load
from archscope.spec.spec_types import Block, Data, Definition, Expression, Items, LayerCall, Spec, Step, Table
from tests.mutations.places import found


@dataclass(frozen=True)
class Change:
    """Two texts, line by line."""

    before: str
    after: str

    @cached_property
    def parts(self) -> list[tuple[range, range]]:
        """Runs of lines, from 1, of which at least one is another."""
        one, two = self.before.splitlines(), self.after.splitlines()
        codes = SequenceMatcher(a=one, b=two, autojunk=False).get_opcodes()
        return [(range(a + 1, b + 1), range(c + 1, d + 1)) for tag, a, b, c, d in codes if tag != "equal"]

    @cached_property
    def lines(self) -> dict[int, int]:
        """Line after → line before; a changed line has its partner where as many lines took the place of others."""
        codes = SequenceMatcher(a=self.before.splitlines(), b=self.after.splitlines(), autojunk=False).get_opcodes()
        return {c + n + 1: a + n + 1 for _, a, b, c, d in codes for n in range(b - a) if b - a == d - c}

    def back(self, line: int) -> int:
        """The line before; a number that no line has for one that is new."""
        return self.lines.get(line, -line)

    @property
    def old(self) -> set[int]:
        return {line for lines, _ in self.parts for line in lines}

    @property
    def new(self) -> set[int]:
        return {line for _, lines in self.parts for line in lines}


@dataclass(frozen=True)
class Places:
    """A spec's text, and where its steps and blocks stand."""

    file: str
    text: str

    @cached_property
    def rows(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def library(self) -> Library:
        return load(self.file, texts={self.file: self.text})

    @property
    def spec(self) -> Spec:
        return self.library.files[self.file]

    @cached_property
    def steps(self) -> list[tuple[Step, range]]:
        """Every step with its lines."""
        things = (one.thing for one in found(self.library, self.file))
        return [(step, self.extent(self.item(step.span.line))) for step in things if isinstance(step, Step)]

    def item(self, line: int) -> int:
        """The first line of the list's item that a line stands in, which may begin with a modifier."""
        indent, first = indentation(self.rows[line - 1]), line - 1
        if self.rows[line - 1].lstrip().startswith("- "):
            return line
        while first > 1 and indentation(self.rows[first - 1]) >= indent:
            first -= 1
        above = self.rows[first - 1] if first else ""
        return first if above.lstrip().startswith("- ") and indentation(above) + 2 == indent else line

    @cached_property
    def blocks(self) -> dict[str, range]:
        return {block.name: self.extent(block.span.line) for block in self.spec.blocks}

    @property
    def expectations(self) -> int:
        return len(re.findall(r"\b(shape|preserves|params|macs):", "\n".join(self.expect_lines)))

    @property
    def expect_lines(self) -> Iterator[str]:
        """The lines from an `expect` on."""
        for number, row in enumerate(self.rows, start=1):
            if "expect:" in row:
                yield row.partition("expect:")[2]
                yield from (self.rows[line - 1] for line in self.extent(number)[1:])

    def extent(self, line: int) -> range:
        """The lines of what begins on one: until the next that is indented as little."""
        indent, end = indentation(self.rows[line - 1]), line + 1
        while end <= len(self.rows) and (not self.rows[end - 1].strip() or indentation(self.rows[end - 1]) > indent):
            end += 1
        while end - 1 > line and not self.rows[end - 2].strip():
            end -= 1
        return range(line, end)

    def step_lines(self, line: int) -> set[int]:
        """What a change of one line touches, where it belongs to a step: the line alone where a step of one expression
        stands there, else the innermost step around it."""
        bodies = (step.body for step, _ in self.steps)
        if any(isinstance(body, Expression) and body.span.line == line for body in bodies):
            return {line}
        wide = [lines for _, lines in self.steps if line in lines]
        return set(min(wide, key=len)) if wide else set()

    def lines_naming(self, name: str, block: str) -> Iterator[int]:
        """The lines of steps that say a name: of one block, or (no block) of all that have no argument so called."""
        own = self.blocks.get(block)
        hidden = [self.blocks[b.name] for b in self.spec.blocks if not block and name in arguments(b)]
        for number, row in enumerate(self.rows, start=1):
            outside = number not in own if own else any(number in lines for lines in hidden)
            if not outside and re.search(rf"\b{re.escape(name)}\b", row.partition(" #")[0]):
                yield from self.step_lines(number)

    def blocks_changed(self, change: Change, after: Places) -> Iterator[range]:
        """The lines of every block in which the two texts differ."""
        for name, lines in self.blocks.items():
            if change.old.intersection(lines) or change.new.intersection(after.blocks.get(name, ())):
                yield lines


def indentation(row: str) -> int:
    return len(row) - len(row.lstrip())


def arguments(block: Block) -> list[str]:
    return [*(argument.name for argument in block.arguments), *(entry.name for entry in block.let)]


# ------------------------------------------------------------ what is touched
def touched_lines(before: Places, after: Places) -> tuple[set[int] | None, set[int] | None]:
    """The lines of both texts that the edit touches; None for all, where an input or an import is another one."""
    one, two = before.spec, after.spec
    if (one.inputs, one.imports, one.python) != (two.inputs, two.imports, two.python):
        return None, None
    change, names = Change(before.text, after.text), changed_names(one, two)
    return edited_lines(before, change.old, names), edited_lines(after, change.new, names)


def edited_lines(places: Places, lines: Iterable[int], names: Iterable[tuple[str, str]]) -> set[int]:
    found = {line for changed in lines for line in places.step_lines(changed)}
    return found | {line for block, name in names for line in places.lines_naming(name, block)}


def changed_names(one: Spec, two: Spec) -> set[tuple[str, str]]:
    """(block, name) of everything named whose value is another one, or is made of one that is; block: empty for the
    file's own."""
    found = {("", name) for name in different_names(file_values(one), file_values(two))}
    found |= followers(found, "", [*one.let, *two.let])
    before = {block.name: block for block in one.blocks}
    for block in two.blocks:
        old = before.get(block.name, block)
        own = {(block.name, name) for name in different_names(block_values(old), block_values(block))}
        found |= own | followers(own | found, block.name, [*old.let, *block.let])
    return found


def different_names(one: dict[str, object], two: dict[str, object]) -> set[str]:
    return {name for name in {*one, *two} if one.get(name) != two.get(name)}


def file_values(spec: Spec) -> dict[str, object]:
    settings = [*spec.params, *spec.matrix, *(s for variant in spec.variants for s in variant.settings)]
    values: dict[str, list[object]] = {}
    for setting in (*settings, *spec.let):
        values.setdefault(setting.name, []).append(setting.value)
    return {**values, **{one.name: one.body for one in spec.modules}}


def block_values(block: Block) -> dict[str, object]:
    inputs = {dim.text: dim for one in block.inputs or () for dim in one.dims or ()}
    own = {argument.name: argument.default for argument in block.arguments} | {d.name: d.value for d in block.let}
    return {**inputs, **own, **{one.name: one.body for one in block.modules}}


def followers(names: set[tuple[str, str]], block: str, let: Iterable[Definition]) -> set[tuple[str, str]]:
    """The constants that are made of changed ones."""
    known, found = {name for _, name in names}, set[tuple[str, str]]()
    for entry in let:
        if any(re.search(rf"\b{re.escape(name)}\b", text) for text in texts(entry.value) for name in known):
            known.add(entry.name)
            found.add((block, entry.name))
    return found


def texts(data: Data | LayerCall) -> Iterator[str]:
    """The expressions in a value."""
    match data:
        case Expression():
            yield data.text
        case Items():
            for item in data.items:
                yield from texts(item)
        case Table():
            for _, value in data.entries:
                yield from texts(value)
