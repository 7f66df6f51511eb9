"""Nodes → Lines: what each part reads and gives by the names that are known beside it, and the sums of its rows.

    Nodes ─ from the leaves up: read from outside, read by others ─→ Flow ─ from the top down: names ─→ Lines

What a part needs of its rows is told by its children and by running sums, so the cost does not grow with the depth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add, sub

from archscope.report.lines import NOTHING, Line
from archscope.report.model import QUANTITIES, Report, Total
from archscope.report.tree import Node
from archscope.trace import Operand, Row, Trace, Value
from archscope.trace_index import TraceIndex

Sums = tuple[int, ...]
"""The quantities of a Total."""


def running(totals: Iterable[Total]) -> list[Sums]:
    """The sums before each row, and after the last."""
    return list(accumulate(map(QUANTITIES, totals), lambda s, more: tuple(map(add, s, more)), initial=ZERO))


def between(sums: Sequence[Sums], rows: range) -> Total:
    """The sums over some neighbours."""
    return Total(*map(sub, sums[rows.stop], sums[rows.start]))


ZERO: Sums = QUANTITIES(NOTHING)
"""The sums before the first row."""


@dataclass(frozen=True)
class Flow:
    """What a node reads from outside, each value once, without parameters; and what of it is read outside."""

    reads: dict[int, Operand]
    gives: tuple[Value, ...]


class Scope:
    """The nodes of one level, the node that holds them, and the scope around that. inputs: of the block or net, where
    this is its own list: id of a value → its name."""

    def __init__(self, nodes: Sequence[Node], holder: Node | None, around: Scope | None, inputs: Iterable[Operand]):
        self.nodes = [node for node in nodes if node.rows]
        self.starts = [node.rows.start for node in self.nodes]
        self.holder, self.around = holder, around
        self.inputs = {operand.value.id: operand.source for operand in reversed(tuple(inputs))}
        self.without_rows = {node.path: node for node in nodes if not node.rows}
        self.labels = frozenset([node.label for node in nodes])
        self.names = self.labels.union(self.inputs.values())

    def find(self, row: int) -> Node | None:
        """The node with this row in it."""
        at = bisect_right(self.starts, row) - 1
        return self.nodes[at] if at >= 0 and row in self.nodes[at].rows else None


def scoped(nodes: Sequence[Node], inputs: Iterable[Operand]) -> list[tuple[Node, Scope]]:
    """Every node with its scope, each before its children. inputs: the net's."""
    top, order = Scope(nodes, None, None, inputs), []
    waiting = [(node, top) for node in nodes]
    while waiting:
        node, scope = waiting.pop()
        order.append((node, scope))
        inner = Scope(node.children, node, scope, () if node.kind == "step" else node.inputs)
        waiting += [(child, inner) for child in node.children]
    return order


def name_of(trace: Trace) -> str:
    """What the net is called: the start of a path where a position alone would mislead."""
    return next((call.site.name for call in trace.calls if not call.site.path), "") or "net"


def without_rows(index: TraceIndex) -> frozenset[str]:
    """The paths of steps that only name a parameter: they run nothing."""
    steps = [(call.site.path, bool(index.spans[call.index])) for call in index.trace.calls if call.site.kind == "step"]
    return frozenset([path for path, ran in steps if not ran]).difference([path for path, ran in steps if ran])


