"""The calls and rows of a trace as a tree of nodes, with the sources, outputs and sums of each.

    Calls, Rows ─ blocks hold what they ran, groups hold siblings with one prefix ─→ OutlineNodes

    OutlineNodes ─ leaves first: values read from and by others ─→ NodeValues ─ names, top down ─→ OutlineLines

A node is computed from its children and from running sums, so the cost does not grow with the depth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from operator import add, sub

from archscope.errors import Span
from archscope.graph.outline_lines import ZERO_TOTAL, OutlineLine
from archscope.report.report import QUANTITIES, Report, Total
from archscope.trace import Call, Operand, Value
from archscope.trace_index import TraceIndex, merge_ranges


@dataclass(frozen=True)
class OutlineNode:
    """A node of the tree before it has names and sums.

    rows: the indexes of all rows in it. inputs: of a block, under its own names; of a `return:`, what it returns
    unchanged.
    """

    path: str
    label: str
    kind: str
    name: str
    text: str
    rows: range
    place: Span | None
    children: tuple[OutlineNode, ...] = ()
    inputs: tuple[Operand, ...] = ()


class OutlineTree:
    """The calls and rows of one trace by their parents."""

    def __init__(self, index: TraceIndex, expand: bool):
        self.rows, self.calls, self.expand = index.trace.rows, index.trace.calls, expand
        self.child_calls: dict[int, list[Call]] = {}
        self.own_rows: dict[int, list[int]] = {}
        for call in self.calls:
            self.child_calls.setdefault(call.parent, []).append(call)
        for row in self.rows:
            self.own_rows.setdefault(row.call, []).append(row.index)
        self.spans = index.row_spans

    def top_nodes(self) -> tuple[OutlineNode, ...]:
        """Return the nodes of the whole net. A call is recorded after its caller, so nodes are made from the last call
        on."""
        nodes_by_call: dict[int, tuple[OutlineNode, ...]] = {}
        for call in reversed(self.calls):
            nodes_by_call[call.index] = self.call_nodes(call, nodes_by_call)
        return self.child_nodes(-1, nodes_by_call)

    def call_nodes(self, call: Call, nodes_by_call: Mapping[int, tuple[OutlineNode, ...]]) -> tuple[OutlineNode, ...]:
        """Return the call as a node; the call of the whole net (path "") is replaced by its children."""
        site = call.site
        if not site.path:
            return self.child_nodes(call.index, nodes_by_call)
        whole = self.spans[call.index]
        opened = site.kind == "block" or (self.expand and (len(whole) > 1 or call.index in self.child_calls))
        children = self.child_nodes(call.index, nodes_by_call) if opened else ()
        label = relative_path(site.path, self.base_path(call.parent)) or site.name
        return (
            OutlineNode(site.path, label, site.kind, site.name, site.text, whole, site.place, children, call.inputs),
        )

    def child_nodes(self, parent: int, nodes_by_call: Mapping[int, tuple[OutlineNode, ...]]) -> tuple[OutlineNode, ...]:
        """Return the calls and direct rows below a call in execution order; a call without rows comes before the next
        one with rows."""
        position, placed = len(self.rows), []
        for call in reversed(self.child_calls.get(parent, ())):
            position = min(self.spans[call.index], default=position)
            placed.append((position, 0, call.index, nodes_by_call[call.index]))
        placed += [(index, 1, index, (self.row_node(index, parent),)) for index in self.own_rows.get(parent, ())]
        placed.sort(key=lambda item: item[:3])
        return tuple([node for *_, nodes in placed for node in nodes])

    def base_path(self, parent: int) -> str:
        """Return the path that labels below a call are relative to."""
        return self.calls[parent].site.path if parent >= 0 else ""

    def row_node(self, index: int, parent: int) -> OutlineNode:
        """Return a row that a block or step ran itself; a row of the net itself has its function's name as path."""
        row = self.rows[index]
        label = relative_path(row.path, self.base_path(parent)) or row.op
        return OutlineNode(row.path or row.op, label, "row", row.op, "", range(index, index + 1), row.place)


def relative_path(path: str, base: str) -> str:
    """Return `path` relative to `base`; empty if they are the same."""
    if path == base:
        return ""
    return path.removeprefix(base + ".") if base else path


def group_nodes(nodes: Iterable[OutlineNode], prefix: str) -> Iterator[OutlineNode]:
    """Yield siblings that share a path prefix below a node of their own; a single one, or a prefix that is a call's own
    path, stays as it is."""
    for key, run in groupby(nodes, key=lambda node: node.path.removeprefix(prefix).split(".")[0]):
        members, path = tuple(run), prefix + key
        if len(members) == 1 or any(node.path == path for node in members):
            yield from (replace(node, label=node.path.removeprefix(prefix) or node.label) for node in members)
        else:
            rows, inner = merge_ranges(node.rows for node in members), tuple(group_nodes(members, path + "."))
            yield OutlineNode(path, key, "group", group_form(members, path), "", rows, None, inner)


