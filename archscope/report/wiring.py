"""Nodes → Lines: what each part reads and gives by the names that are known beside it, and the sums of its rows.

    Nodes ─ from the leaves up: read from outside, read by others ─→ Flow ─ from the top down: names ─→ Lines

What a part needs of its rows is told by its children and by running sums, so the cost does not grow with the depth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add, sub

from archscope.report.lines import NOTHING, Line
from archscope.report.model import QUANTITIES, Report, Total
from archscope.report.tree import Node
from archscope.trace import Operand, Value

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
    """The nodes of one level, the node that holds them, and the scope around that."""

    def __init__(self, nodes: Sequence[Node], holder: Node | None, around: Scope | None):
        self.nodes = [node for node in nodes if node.rows]
        self.starts = [node.rows.start for node in self.nodes]
        self.holder, self.around = holder, around

    def find(self, row: int) -> Node | None:
        """The node with this row in it."""
        at = bisect_right(self.starts, row) - 1
        return self.nodes[at] if at >= 0 and row in self.nodes[at].rows else None


def scoped(nodes: Sequence[Node]) -> list[tuple[Node, Scope]]:
    """Every node with its scope, each before its children."""
    top, order = Scope(nodes, None, None), []
    waiting = [(node, top) for node in nodes]
    while waiting:
        node, scope = waiting.pop()
        order.append((node, scope))
        inner = Scope(node.children, node, scope)
        waiting += [(child, inner) for child in node.children]
    return order


class Wiring:
    """What every node of one report reads and gives, and the sums of its rows."""

    def __init__(self, report: Report):
        rows = report.trace.rows
        self.rows, self.index = rows, report.index
        self.flows: dict[int, Flow] = {}
        self.sums = running(row.total for row in report.rows)
        self.derived = running(report.derived.get(row.index, NOTHING) for row in rows) if report.backward else []
        self.learned = list(accumulate(map(report.index.reads_params, rows), initial=0))

    def lines(self, nodes: Sequence[Node]) -> tuple[Line, ...]:
        """The nodes as lines. What a node reads is known before any line has names."""
        order = scoped(nodes)
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
            reads = [operand for row in rows for operand in self.index.activations(row)]
            given = [value for row in rows for value in row.outputs]
        outside = {op.value.id: op for op in reads if self.index.maker_index(op.value.id) not in node.rows}
        return Flow(outside, tuple([value for value in given if self.is_read_outside(value, node.rows)]))

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
            sources=tuple(dict.fromkeys([self.named(op, scope) for op in self.flows[id(node)].reads.values()])),
            outputs=self.outputs(node),
            total=total,
            rows=tuple(rows),
            shared=not total.params and self.learned[rows.stop] > self.learned[rows.start],
            place=node.place,
            children=children,
            backward=between(self.derived, rows) if self.derived else NOTHING,
        )

    def outputs(self, node: Node) -> tuple[Value, ...]:
        """What the last row made; where others read more than that, or the net returns it, what they read."""
        given = self.flows[id(node)].gives
        last = self.rows[node.rows[-1]].outputs if node.rows else ()
        return last if all(value in last for value in given) else given

    def named(self, operand: Operand, scope: Scope) -> str:
        """What a line calls a value: the line beside it, the path of one outside its group, its block's input `x`."""
        maker, level = self.index.maker_index(operand.value.id), scope
        while True:
            found = level.find(maker)
            if found is not None:
                return found.label if level is scope else found.path
            if level.holder and level.holder.kind != "group":
                return "x" if self.is_main_input(operand, level.holder) else operand.source
            if level.around is None:
                return operand.source
            level = level.around

    def is_main_input(self, operand: Operand, block: Node) -> bool:
        """A block's input is what was made last of all it reads from outside; the others go by their full paths."""
        outside = self.flows[id(block)].reads
        return operand.value.id == max(outside, key=self.index.maker_index)
