"""Whether a fix that is called checked does harm, judged from runs and from texts alone, without the fix engine.

broken, mended and author's text of one file → runs of each variant → rows that belong together → reasons

What an edit touches: rows that stand on a changed line, and rows in a call that stands on one. A changed line that is
no step of its own (`when:`, a row of a loop's table) touches the whole step around it. A changed entry of `params:`,
`let:`, `variants:`, `modules:` or a block's signature touches the steps that say its name. A changed input touches
everything. What lies behind: rows that read, over however many others, what a touched row made, before or after; a row
that reads nothing that flows lies behind where one of its readers does.

The author's net is what is right: a row that the mutation had changed, and that has the author's outputs again, is not
harmed; nor is anything where the mended text is the author's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import archscope
from archscope.errors import ArchscopeError, ForwardError, Span, SpecError
from archscope.report import Finding, Report
from archscope.spec import load
from archscope.spec.target_names import split_target
from archscope.trace import Operand, Row, Shape
from tests.mutations.changes import Change, Places, touched_lines

REASONS = ("unread", "elsewhere", "unused", "shared", "output", "expect", "variant")
Texts = Mapping[str, str]
"""File → text."""
Sizes = tuple[tuple[Shape, ...], tuple[Shape, ...]]
"""The shapes of a row's outputs, and of the parameters that it reads."""


@dataclass(frozen=True)
class Harm:
    """reason: one of REASONS. words: where, and what is other than it was."""

    reason: str
    words: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.words}"


@dataclass(frozen=True)
class Judgement:
    """same: the mended net is the author's text but for layout, or has the same rows in every variant."""

    harms: tuple[Harm, ...] = ()
    same: bool = False


@dataclass(frozen=True)
class Case:
    """A net, broken. targets: the variants, the one that was checked first. author, broken: file → text."""

    targets: tuple[str, ...]
    author: Texts
    broken: Texts

    def judge(self, finding: Finding, file: str, text: str) -> Judgement:
        """What the text that a fix of `finding` proposes for a file does to the net."""
        mended = {**self.broken, file: text}
        if specs_of(self.targets[0], mended) == specs_of(self.targets[0], self.author):
            return Judgement(same=True)
        runs = [Runs.of(target, self, file, mended) for target in self.targets]
        if any(one.mended is None for one in runs):
            return Judgement((Harm("unread", "the mended text cannot be compiled"),))
        first, *others = runs
        harms = [*first.harms(finding), *(harm for one in others for harm in one.other_variant())]
        return Judgement(tuple(dict.fromkeys(harms)), same=all(one.same for one in runs))


def specs_of(target: str, texts: Texts) -> object:
    """The specs of a net, with these texts in place of its files'; nothing where one cannot be read."""
    parts = split_target(target)
    try:
        return load(parts[0], texts=texts).files if parts else None
    except SpecError:
        return None