def group_form(members: Sequence[OutlineNode], path: str) -> str:
    """Return `residual`, `concat` … if the group's last operation says so; empty for a plain group."""
    ends = {"add": "add", "cat": "concat", "mul": "multiply", "stack": "stack"}
    name = ends.get(members[-1].path.removeprefix(path + "."), "") if members[-1].kind == "step" else ""
    sides = any(node.path.startswith((f"{path}.main.", f"{path}.shortcut.")) for node in members)
    return "residual" if name == "add" and (sides or members[0].path == f"{path}.main") else name


QuantitySums = tuple[int, ...]
"""The quantities of a Total, in the order of its fields."""
ZERO_SUMS: QuantitySums = QUANTITIES(ZERO_TOTAL)
"""The sums before the first row."""


def running_sums(totals: Iterable[Total]) -> list[QuantitySums]:
    """Return the sums before each row, and after the last."""
    return list(accumulate(map(QUANTITIES, totals), lambda s, more: tuple(map(add, s, more)), initial=ZERO_SUMS))


def sum_range(sums: Sequence[QuantitySums], rows: range) -> Total:
    """Return the sums over a range of consecutive rows."""
    return Total(*map(sub, sums[rows.stop], sums[rows.start]))


@dataclass(frozen=True)
class NodeValues:
    """The values that a node reads from outside, each once, without parameters; and those of its own that others
    read."""

    reads: dict[int, Operand]
    gives: tuple[Value, ...]


class NodeLevel:
    """The nodes of one level, the node that holds them, and the enclosing level.

    inputs: id of a value → its name, for the inputs of the block or net that the level belongs to.
    """

    def __init__(
        self,
        nodes: Sequence[OutlineNode],
        holder: OutlineNode | None,
        around: NodeLevel | None,
        inputs: Iterable[Operand],
    ):
        self.nodes = [node for node in nodes if node.rows]
        self.starts = [node.rows.start for node in self.nodes]
        self.holder, self.outer = holder, around
        self.inputs = {operand.value.id: operand.source for operand in reversed(tuple(inputs))}
        self.without_rows = {node.path: node for node in nodes if not node.rows}
        self.labels = frozenset([node.label for node in nodes])
        self.names = self.labels.union(self.inputs.values())

    def find(self, row: int) -> OutlineNode | None:
        """Return the node that contains this row."""
        at = bisect_right(self.starts, row) - 1
        return self.nodes[at] if at >= 0 and row in self.nodes[at].rows else None


def nodes_with_levels(nodes: Sequence[OutlineNode], inputs: Iterable[Operand]) -> list[tuple[OutlineNode, NodeLevel]]:
    """Return every node with its level, each before its children. inputs: those of the net."""
    top, order = NodeLevel(nodes, None, None, inputs), []
    waiting = [(node, top) for node in nodes]
    while waiting:
        node, scope = waiting.pop()
        order.append((node, scope))
        inner = NodeLevel(node.children, node, scope, () if node.kind == "step" else node.inputs)
        waiting += [(child, inner) for child in node.children]
    return order


def paths_without_rows(index: TraceIndex) -> frozenset[str]:
    """Return the paths of steps that only name a parameter and run nothing."""
    steps = [
        (call.site.path, bool(index.row_spans[call.index])) for call in index.trace.calls if call.site.kind == "step"
    ]
    return frozenset([path for path, ran in steps if not ran]).difference([path for path, ran in steps if ran])


