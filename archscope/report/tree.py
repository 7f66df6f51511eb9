"""The calls and rows of a trace as a tree of nodes: blocks hold what they ran, groups hold neighbours with one prefix.

    Calls and Rows ─ by parent ─→ Tree ─ the last ones first ─→ Nodes ─ groups ─→ Nodes

A call runs to its end before the next one beside it begins, so its rows are neighbours: a range says which they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from archscope.errors import Span
from archscope.trace import Call, Operand
from archscope.trace_index import TraceIndex, together


@dataclass(frozen=True)
class Node:
    """A part of the tree before it has names and sums. rows: the indexes of all rows in it. inputs: of a block, by its
    own names; of a `return:`, what it gives as it is."""

    path: str
    label: str
    kind: str
    name: str
    text: str
    rows: range
    place: Span | None
    children: tuple[Node, ...] = ()
    inputs: tuple[Operand, ...] = ()


class Tree:
    """The calls and rows of one trace by their parents."""

    def __init__(self, index: TraceIndex, expand: bool):
        self.rows, self.calls, self.expand = index.trace.rows, index.trace.calls, expand
        self.inside: dict[int, list[Call]] = {}
        self.direct: dict[int, list[int]] = {}
        for call in self.calls:
            self.inside.setdefault(call.parent, []).append(call)
        for row in self.rows:
            self.direct.setdefault(row.call, []).append(row.index)
        self.spans = index.spans

    def top(self) -> tuple[Node, ...]:
        """The nodes of the whole net. A call comes after the one that it is in, so the last ones are made first."""
        made: dict[int, tuple[Node, ...]] = {}
        for call in reversed(self.calls):
            made[call.index] = self.called(call, made)
        return self.below(-1, made)

    def called(self, call: Call, made: Mapping[int, tuple[Node, ...]]) -> tuple[Node, ...]:
        """The call as a node; the whole net's own call (path "") gives way to what it holds."""
        site = call.site
        if not site.path:
            return self.below(call.index, made)
        whole = self.spans[call.index]
        opened = site.kind == "block" or (self.expand and (len(whole) > 1 or call.index in self.inside))
        children = self.below(call.index, made) if opened else ()
        label = relative(site.path, self.base(call.parent)) or site.name
        return (Node(site.path, label, site.kind, site.name, site.text, whole, site.place, children, call.inputs),)

    def below(self, parent: int, made: Mapping[int, tuple[Node, ...]]) -> tuple[Node, ...]:
        """Calls and direct rows below a call, as they ran; one without a row stands where the next with rows does."""
        position, placed = len(self.rows), []
        for call in reversed(self.inside.get(parent, ())):
            position = min(self.spans[call.index], default=position)
            placed.append((position, 0, call.index, made[call.index]))
        placed += [(index, 1, index, (self.row(index, parent),)) for index in self.direct.get(parent, ())]
        placed.sort(key=lambda item: item[:3])
        return tuple([node for *_, nodes in placed for node in nodes])

    def base(self, parent: int) -> str:
        """The path that what lies below a call is named from."""
        return self.calls[parent].site.path if parent >= 0 else ""

    def row(self, index: int, parent: int) -> Node:
        """A row that a block or a step ran itself; one of the net's own has its function's name for a path."""
        row = self.rows[index]
        label = relative(row.path, self.base(parent)) or row.op
        return Node(row.path or row.op, label, "row", row.op, "", range(index, index + 1), row.place)


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
            yield from (labelled(node, node.path.removeprefix(prefix) or node.label) for node in members)
        else:
            rows, inner = together(node.rows for node in members), tuple(groups(members, path + "."))
            yield Node(path, key, "group", form(members, path), "", rows, None, inner)


def labelled(node: Node, label: str) -> Node:
    return node if node.label == label else replace(node, label=label)


def form(members: Sequence[Node], path: str) -> str:
    """What a group is, where the operation that ends it says so: `residual`, `concat` …; empty for a plain group."""
    ends = {"add": "add", "cat": "concat", "mul": "multiply", "stack": "stack"}
    name = ends.get(members[-1].path.removeprefix(path + "."), "") if members[-1].kind == "step" else ""
    sides = any(node.path.startswith((f"{path}.main.", f"{path}.shortcut.")) for node in members)
    return "residual" if name == "add" and (sides or members[0].path == f"{path}.main") else name