# ------------------------------------------------------------ one run
@dataclass(frozen=True)
class Run:
    """What one run of a variant shows, row by row."""

    report: Report
    texts: Texts

    @staticmethod
    def of(target: str, texts: Texts) -> Run | None:
        """None where a text cannot be compiled. Where the run broke off, the rows until then."""
        try:
            report = archscope.summarize(target, device="meta", texts=texts)
        except ForwardError as error:
            report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        except ArchscopeError:
            return None
        return Run(report, texts)

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.report.trace.rows

    @property
    def whole(self) -> bool:
        return self.report.trace.failure is None

    @cached_property
    def conflicting(self) -> bool:
        return not self.whole or bool(self.report.trace.mismatches)

    @cached_property
    def chains(self) -> list[tuple[int, ...]]:
        """For each row the calls around it, the outermost first."""
        calls, found = self.report.trace.calls, []
        for row in self.rows:
            chain, index = [], row.call
            while index >= 0:
                chain.append(index)
                index = calls[index].parent
            found.append(tuple(reversed(chain)))
        return found

    @cached_property
    def spans(self) -> list[list[tuple[str, int]]]:
        """For each row, file and line of each call around it, then its own."""
        calls = self.report.trace.calls
        places = ([*(calls[c].site.place for c in self.chains[row.index]), row.place] for row in self.rows)
        return [[(place.file, place.line) if place else ("", 0) for place in around] for around in places]

    @cached_property
    def makers(self) -> dict[int, int]:
        return {value.id: row.index for row in self.rows for value in row.outputs}

    def operands(self, row: Row) -> list[int]:
        """The rows whose values a row reads."""
        return [self.makers[operand.value.id] for operand in row.inputs if operand.value.id in self.makers]

    def behind(self, starts: Iterable[int]) -> set[int]:
        """The rows themselves, those that read what they made, and constants that meet it there."""
        found = set(starts)
        for row in self.rows:
            if any(maker in found for maker in self.operands(row)):
                found.add(row.index)
        for row in reversed(self.rows):
            if row.index in found:
                found.update(maker for maker in self.operands(row) if maker in self.constant)
        return found

    @cached_property
    def constant(self) -> set[int]:
        """Rows that no input of the net reaches."""
        return set(range(len(self.rows))) - self.reached(self.report.trace.inputs)

    def reached(self, inputs: Iterable[Operand]) -> set[int]:
        ids, found = {operand.value.id for operand in inputs}, set()
        for row in self.rows:
            if any(operand.value.id in ids for operand in row.inputs):
                found.add(row.index)
                ids.update(value.id for value in row.outputs)
        return found

    @cached_property
    def alive(self) -> set[int]:
        """Rows whose values lead to an output."""
        waiting = [self.makers[o.value.id] for o in self.report.trace.outputs if o.value.id in self.makers]
        found = set(waiting)
        while waiting:
            more = [maker for maker in self.operands(self.rows[waiting.pop()]) if maker not in found]
            found.update(more)
            waiting.extend(more)
        return found

    @cached_property
    def live_inputs(self) -> set[str]:
        """The net's inputs that reach an output."""
        given, out = self.report.trace.inputs, {operand.value.id for operand in self.report.trace.outputs}
        return {one.source for one in given if self.reached((one,)) & self.alive or one.value.id in out}

    @cached_property
    def params(self) -> dict[str, Shape]:
        return {param.name: param.shape for param in self.report.trace.params}

    def sizes(self, index: int) -> Sizes:
        row = self.rows[index]
        read = (operand for operand in row.inputs if operand.source in self.params)
        return tuple(v.shape for v in row.outputs), tuple(o.value.shape for o in read if o.value.id not in self.makers)

    @cached_property
    def table(self) -> list[tuple[object, ...]]:
        """What two runs are compared by: path, op, outputs and parameters of every row, and the outputs' names."""
        rows = [(row.path, row.op, self.sizes(row.index)[0], self.report.rows[row.index].params) for row in self.rows]
        return [*rows, tuple((output.source, output.value.shape) for output in self.report.trace.outputs)]


@lru_cache(maxsize=48)
def run_of(target: str, texts: frozenset[tuple[str, str]]) -> Run | None:
    return Run.of(target, dict(texts))


# ------------------------------------------------------------ rows that belong together
def row_pairs(run: Run, other: Run) -> dict[int, int]:
    """Index of a row → index of the same row in another run: the same path, operation and turn, at the same lines; what
    has moved in its list by the same lines alone, in order."""
    files = [file for file in run.texts if file in other.texts and run.texts[file] != other.texts[file]]
    keys = row_keys(run, {file: Change(other.texts[file], run.texts[file]) for file in files})
    others = row_keys(other, {})
    found = {index: others[key] for key, index in keys.items() if key in others}
    taken = set(found.values())
    left, free = dict[object, list[int]](), dict[object, list[int]]()
    for key, index in keys.items():
        if index not in found:
            left.setdefault(key[2:4], []).append(index)
    for key, index in others.items():
        if index not in taken:
            free.setdefault(key[2:4], []).append(index)
    return found | {a: b for key, rows in left.items() for a, b in zip(rows, free.get(key, ()), strict=False)}