class LineSources:
    """The values that every node of one report reads and writes, and the sums of its rows."""

    def __init__(self, report: Report):
        rows = report.trace.rows
        self.rows, self.index, self.inputs = rows, report.index, report.trace.inputs
        self.without_rows = paths_without_rows(report.index)
        self.net_name = next((call.site.name for call in report.trace.calls if not call.site.path), "") or "net"
        self.block_input_ids = frozenset([operand.value.id for call in report.trace.calls for operand in call.inputs])
        self.values_by_node: dict[int, NodeValues] = {}
        self.sums = running_sums(row.total for row in report.rows)
        self.derived = (
            running_sums(report.backward_by_row.get(row.index, ZERO_TOTAL) for row in rows) if report.backward else []
        )
        self.param_read_counts = list(accumulate(map(report.index.reads_params, rows), initial=0))

    def lines(self, nodes: Sequence[OutlineNode]) -> tuple[OutlineLine, ...]:
        """Return the nodes as lines. The values of all nodes are collected before lines are named."""
        order = nodes_with_levels(nodes, self.inputs)
        lines_by_node: dict[int, OutlineLine] = {}
        for node, _ in reversed(order):
            self.values_by_node[id(node)] = self.node_values(node)
        for node, scope in reversed(order):
            lines_by_node[id(node)] = self.line(
                node, scope, tuple([lines_by_node[id(child)] for child in node.children])
            )
        return tuple([lines_by_node[id(node)] for node in nodes])

    def node_values(self, node: OutlineNode) -> NodeValues:
        inner = [self.values_by_node[id(child)] for child in node.children]
        if node.children:
            reads = [operand for flow in inner for operand in flow.reads.values()]
            written = [value for flow in inner for value in flow.gives]
        else:
            rows = self.rows[node.rows.start : node.rows.stop]
            reads = [operand for row in rows for operand in row.inputs if self.has_name(operand)]
            written = [value for row in rows for value in row.outputs]
        if node.kind == "step":  # what `return:` returns unchanged
            reads += node.inputs
        outside = {op.value.id: op for op in reads if not self.is_inside(op, node)}
        return NodeValues(outside, tuple([value for value in written if self.is_read_outside(value, node.rows)]))

    def has_name(self, operand: Operand) -> bool:
        value = operand.value.id
        return (
            value in self.index.activation_ids or value in self.block_input_ids or operand.source in self.without_rows
        )

    def is_inside(self, operand: Operand, node: OutlineNode) -> bool:
        """Return whether an operand is made inside a node."""
        if self.index.maker_index(operand.value.id) in node.rows:
            return True
        return operand.source in self.without_rows and operand.source.startswith(f"{node.path}.")

    def is_read_outside(self, value: Value, rows: range) -> bool:
        readers = self.index.readers(value.id)
        outside = bool(readers) and (readers[0].index < rows.start or readers[-1].index >= rows.stop)
        return outside or value.id in self.index.output_ids

    def line(self, node: OutlineNode, scope: NodeLevel, children: tuple[OutlineLine, ...]) -> OutlineLine:
        rows = node.rows
        total = sum_range(self.sums, rows)
        return OutlineLine(
            path=node.path,
            label=node.label,
            kind=node.kind,
            name=node.name,
            text=node.text,
            sources=self.sources(node, scope),
            outputs=self.outputs(node),
            total=total,
            rows=tuple(rows),
            shared=not total.params and self.param_read_counts[rows.stop] > self.param_read_counts[rows.start],
            place=node.place,
            children=children,
            backward=sum_range(self.derived, rows) if self.derived else ZERO_TOTAL,
            reads=tuple(self.values_by_node[id(node)].reads.values()),
        )

    def sources(self, node: OutlineNode, scope: NodeLevel) -> tuple[str, ...]:
        """Return the names of the operands of a line, each line and input once; its own parameters have none."""
        named = dict([self.source_name(operand, scope) for operand in self.values_by_node[id(node)].reads.values()])
        return tuple([name for name in named.values() if name])

    def outputs(self, node: OutlineNode) -> tuple[Value, ...]:
        """Return the outputs of the last row; if others read more than that, or the net returns it, the values that
        they read."""
        read_outside = self.values_by_node[id(node)].gives
        last = self.rows[node.rows[-1]].outputs if node.rows else ()
        return last if all(value in last for value in read_outside) else read_outside

    def source_name(self, operand: Operand, scope: NodeLevel) -> tuple[Hashable, str]:
        """Return a key for the line or input that a value comes from, and the name under which a line shows it."""
        value, maker = operand.value.id, self.index.maker_index(operand.value.id)
        within: list[NodeLevel] = []
        level: NodeLevel | None = scope
        while level is not None:
            found = level.find(maker) if maker >= 0 else level.without_rows.get(operand.source)
            if found is not None:
                return id(found), self.line_reference(found, level, within)
            if value in level.inputs:
                return level.inputs[value], level.inputs[value]
            within.append(level)
            level = level.outer
        return operand.source, operand.source if value in self.index.activation_ids else ""

    def line_reference(self, found: OutlineNode, level: NodeLevel, within: Sequence[NodeLevel]) -> str:
        """Return a line's name as seen from a nested list: its label, or the full path where the label is a position in
        another list or ambiguous."""
        label = found.label
        hidden = label in level.inputs.values() or any(label in scope.names for scope in within)
        if not hidden and not (within and label[:1].isdigit()):
            return label
        if level.holder is None:
            return f"{self.net_name}.{label}"
        return found.path if found.path != level.holder.path else f"{found.path}.{label}"