class Wiring:
    """What every node of one report reads and gives, and the sums of its rows."""

    def __init__(self, report: Report):
        rows = report.trace.rows
        self.rows, self.index, self.inputs = rows, report.index, report.trace.inputs
        self.name, self.without_rows = name_of(report.trace), without_rows(report.index)
        self.given = frozenset([operand.value.id for call in report.trace.calls for operand in call.inputs])
        self.flows: dict[int, Flow] = {}
        self.sums = running(row.total for row in report.rows)
        self.derived = running(report.derived.get(row.index, NOTHING) for row in rows) if report.backward else []
        self.learned = list(accumulate(map(report.index.reads_params, rows), initial=0))

    def lines(self, nodes: Sequence[Node]) -> tuple[Line, ...]:
        """The nodes as lines. What a node reads is known before any line has names."""
        order = scoped(nodes, self.inputs)
        made: dict[int, Line] = {}
        for node, _ in reversed(order):
            self.flows[id(node)] = self.flow_of(node)
        for node, scope in reversed(order):
            made[id(node)] = self.line(node, scope, tuple([made[id(child)] for child in node.children]))
        return tuple([made[id(node)] for node in nodes])

    def flow_of(self, node: Node) -> Flow:
        inner = [self.flows[id(child)] for child in node.children]
        if node.children:
            reads = [operand for flow in inner for operand in flow.reads.values()]
            given = [value for flow in inner for value in flow.gives]
        else:
            rows = self.rows[node.rows.start : node.rows.stop]
            reads = [operand for row in rows for operand in self.read_by(row)]
            given = [value for row in rows for value in row.outputs]
        if node.kind == "step":  # what `return:` gives as it is
            reads += node.inputs
        outside = {op.value.id: op for op in reads if not self.is_inside(op, node)}
        return Flow(outside, tuple([value for value in given if self.is_read_outside(value, node.rows)]))

    def read_by(self, row: Row) -> Sequence[Operand]:
        """What a row reads of what flows, and of the parameters that are a step, or an input of a block."""
        return [operand for operand in row.inputs if self.has_name(operand)]

    def has_name(self, operand: Operand) -> bool:
        value = operand.value.id
        return value in self.index.flowing or value in self.given or operand.source in self.without_rows

    def is_inside(self, operand: Operand, node: Node) -> bool:
        """Whether an operand comes to be in a node."""
        if self.index.maker_index(operand.value.id) in node.rows:
            return True
        return operand.source in self.without_rows and operand.source.startswith(f"{node.path}.")

    def is_read_outside(self, value: Value, rows: range) -> bool:
        readers = self.index.readers(value.id)
        outside = bool(readers) and (readers[0].index < rows.start or readers[-1].index >= rows.stop)
        return outside or value.id in self.index.results

    def line(self, node: Node, scope: Scope, children: tuple[Line, ...]) -> Line:
        rows = node.rows
        total = between(self.sums, rows)
        return Line(
            path=node.path,
            label=node.label,
            kind=node.kind,
            name=node.name,
            text=node.text,
            sources=self.sources(node, scope),
            outputs=self.outputs(node),
            total=total,
            rows=tuple(rows),
            shared=not total.params and self.learned[rows.stop] > self.learned[rows.start],
            place=node.place,
            children=children,
            backward=between(self.derived, rows) if self.derived else NOTHING,
            reads=tuple(self.flows[id(node)].reads.values()),
        )

    def sources(self, node: Node, scope: Scope) -> tuple[str, ...]:
        """The names of what a line reads, each line and input once; a parameter of its own has none."""
        named = dict([self.named(operand, scope) for operand in self.flows[id(node)].reads.values()])
        return tuple([name for name in named.values() if name])

    def outputs(self, node: Node) -> tuple[Value, ...]:
        """What the last row made; where others read more than that, or the net returns it, what they read."""
        given = self.flows[id(node)].gives
        last = self.rows[node.rows[-1]].outputs if node.rows else ()
        return last if all(value in last for value in given) else given

    def named(self, operand: Operand, scope: Scope) -> tuple[Hashable, str]:
        """What a line calls a value, after what tells it from others: an input of its block, or the nearest line."""
        value, maker = operand.value.id, self.index.maker_index(operand.value.id)
        within: list[Scope] = []
        level: Scope | None = scope
        while level is not None:
            found = level.find(maker) if maker >= 0 else level.without_rows.get(operand.source)
            if found is not None:
                return id(found), self.reference(found, level, within)
            if value in level.inputs:
                return level.inputs[value], level.inputs[value]
            within.append(level)
            level = level.around
        return operand.source, operand.source if value in self.index.flowing else ""

    def reference(self, found: Node, level: Scope, within: Sequence[Scope]) -> str:
        """A line's name as it is seen from a list within its own: by its label, or, where that is a position in another
        list or stands for something else as well, by the path from the net on."""
        label = found.label
        hidden = label in level.inputs.values() or any(label in scope.names for scope in within)
        if not hidden and not (within and label[:1].isdigit()):
            return label
        if level.holder is None:
            return f"{self.name}.{label}"
        return found.path if found.path != level.holder.path else f"{found.path}.{label}"
