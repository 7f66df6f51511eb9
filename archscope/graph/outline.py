"""The outline of a report as readers see it: Calls and Rows → OutlineNodes → OutlineLines, with repeats folded.

A block and a group (a path prefix outside blocks, such as `stem`) hold lines; a layer or a written step is one line,
however many rows it ran; a row that a block ran itself is its own line. The leaves sum to the totals.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from archscope import units
from archscope.graph.nodes import LineSources, OutlineTree, group_nodes
from archscope.graph.outline_lines import ZERO_TOTAL, OutlineLine, leaf_lines, prune_lines, rebuild_lines
from archscope.report.report import Report, Total, params_total
from archscope.trace import Param

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


def outline(report: Report, *, expand: bool = False, depth: int | None = None) -> tuple[OutlineLine, ...]:
    """Return the lines of the report, with equal repeated siblings folded.

    expand: show each of them, and the rows of layers and steps that ran several. depth: the number of levels.
    """
    lines = full_outline(report, rows=True) if expand else fold_repeats(full_outline(report))
    return prune_lines(lines, depth) if depth else lines


def full_outline(report: Report, *, rows: bool = False) -> tuple[OutlineLine, ...]:
    """Return every line, repeated ones too; with `rows` also those of layers and steps that ran several."""
    nodes = tuple(group_nodes(OutlineTree(report.index, rows).top_nodes(), ""))
    lines = drop_failed_line(LineSources(report).lines(nodes), report)
    return (*lines, *failed_lines(report), *unattributed_lines(report), *unread_lines(report))


def drop_failed_line(lines: Iterable[OutlineLine], report: Report) -> tuple[OutlineLine, ...]:
    """Return the lines without the empty line of the layer that ended the forward pass, and without blocks that held
    only it: `failed_lines` yields its line."""
    found, failure = tuple(lines), report.trace.failure
    path = failure.site.path if failure is not None and not failure.backward else ""
    ended = [
        line for _, line in leaf_lines(found) if path and line.path == path and line.kind == "layer" and not line.rows
    ]
    if not ended:
        return found
    dropped: set[int] = set()

    def make(_: int, line: OutlineLine, below: tuple[OutlineLine, ...]) -> OutlineLine:
        rebuilt = replace(line, children=tuple(child for child in below if id(child) not in dropped))
        if line is ended[-1] or (below and not rebuilt.children and not rebuilt.rows):
            dropped.add(id(rebuilt))
        return rebuilt

    return tuple(line for line in rebuild_lines(found, make) if id(line) not in dropped)


def failed_lines(report: Report) -> Iterator[OutlineLine]:
    """Yield the line of the step that ended the forward pass: it has no row, and its cost is unknown."""
    failure = report.trace.failure
    if failure is None or failure.backward:
        return
    site, reads = failure.site, tuple(op for op in failure.operands if op.value.id in report.index.activation_ids)
    path = site.path or failure.function or "forward"
    name = site.name if site.path else ""
    sources, unknown = tuple(operand.source for operand in reads), Total(unrun=1)
    yield OutlineLine(path, path, "failed", name, site.text, sources, total=unknown, place=site.place, reads=reads)


def unattributed_lines(report: Report) -> Iterator[OutlineLine]:
    """Yield the backward rows without a forward row: work of a custom Function, or the second forward pass of a
    checkpoint."""
    for row in report.unattributed_backward:
        yield OutlineLine(row.op, row.op, "backward", text="backward, of no layer", backward=row.total)


def unread_lines(report: Report) -> Iterator[OutlineLine]:
    if not report.trace.ran:
        yield from module_param_lines(report)
        return
    text = "parameters that nothing reads" if report.finished else "parameters not reached"
    if report.unread:
        own = replace(params_total(report.unread), unrun=int(not report.finished))
        yield OutlineLine("unread", "unread", "unread", text=text, total=own)


def module_param_lines(report: Report) -> Iterator[OutlineLine]:
    """Yield a line for each module that holds parameters, with their names and shapes; for a tied one, with its first
    name."""
    holders: dict[str, list[Param]] = {}
    for param in report.trace.params:
        holders.setdefault(param.name.rpartition(".")[0], []).append(param)
    for path, params in holders.items():
        text = ", ".join(f"{p.name.rpartition('.')[2]} {p.tied_to or units.format_shape(p.shape)}" for p in params)
        own = params_total(param for param in params if not param.tied_to)
        yield OutlineLine(path, path or "the model itself", "unread", text=text, total=replace(own, unrun=1))


def breakdown(report: Report, by: str, *, depth: int | None = None, expand: bool = False) -> tuple[OutlineLine, ...]:
    """Return the report's costs summed by `module`, `type` (layer class or function) or `depth` (level of the lines).

    depth: for `module`, the number of levels (1 by default). expand: for `module`, do not fold repeats. `times` of a
    line is the number of lines summed in it.
    """
    if by == "module":
        return outline(report, depth=depth or 1, expand=expand)
    if by == "depth":
        deep = sorted(leaf_lines(full_outline(report)), key=lambda pair: pair[0])
        return tuple(sum_lines_by_key((f"level {level}", line) for level, line in deep))
    kinds = sum_lines_by_key(
        pair for _, line in leaf_lines(full_outline(report)) for pair in lines_by_type(line, report)
    )
    return tuple(sorted(kinds, key=lambda line: (-line.total.known, -line.total.params)))


def lines_by_type(line: OutlineLine, report: Report) -> Iterator[tuple[str, OutlineLine]]:
    """Yield the line with its type as key: a layer's class, or, for a step, each of its rows with its function."""
    if line.kind in ("layer", "failed", "unread", "backward"):
        yield line.name or line.label, line
        return
    for index in line.rows:
        row = report.rows[index]
        backward = report.backward_by_row.get(index, ZERO_TOTAL)
        yield row.op, OutlineLine(row.path, row.op, "row", total=row.total, rows=(index,), backward=backward)


def sum_lines_by_key(pairs: Iterable[tuple[str, OutlineLine]]) -> Iterator[OutlineLine]:
    """Yield one summed line for each key, in the order of their first lines."""
    found: dict[str, list[OutlineLine]] = {}
    for key, line in pairs:
        found.setdefault(key, []).append(line)
    for key, same in found.items():
        rows = tuple(index for line in same for index in line.rows)
        total, backward = Total.of(line.total for line in same), Total.of(line.backward for line in same)
        kind = "failed" if any(line.kind == "failed" for line in same) else "sum"
        yield OutlineLine(key, key, kind, total=total, rows=rows, times=len(same), backward=backward)
