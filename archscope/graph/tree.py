"""The calls and rows of a trace as a tree of nodes: blocks hold what they ran, groups hold siblings with one prefix.

    Calls and Rows ─ by parent ─→ OutlineTree ─ last calls first ─→ OutlineNodes ─ group_nodes ─→ OutlineNodes

A call ends before the next sibling begins, so its rows are consecutive and a range describes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from archscope.errors import Span
from archscope.trace import Call, Operand
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