def row_keys(run: Run, changes: Mapping[str, Change]) -> dict[tuple, int]:
    """(turn, path, operation, lines) → row. changes: for each file, what brings its lines to those of another text."""
    found: dict[tuple, int] = {}
    for row in run.rows:
        spans = run.spans[row.index]
        lines = tuple((file, changes[file].back(line) if file in changes else line) for file, line in spans)
        turn = 0
        while (turn, row.path, row.short_name, lines) in found:
            turn += 1
        found[turn, row.path, row.short_name, lines] = row.index
    return found


# ------------------------------------------------------------ one variant
@dataclass(frozen=True)
class Runs:
    """A variant as it was, as a fix leaves it, and as its author wrote it.

    A broken text that cannot even be compiled for an analysis is held against the author's instead.
    """

    target: str
    file: str
    broken: Run
    mended: Run | None
    author: Run

    @staticmethod
    def of(target: str, case: Case, file: str, mended: Texts) -> Runs:
        texts = case.broken, mended, case.author
        broken, after, author = (run_of(target, frozenset(one.items())) for one in texts)
        assert author is not None, "the author's text cannot be compiled"
        return Runs(target, file, broken or author, after, author)

    @property
    def after(self) -> Run:
        assert self.mended is not None
        return self.mended

    @property
    def same(self) -> bool:
        return self.after.table == self.author.table and not self.after.conflicting

    @cached_property
    def before(self) -> Places:
        return Places(self.file, self.broken.texts[self.file])

    @cached_property
    def now(self) -> Places:
        return Places(self.file, self.after.texts[self.file])

    @cached_property
    def to_mended(self) -> dict[int, int]:
        return row_pairs(self.broken, self.after)

    @cached_property
    def to_author(self) -> dict[int, int]:
        return row_pairs(self.broken, self.author)

    def harms(self, finding: Finding) -> Iterator[Harm]:
        """Of the variant that was checked. Where its run breaks off, only what the rows until then show."""
        yield from self.elsewhere()
        yield from self.shared(finding)
        yield from self.output()
        if self.broken.whole and self.after.whole:
            yield from self.unused()
        if not self.after.conflicting:
            yield from self.expect()

    # -------------------------------------------------------- changed rows
    def change(self, index: int) -> str:
        """What is wrong about a row that the fix has changed; nothing where it is as it was, or the author's again."""
        before, right = self.broken.sizes(index), self.author_sizes(index)
        if index not in self.to_mended:
            return "is gone" if right is not None and self.after.whole else ""
        after = self.after.sizes(self.to_mended[index])
        if after == before or (right is not None and right != before and after[0] == right[0]):
            return ""
        what = "outputs" if after[0] != before[0] else "parameters"
        old, new = (sizes[what == "parameters"] for sizes in (before, after))
        return f"{what} {shapes_text(old)} → {shapes_text(new)}"

    def author_sizes(self, index: int) -> Sizes | None:
        return self.author.sizes(self.to_author[index]) if index in self.to_author else None

    def named(self, index: int, words: str) -> str:
        row = self.broken.rows[index]
        return f"{self.target.rpartition('/')[2]}: {row.path} {row.op} {words}"

    def elsewhere(self) -> Iterator[Harm]:
        """Rows that the edit does not touch, and that do not lie behind what it touches."""
        exempt = self.reach
        for row in self.broken.rows if exempt is not None else ():
            words = self.change(row.index)
            if words and row.index not in exempt:
                yield Harm("elsewhere", self.named(row.index, words))

    @cached_property
    def reach(self) -> set[int] | None:
        """The rows of the broken run that are touched or lie behind, in it or in the mended one; None for all."""
        lines, new_lines = touched_lines(self.before, self.now)
        if lines is None or new_lines is None:
            return None
        found = self.broken.behind(rows_on(self.broken, self.file, lines))
        there = self.after.behind(rows_on(self.after, self.file, new_lines))
        return found | {index for index, other in self.to_mended.items() if other in there}

    def shared(self, finding: Finding) -> Iterator[Harm]:
        """Uses of a changed block in which the conflict does not stand, and that do not lie behind it.

        A use whose own line is changed is meant: it is given what the new argument takes. What reads it lies behind it.
        """
        change = Change(self.before.text, self.now.text)
        paths = [path for path in (finding.path, *finding.also) if path]
        conflict = [row.index for row in self.broken.rows if any(is_within(row.path, path) for path in paths)]
        behind = self.broken.behind(conflict)
        for lines in self.before.blocks_changed(change, self.now):
            uses = self.uses(lines)
            sites = {call: self.broken.report.trace.calls[call].site for call in uses}
            meant = {call for call, site in sites.items() if self.is_changed(site.place, change)}
            fed = behind | self.broken.behind([row for call in meant for row in uses[call]])
            for call, rows in uses.items() if len(uses) > 1 else ():
                stands = call in meant or any(is_within(one, sites[call].path) for one in paths)
                if not stands and not fed.intersection(rows):
                    found = ((row, self.change(row)) for row in rows)
                    yield from (Harm("shared", self.named(row, words)) for row, words in found if words)

    def is_changed(self, place: Span | None, change: Change) -> bool:
        return place is not None and place.file == self.file and place.line in change.old

    def uses(self, lines: range) -> dict[int, list[int]]:
        """The calls of the block that stands on these lines → the rows in each."""
        found: dict[int, list[int]] = {}
        for row in self.broken.rows:
            inside = [file == self.file and line in lines for file, line in self.broken.spans[row.index]]
            chain = self.broken.chains[row.index]
            call = next((chain[n - 1] for n in range(len(inside) - 1, 0, -1) if inside[n] and not inside[n - 1]), None)
            if call is not None:
                found.setdefault(call, []).append(row.index)
        return found

    # -------------------------------------------------------- the whole
    def unused(self) -> Iterator[Harm]:
        """Values, inputs and parameters that something used, and nothing does any more."""
        dead = {other for index, other in self.to_mended.items() if index not in self.broken.alive}
        for row in self.after.rows:
            if row.index not in self.after.alive and row.index not in dead:
                yield Harm("unused", f"{self.target.rpartition('/')[2]}: nothing uses {row.path} {row.op}")
        values, before = (unused_values(run.report) for run in (self.after, self.broken))
        if values > before:
            yield Harm("unused", f"{values} unused values, {before} before")
        for name in sorted(self.broken.live_inputs - self.after.live_inputs):
            yield Harm("unused", f"the input {name} reaches no output")
        unread, read = (len(run.report.unread) for run in (self.after, self.broken))
        if unread > read:
            yield Harm("unused", f"{unread} parameters that nothing reads, {read} before")

    def output(self) -> Iterator[Harm]:
        """Outputs that are gone or new."""
        before, after, right = (
            [output.source for output in run.report.trace.outputs] for run in (self.broken, self.after, self.author)
        )
        if self.broken.whole and self.after.whole and after not in (before, right):
            yield Harm("output", f"outputs {before} → {after}")

    def expect(self) -> Iterator[Harm]:
        """The author's expectations, all of which the author's net meets."""
        for finding in self.after.report.findings:
            if finding.rule.startswith("expect-") and finding.level == "error":
                yield Harm("expect", f"{finding.path or 'the net'}: {finding.message}")
        asked, left = self.before.expectations, self.now.expectations
        if left < asked:
            yield Harm("expect", f"{asked} expectations, {left} left")

    def other_variant(self) -> Iterator[Harm]:
        """A variant that was not checked: where nothing was wrong with it, rows that were right are as they were."""
        if self.broken.conflicting:
            return
        if self.after.conflicting:
            yield Harm("variant", f"{self.target.rpartition('/')[2]} has a conflict")
            return
        for row in self.broken.rows:
            if self.author_sizes(row.index) == self.broken.sizes(row.index) and (words := self.change(row.index)):
                yield Harm("variant", self.named(row.index, words))
        yield from self.expect()


def rows_on(run: Run, file: str, lines: set[int]) -> list[int]:
    """The rows that stand on one of these lines of a file, or in a call that does."""
    return [index for index, spans in enumerate(run.spans) if any(f == file and n in lines for f, n in spans)]


def is_within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def unused_values(report: Report) -> int:
    return sum(finding.rule == "unused-value" for finding in report.findings)


def shapes_text(shapes: Sequence[Shape]) -> str:
    return ", ".join("×".join(map(str, shape)) or "a number" for shape in shapes) or "none"
