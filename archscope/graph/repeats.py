"""Folding of equal siblings: runs of equal OutlineLines become one line with `times`."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from archscope.graph.lines import OutlineLine, rebuild_lines
from archscope.report.report import Total

TRAILING_NUMBER = re.compile(r"(.*?)(\d+)$")


def fold_repeats(lines: Sequence[OutlineLine]) -> tuple[OutlineLine, ...]:
    """Return the lines with runs of equal siblings as one line with `times`. In a run, each line reads the one before
    it, or all read the same."""
    return RepeatFolder().fold(lines)


@dataclass(frozen=True)
class RepeatFolder:
    """Equality classes of lines: `numbers` gives each set of shared properties a number, `known` each line its
    number."""

    numbers: dict[Hashable, int] = field(default_factory=dict)
    known: dict[int, tuple[OutlineLine, int]] = field(default_factory=dict)

    def fold(self, lines: Sequence[OutlineLine]) -> tuple[OutlineLine, ...]:
        return self.join_runs(rebuild_lines(lines, lambda _, line, below: self.fold_children(line, below)))

    def fold_children(self, line: OutlineLine, below: Sequence[OutlineLine]) -> OutlineLine:
        """Return the line with its folded children; its class is computed now, so that the recursion stays shallow."""
        folded = replace(line, children=self.join_runs(below)) if below else line
        self.equality_class(folded)
        return folded

    def join_runs(self, lines: Sequence[OutlineLine]) -> tuple[OutlineLine, ...]:
        """Return siblings with each run of equal ones as one line."""
        runs: list[list[OutlineLine]] = []
        for line in lines:
            if runs and self.continues_run(runs[-1], line):
                runs[-1].append(line)
            else:
                runs.append([line])
        return tuple([lift_single_line(merge_run(run) if len(run) > 1 else run[0]) for run in runs])

    def continues_run(self, run: Sequence[OutlineLine], line: OutlineLine) -> bool:
        """Return whether `line` is one more repetition of `run`."""
        first, last = run[0], run[-1]
        numbers = TRAILING_NUMBER.fullmatch(last.label), TRAILING_NUMBER.fullmatch(line.label)
        if not numbers[0] or not numbers[1] or last.kind == "unread":
            return False
        consecutive = numbers[0][1] == numbers[1][1] and int(numbers[0][2]) + 1 == int(numbers[1][2])
        pairs = zip(first.sources, line.sources, strict=False)
        same_sources = len(first.sources) == len(line.sources) and all(new in (old, last.label) for old, new in pairs)
        return consecutive and same_sources and self.equality_class(first) == self.equality_class(line)

    def equality_class(self, line: OutlineLine) -> int:
        """Return a number that equal siblings share: equal in everything but their position."""
        found = self.known.get(id(line))
        if found is None:
            below = zip(
                child_sources(line), [(child.label, self.equality_class(child)) for child in line.children], strict=True
            )
            shapes = tuple([(value.shape, value.dtype) for value in line.outputs])
            totals = line.total, line.backward
            kinds = line.kind, line.name, line.text, totals, line.times, line.shared, shapes, tuple(below)
            found = self.known[id(line)] = line, self.numbers.setdefault(kinds, len(self.numbers))
        return found[1]


def lift_single_line(line: OutlineLine) -> OutlineLine:
    """Return the only line of a group that folding left with one: `layer1.0-2`; other lines unchanged."""
    if line.kind != "group" or len(line.children) > 1:
        return line
    (only,) = line.children
    return replace(only, label=f"{line.label}.{only.label}", sources=line.sources)


def child_sources(line: OutlineLine) -> list[tuple[str, ...]]:
    """Return the sources of each child. A group has no named inputs, so they are numbered in order."""
    if line.kind != "group":
        return [child.sources for child in line.children]
    inside = {child.label for child in line.children}
    reads = dict.fromkeys(name for child in line.children for name in child.sources)
    outside = [name for name in reads if name not in inside]
    names = {name: f"input {number}" for number, name in enumerate(outside)}
    return [tuple(names.get(name, name) for name in child.sources) for child in line.children]


def merge_run(run: Sequence[OutlineLine]) -> OutlineLine:
    """Return the run as one line: label `0-2`, sums over all, and the same for every line below."""
    first, last = run[0], TRAILING_NUMBER.fullmatch(run[-1].label)
    return replace(sum_run(run), label=f"{first.label}-{last[2] if last else ''}", times=len(run))


def sum_run(run: Sequence[OutlineLine]) -> OutlineLine:
    below = zip(*(line.children for line in run), strict=True)
    return replace(
        run[0],
        total=Total.of(line.total for line in run),
        backward=Total.of(line.backward for line in run),
        rows=tuple([index for line in run for index in line.rows]),
        children=tuple([sum_run(same) for same in below]),
    )
