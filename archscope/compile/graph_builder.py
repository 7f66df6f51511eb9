"""Nodes of values in the graph of one use of a block, or of one turn of a loop.

    GraphTensor, RuntimeNumber, RuntimeList → lower → fx.Node      the result of a node → wrap_result → values

A value of another graph becomes a further input. Sizes that the construction depends on are checked when the net runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from archscope.compile.built_net import require, require_rank
from archscope.compile.graph_tensor import GraphTensor, flatten_tensors, has_open_rank
from archscope.compile.plan import BlockPlan, FixedPlace
from archscope.compile.runtime_numbers import (
    ComputedNumber,
    ReadNumber,
    RuntimeList,
    RuntimeNumber,
    VaryingItems,
    runtime_text,
    sole_unknown,
)
from archscope.errors import BlockFrame, Span
from archscope.spec.spec_values import Host, Value

if TYPE_CHECKING:
    from archscope.compile.compile_session import CompileSession
from archscope.trace import join_path

INPUT_CHECKS = frozenset([require_rank])
"""The checks of inputs that come before their sizes are read."""


@dataclass
class StepCursor:
    """The step that is being built: its path, its place, and the number of layers that its expression applies (several
    are numbered).

    reason: why the step needs to know its numbers, if its own line does not show it.
    """

    path: str = ""
    span: Span = field(default_factory=lambda: Span("", 0, 0))
    layers: int = 1
    layers_applied: int = 0
    text: str = ""
    reason: str = ""

    def next_path(self) -> str:
        self.layers_applied += 1
        return self.path if self.layers <= 1 else f"{self.path}.{self.layers_applied - 1}"


@dataclass
class GraphBuilder(Host):
    """The graph of one use of a block while it is built. `frames`: the uses of blocks around it, innermost first.

    nodes: the node of each value that is not a tensor of this graph. item_nodes: items of lists and tuples; unused ones
    are dropped. prefix: the path of the loop that a turn belongs to, below its block. rank_checks: the nodes that check
    the rank of a tensor; its sizes are read after them.
    """

    session: CompileSession
    plan: BlockPlan
    frames: tuple[BlockFrame, ...] = ()
    cursor: StepCursor = field(default_factory=StepCursor)
    prefix: str = ""
    item_nodes: dict[fx.Node, None] = field(default_factory=dict)
    nodes: dict[object, fx.Node] = field(default_factory=dict)
    sizes: dict[tuple[fx.Node, int | None], ReadNumber] = field(default_factory=dict)
    rank_checks: dict[fx.Node, fx.Node] = field(default_factory=dict)

    @property
    def graph(self) -> fx.Graph:
        return self.plan.graph

    # Values → nodes

    def lower(self, value: Value) -> Any:
        """Return `value` as an argument of a node: nodes for run-time values, plain data unchanged."""
        if isinstance(value, GraphTensor):
            return value.node if value.owner is self else self.capture(value, "captured")
        if isinstance(value, RuntimeNumber) and value.fixed:
            return value.value
        if isinstance(value, (RuntimeNumber, RuntimeList)):
            return self._value_node(value)
        if isinstance(value, slice):
            return slice(self.lower(value.start), self.lower(value.stop), self.lower(value.step))
        if isinstance(value, list):
            return [self.lower(part) for part in value]
        return tuple(self.lower(part) for part in value) if isinstance(value, tuple) else value

    def _value_node(self, value: Any) -> fx.Node:
        if value not in self.nodes:
            if isinstance(value, ComputedNumber):
                node = self.graph.call_function(value.function, self.lower(value.args))
            elif value.owner is not self:
                return self.capture(value, "size" if isinstance(value, RuntimeNumber) else "values")
            else:
                node = value.make()
            self.nodes[value] = node
            if isinstance(value, RuntimeNumber):
                node.meta["number"], node.meta["of"] = value.value, value
        return self.nodes[value]

    def capture(self, value: Value, name: str) -> fx.Node:
        """Return a value of another graph as an input of this one."""
        if value not in self.nodes:
            text = getattr(value, "text", name)
            node = self.placeholder(text if text.isidentifier() else name)
            if isinstance(value, RuntimeNumber):
                node.meta["number"], node.meta["of"] = value.value, value
            elif isinstance(value, GraphTensor):
                node.meta["shapes"] = (tuple(value.meta.shape),)
            self.nodes[value] = node
            self.plan.captured.append(value)
        return self.nodes[value]

    def placeholder(self, name: str) -> fx.Node:
        """Add an input after the existing ones."""
        with self._insert_point():
            return self.graph.placeholder(name)

    def _insert_point(self, passed: frozenset[Any] = frozenset()) -> Any:
        """Insert after the inputs, and after calls of the functions in `passed`."""
        behind = next(
            (node for node in self.graph.nodes if node.op != "placeholder" and node.target not in passed), None
        )
        return nullcontext() if behind is None else self.graph.inserting_before(behind)

    # Nodes → values

    def wrap_result(self, node: fx.Node, result: Any, text: str = "") -> Value:
        """Return a node's result as values: a tensor, a run-time number or list, or a tuple of them."""
        node.meta["shapes"] = tuple(tuple(tensor.shape) for tensor in flatten_tensors(result))
        if isinstance(result, torch.Tensor):
            return GraphTensor(self, node, result)
        if isinstance(result, VaryingItems):
            said = text or self.cursor.text or node.name
            return RuntimeList(self, lambda: node, result, said, named=bool(text))
        if isinstance(result, (int, float)):
            node.meta["number"] = result
            return ReadNumber(self, lambda: node, result, text or node.name)
        if isinstance(result, (tuple, list)) and result:
            return tuple(self._wrap_item(node, i, part) for i, part in enumerate(result))
        return result

    def _wrap_item(self, node: fx.Node, index: int, part: Any) -> Value:
        if part is None:
            return None
        item = self.graph.call_function(operator.getitem, (node, index))
        self.item_nodes[item] = None
        return self.wrap_result(item, part)

    def drop_unused_items(self) -> None:
        """Remove the items of lists and tuples that nothing in the graph uses."""
        for node in reversed(self.item_nodes):
            if not node.users:
                self.graph.erase_node(node)

    def list_call(self, function: Callable, args: tuple, metas: Sequence, text: str) -> RuntimeList:
        """Return a list that a function makes when the net runs."""

        def make() -> fx.Node:
            return self.graph.call_function(function, self.lower(args))

        return RuntimeList(self, make, VaryingItems(metas), text, args)

    def size(self, tensor: GraphTensor, axis: int, text: str = "") -> ReadNumber:
        """Return the length of one dimension of a tensor of this graph."""
        key = tensor.node, axis
        if key not in self.sizes:
            read = lambda: self._read_size(tensor.node, "size", axis)  # noqa: E731
            what = text or f"{value_label(tensor.node)}.size({axis})"
            self.sizes[key] = ReadNumber(self, read, tensor.meta.shape[axis], what, least=0.0)
        return self.sizes[key]

    def rank(self, tensor: GraphTensor) -> ReadNumber:
        """Return the number of dimensions of a tensor of this graph."""
        key = tensor.node, None
        if key not in self.sizes:
            read = lambda: self._read_size(tensor.node, "dim")  # noqa: E731
            self.sizes[key] = ReadNumber(self, read, tensor.meta.dim(), f"{value_label(tensor.node)}.dim()")
        return self.sizes[key]

    def _read_size(self, node: fx.Node, method: str, *args: int) -> fx.Node:
        """Return a number read from a tensor right after the tensor is made, so that the tensor need not live
        longer."""
        behind = self.rank_checks.get(node, node)
        with (
            self._insert_point(INPUT_CHECKS)
            if behind.op == "placeholder" or behind.target is require_rank
            else self.graph.inserting_after(behind)
        ):
            return self.graph.call_method(method, (node, *args))

    # Checks at run time

    def fix_number(self, number: RuntimeNumber, at: FixedPlace | None = None) -> None:
        """Fix a number to its value in this compilation; the net refuses to run with another one."""
        at, number = at or self.fixed_place(), sole_unknown(number)
        if not isinstance(number, ReadNumber):
            self._require(number, number.value, at._replace(path=self.path_seen_from(self, at.path)))
            return
        number.known, owner = True, number.owner
        at = at._replace(path=self.path_seen_from(owner, at.path))
        if number.argument is not None:
            owner.plan.fixed.append((number.argument, at))
        else:
            owner._require(number, number.value, at)

    def require_declared_size(self, size: ReadNumber, wanted: Value, at: FixedPlace, meant: str = "") -> None:
        """Add a check that a size equals the number that a declaration says."""
        if not (size.fixed and not (isinstance(wanted, RuntimeNumber) and not wanted.fixed)):
            self._require(size, wanted, at, meant, declared=True)

    def require_rank(self, tensor: GraphTensor, place: str) -> None:
        """Add a check that a tensor has the same number of dimensions as in this compilation."""
        wanted = tensor.node, tensor.meta.dim(), tensor.node.name, place
        self.rank_checks[tensor.node] = self.graph.call_function(require_rank, wanted)
        self.rank(tensor).known = True

    def fix_rank(self, tensor: GraphTensor, at: FixedPlace, *, declared: bool = False) -> None:
        """Add a check of the rank of a tensor of this graph, if it depends on sizes.

        declared: whether no other rank is allowed, however the net is built.
        """
        rank = self.rank(tensor)
        if has_open_rank(tensor.meta) and not rank.fixed:
            rank.known, dims = True, self._value_node(rank)
            with self.graph.inserting_after(dims):
                said = rank.text, at.path, at.text, *(("", False) if declared else ())
                self.rank_checks[tensor.node] = self.graph.call_function(require, (dims, rank.value, *said))

    def fixed_place(self) -> FixedPlace:
        """Return the current step as text for the message of a check."""
        span = self.cursor.span
        return FixedPlace(self.cursor.path, f"{self.cursor.text} ({span.file}:{span.line}){self.cursor.reason}".strip())

    def path_seen_from(self, owner: GraphBuilder, path: str) -> str:
        """Return a path of this graph relative to an enclosing block."""
        around = self.frames[: len(self.frames) - len(owner.frames)]
        return join_path(*(frame.path for frame in reversed(around)), self.prefix, path)

    def _require(
        self, number: RuntimeNumber, wanted: Value, at: FixedPlace, meant: str = "", *, declared: bool = False
    ) -> None:
        if isinstance(wanted, RuntimeNumber) and not wanted.fixed:
            meant = meant or runtime_text(wanted)
        said = number.text, at.path, at.text, *((meant, False) if declared or meant else ())
        self.graph.call_function(require, (self._value_node(number), self.lower(wanted), *said))


def value_label(node: fx.Node) -> str:
    """Return the name of a value for messages: its label, its text in the spec, or its own name."""
    site, said = node.meta.get("site") or node.meta.get("step"), node.meta.get("said", "")
    path = site.path if site is not None else ""
    last = path.rpartition(".")[2]
    path = "" if last.isdigit() or iskeyword(last) else path  # a position, or `in` and `from` of a step
    return path if path and not (said.isidentifier() and said != "prev") else said or path or node.name


def last_node(graph: fx.Graph) -> fx.Node | None:
    """Return the newest node of a graph."""
    return next(iter(reversed(graph.nodes)), None)


def nodes_after(graph: fx.Graph, node: fx.Node | None) -> list[fx.Node]:
    """Return the nodes newer than `node`, oldest first."""
    newer = []
    for other in reversed(graph.nodes):
        if other is node:
            break
        newer.append(other)
    return newer[::-1]
