"""Report → the tree a reader sees: Calls and Rows → Nodes → Lines (named, wired, summed) → folded repeats → N levels.

A block and a group (a path prefix outside blocks, such as `stem`) hold lines; a layer or a written step is one line,
whatever number of rows it ran; a row that a block ran itself is a line of its own. Leaves sum to the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from archscope.errors import Span
from archscope.report.model import PricedRow, Report, Total, params_total
from archscope.trace import Call, Operand, Value

NOTHING = Total()
LAST_NUMBER = re.compile(r"(.*?)(\d+)$")


@dataclass(frozen=True)
class Line:
    """One line. path: in full; label: as its parent shows it (`0-2` after folding). kind: group, block, layer, step,
    row, unread or sum. sources: what it reads, by the names its block knows. rows: the indexes that `total` sums; a
    line folded from `times` equal ones, and every line below it, sums over all of them. shared: reads parameters that
    an earlier line counts."""

    path: str
    label: str
    kind: str
    name: str = ""
    text: str = ""
    sources: tuple[str, ...] = ()
    outputs: tuple[Value, ...] = ()
    total: Total = NOTHING
    rows: tuple[int, ...] = ()
    times: int = 1
    shared: bool = False
    place: Span | None = None
    children: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Node:
    """A part of the tree before it has names and sums."""

    path: str
    label: str
    kind: str
    name: str
    text: str
    rows: tuple[int, ...]
    place: Span | None
    children: tuple[Node, ...] = ()

    @cached_property
    def members(self) -> frozenset[int]:
        return frozenset(self.rows)


def outline(report: Report, *, expand: bool = False, depth: int | None = None) -> tuple[Line, ...]:
    """The lines of the report. Equal repeated siblings are folded; `expand` shows each, and the rows of layers and
    steps that ran several. `depth`: only so many levels."""
    lines = unfolded(report, rows=True) if expand else folded(unfolded(report))
    return prune(lines, depth) if depth else lines


def unfolded(report: Report, *, rows: bool = False) -> tuple[Line, ...]:
    """Every line, repeated ones too; with `rows` also those of layers and steps that ran several."""
    nodes = tuple(groups(Tree(report, rows).top(), ""))
    lines = tuple(Wiring(report).lines(nodes, ()))
    if not report.unread:
        return lines
    text = "parameters not reached" if report.trace.failure else "parameters that nothing reads"
    return (*lines, Line("", "unread", "unread", text=text, total=params_total(report.unread)))


def prune(lines: Iterable[Line], depth: int) -> tuple[Line, ...]:
    """The upper `depth` levels; what is cut off stays in the sums above it."""
    return tuple(replace(line, children=prune(line.children, depth - 1) if depth > 1 else ()) for line in lines)


def leaves(lines: Iterable[Line], level: int = 1) -> Iterator[tuple[int, Line]]:
    """The lines without children, with their level (1 at the top). Their totals sum to the report's."""
    for line in lines:
        if line.children:
            yield from leaves(line.children, level + 1)
        else:
            yield level, line


# ------------------------------------------------------------ calls and rows → nodes
class Tree:
    """The calls and rows of one trace by their parents."""

    def __init__(self, report: Report, expand: bool):
        self.rows, self.calls, self.expand = report.trace.rows, report.trace.calls, expand
        self.inside: dict[int, list[Call]] = {}
        self.direct: dict[int, list[int]] = {}
        for call in self.calls:
            self.inside.setdefault(call.parent, []).append(call)
        for row in self.rows:
            self.direct.setdefault(row.call, []).append(row.index)
        self.spans = self._spans()

    def _spans(self) -> dict[int, tuple[int, ...]]:
        """Call → the indexes of all rows inside it."""
        spans: dict[int, tuple[int, ...]] = {}
        for call in reversed(self.calls):
            inner = [index for child in self.inside.get(call.index, ()) for index in spans[child.index]]
            spans[call.index] = tuple(sorted([*inner, *self.direct.get(call.index, ())]))
        return spans

    def top(self) -> tuple[Node, ...]:
        return self.below(-1, "")

    def below(self, parent: int, base: str) -> tuple[Node, ...]:
        """Calls and direct rows below a call, as they ran; one without a row stands where the next with rows does."""
        position, placed = len(self.rows), []
        for call in reversed(self.inside.get(parent, ())):
            position = min(self.spans[call.index], default=position)
            placed.append((position, 0, call.index, self.called(call, base)))
        placed += [(index, 1, index, (self.row(index, base),)) for index in self.direct.get(parent, ())]
        return tuple(node for *_, nodes in sorted(placed, key=lambda item: item[:3]) for node in nodes)

    def called(self, call: Call, base: str) -> tuple[Node, ...]:
        """The call as a node; the whole net's own call (path "") gives way to what it holds."""
        site = call.site
        if not site.path:
            return self.below(call.index, "")
        whole = self.spans[call.index]
        opened = site.kind == "block" or (self.expand and (len(whole) > 1 or call.index in self.inside))
        children = self.below(call.index, site.path) if opened else ()
        label = relative(site.path, base) or site.name
        return (Node(site.path, label, site.kind, site.name, site.text, whole, site.place, children),)

    def row(self, index: int, base: str) -> Node:
        row = self.rows[index]
        label = relative(row.path, base) or row.op
        return Node(row.path, label, "row", row.op, "", (index,), row.place)


def relative(path: str, base: str) -> str:
    """`path` as seen from `base`; empty where they are the same."""
    if path == base:
        return ""
    return path.removeprefix(base + ".") if base else path


def groups(nodes: Iterable[Node], prefix: str) -> Iterator[Node]:
    """Neighbours that share a path prefix, below a node of their own; where there is only one, or the prefix is a
    call's own path, they stay."""
    for key, run in groupby(nodes, key=lambda node: node.path.removeprefix(prefix).split(".")[0]):
        members, path = tuple(run), prefix + key
        if len(members) == 1 or any(node.path == path for node in members):
            yield from (replace(node, label=node.path.removeprefix(prefix) or node.label) for node in members)
        else:
            rows = tuple(index for node in members for index in node.rows)
            yield Node(path, key, "group", form(members, path), "", rows, None, tuple(groups(members, path + ".")))


def form(members: Sequence[Node], path: str) -> str:
    """What a group is, where the operation that ends it says so: `residual`, `concat` …; empty for a plain group."""
    ends = {"add": "add", "cat": "concat", "mul": "multiply", "stack": "stack"}
    name = ends.get(members[-1].path.removeprefix(path + "."), "") if members[-1].kind == "step" else ""
    sides = any(node.path.startswith((f"{path}.main.", f"{path}.shortcut.")) for node in members)
    return "residual" if name == "add" and (sides or members[0].path == f"{path}.main") else name


# ------------------------------------------------------------ nodes → lines
Scope = tuple[dict[int, Node], Node | None]
"""The nodes of one level by the rows inside them, and the node that holds the level."""


class Wiring:
    """Who made and who reads every value of one trace."""

    def __init__(self, report: Report):
        self.report = report
        self.priced: Sequence[PricedRow] = report.rows
        self.maker = {value.id: row.index for row in report.trace.rows for value in row.outputs}
        self.readers: dict[int, list[int]] = {}
        for row in report.trace.rows:
            for operand in row.inputs:
                self.readers.setdefault(operand.value.id, []).append(row.index)
        self.results = {operand.value.id for operand in report.trace.outputs}

    def lines(self, nodes: Sequence[Node], scopes: tuple[Scope, ...], holder: Node | None = None) -> Iterator[Line]:
        within = (*scopes, ({index: node for node in nodes for index in node.rows}, holder))
        return (self.line(node, within) for node in nodes)

    def line(self, node: Node, scopes: tuple[Scope, ...]) -> Line:
        total = Total.of(self.priced[index].total for index in node.rows)
        return Line(
            path=node.path,
            label=node.label,
            kind=node.kind,
            name=node.name,
            text=node.text,
            sources=tuple(dict.fromkeys(self.named(operand, scopes) for operand in self.reads(node))),
            outputs=self.gives(node),
            total=total,
            rows=node.rows,
            shared=not total.params and self.reads_params(node),
            place=node.place,
            children=tuple(self.lines(node.children, scopes, node)),
        )

    def reads(self, node: Node) -> list[Operand]:
        """The values from outside that the node's rows read, each once, no parameters."""
        operands = (op for index in node.rows for op in self.report.activations(self.report.trace.rows[index]))
        outside = {op.value.id: op for op in operands if self.maker.get(op.value.id) not in node.members}
        return list(outside.values())

    def reads_params(self, node: Node) -> bool:
        return any(self.report.reads_params(self.report.trace.rows[index]) for index in node.rows)

    def gives(self, node: Node) -> tuple[Value, ...]:
        """What the last row made; where others read more than that, or the net returns it, what they read."""
        rows = [self.report.trace.rows[index] for index in node.rows]
        given = tuple(value for row in rows for value in row.outputs if self.is_read_outside(value, node))
        last = rows[-1].outputs if rows else ()
        return last if set(given) <= set(last) else given

    def is_read_outside(self, value: Value, node: Node) -> bool:
        readers = self.readers.get(value.id, ())
        return value.id in self.results or any(index not in node.members for index in readers)

    def named(self, operand: Operand, scopes: tuple[Scope, ...]) -> str:
        """What a line calls a value: the line beside it, the path of one outside its group, its block's input `x`."""
        maker = self.maker.get(operand.value.id, -1)
        for level, (nodes, holder) in enumerate(reversed(scopes)):
            if maker in nodes:
                return nodes[maker].path if level else nodes[maker].label
            if holder and holder.kind != "group":
                return "x" if self.is_main_input(operand, holder) else operand.source
        return operand.source

    def is_main_input(self, operand: Operand, block: Node) -> bool:
        """A block's input is what was made last of all it reads from outside; the others go by their full paths."""
        outside = self.reads(block)
        return operand.value.id == max(outside, key=lambda op: self.maker.get(op.value.id, -1)).value.id


# ------------------------------------------------------------ repeats
def folded(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Runs of equal siblings, each fed by the one before it or all by the same, as one line with `times`."""
    lines = [replace(line, children=folded(line.children)) for line in lines]
    runs: list[list[Line]] = []
    for line in lines:
        if runs and follows(runs[-1], line):
            runs[-1].append(line)
        else:
            runs.append([line])
    return tuple(lifted(merged(run) if len(run) > 1 else run[0]) for run in runs)


def lifted(line: Line) -> Line:
    """A group that folding left with one line gives way to it: `layer1.0-2`."""
    if line.kind != "group" or len(line.children) > 1:
        return line
    (only,) = line.children
    return replace(only, label=f"{line.label}.{only.label}", sources=line.sources)


def follows(run: Sequence[Line], line: Line) -> bool:
    """Whether `line` is one more turn of `run`."""
    first, last = run[0], run[-1]
    numbers = LAST_NUMBER.fullmatch(last.label), LAST_NUMBER.fullmatch(line.label)
    if not numbers[0] or not numbers[1] or last.kind == "unread":
        return False
    in_turn = numbers[0][1] == numbers[1][1] and int(numbers[0][2]) + 1 == int(numbers[1][2])
    pairs = zip(first.sources, line.sources, strict=False)
    fed = len(first.sources) == len(line.sources) and all(new in (old, last.label) for old, new in pairs)
    return in_turn and fed and likeness(first) == likeness(line)


def likeness(line: Line) -> tuple:
    """What equal siblings share: everything but where they stand."""
    below = zip(wires(line), (child.label for child in line.children), map(likeness, line.children), strict=True)
    shapes = tuple((value.shape, value.dtype) for value in line.outputs)
    return line.kind, line.name, line.text, line.total, line.times, line.shared, shapes, tuple(below)


def wires(line: Line) -> list[tuple[str, ...]]:
    """What each line below reads; a group has no inputs with names of their own, so they go by their order."""
    inside = {child.label for child in line.children} if line.kind == "group" else None
    reads = dict.fromkeys(name for child in line.children for name in child.sources)
    outside = [name for name in reads if inside is not None and name not in inside]
    names = {name: f"input {number}" for number, name in enumerate(outside)}
    return [tuple(names.get(name, name) for name in child.sources) for child in line.children]


def merged(run: Sequence[Line]) -> Line:
    """The run as one line: label `0-2`, sums over all, and the same for every line below."""
    first, last = run[0], LAST_NUMBER.fullmatch(run[-1].label)
    return replace(together(run), label=f"{first.label}-{last[2] if last else ''}", times=len(run))


def together(run: Sequence[Line]) -> Line:
    return replace(
        run[0],
        total=Total.of(line.total for line in run),
        rows=tuple(index for line in run for index in line.rows),
        children=tuple(together(same) for same in zip(*(line.children for line in run), strict=True)),
    )


# ------------------------------------------------------------ costs by part, type and depth
def breakdown(report: Report, by: str, *, depth: int | None = None) -> tuple[Line, ...]:
    """The report's costs by `module` (top-level parts, or `depth` levels of them), `type` (layer or function) or
    `depth` (how deep the lines stand). `times` counts what was summed."""
    if by == "module":
        return outline(report, depth=depth or 1)
    if by == "depth":
        deep = sorted(leaves(unfolded(report)), key=lambda pair: pair[0])
        return tuple(gathered((f"level {level}", line) for level, line in deep))
    kinds = gathered(pair for _, line in leaves(unfolded(report)) for pair in kinds_of(line, report))
    return tuple(sorted(kinds, key=lambda line: (-line.total.known, -line.total.params)))


def kinds_of(line: Line, report: Report) -> Iterator[tuple[str, Line]]:
    """A layer is of its class's kind; of a step every row is of its own."""
    if line.kind in ("layer", "unread"):
        yield line.name or line.label, line
        return
    for index in line.rows:
        row = report.rows[index]
        yield row.op, Line(row.path, row.op, "row", total=row.total, rows=(index,))


def gathered(pairs: Iterable[tuple[str, Line]]) -> Iterator[Line]:
    """The lines under each key as one, in the order of the first."""
    found: dict[str, list[Line]] = {}
    for key, line in pairs:
        found.setdefault(key, []).append(line)
    for key, same in found.items():
        rows = tuple(index for line in same for index in line.rows)
        yield Line(key, key, "sum", total=Total.of(line.total for line in same), rows=rows, times=len(same))
