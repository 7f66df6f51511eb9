"""Values as nodes of one graph: of a use of a block, or of a turn of a loop.

    Tensor, RuntimeNumber, RuntimeList → lowered → fx.Node      a node's result → wrap → values

A value of another graph comes in as one more input. What must be known while the net is built is required when it runs.
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

from archscope.compile.built import require, require_rank
from archscope.compile.metas import flat, is_open
from archscope.compile.numbers import Computed, Reading, RuntimeList, RuntimeNumber, Varying, only_reading, told
from archscope.compile.plan import BlockPlan, Fixed
from archscope.compile.values import Tensor
from archscope.errors import Frame, Span

if TYPE_CHECKING:
    from archscope.compile.workshop import Workshop
from archscope.trace import join_path

INPUT_CHECKS = frozenset([require_rank])
"""What is required of inputs before their sizes are read."""


@dataclass
class Here:
    """The step being built: its path and place, and how many layers its expression applies (several are numbered).

    why: what makes it need to know its numbers, where its own line does not tell.
    """

    path: str = ""
    span: Span = field(default_factory=lambda: Span("", 0, 0))
    layers: int = 1
    applied: int = 0
    text: str = ""
    why: str = ""

    def next(self) -> str:
        self.applied += 1
        return self.path if self.layers <= 1 else f"{self.path}.{self.applied - 1}"


@dataclass
class GraphBuilder:
    """Builds the graph of one use of a block. `frames` is the chain of uses it stands in, innermost first.

    nodes: the node of every value that is not a tensor of this graph. parts: items of lists and tuples; those that
    nothing uses are dropped. prefix: the path of the loop that a turn belongs to, below its block. ranked: what
    requires the number of dimensions of a tensor; its sizes are read behind it.
    """

    workshop: Workshop
    plan: BlockPlan
    frames: tuple[Frame, ...] = ()
    here: Here = field(default_factory=Here)
    prefix: str = ""
    parts: dict[fx.Node, None] = field(default_factory=dict)
    nodes: dict[object, fx.Node] = field(default_factory=dict)
    sizes: dict[tuple[fx.Node, int | None], Reading] = field(default_factory=dict)
    ranked: dict[fx.Node, fx.Node] = field(default_factory=dict)

    @property
    def graph(self) -> fx.Graph:
        return self.plan.graph

    # Values → nodes

    def lowered(self, value: object) -> Any:
        """`value` as an argument of a node: nodes for what is worked out when the net runs, plain data as it is."""
        if isinstance(value, Tensor):
            return value.node if value.owner is self else self.captured(value, "captured")
        if isinstance(value, RuntimeNumber) and value.fixed:
            return value.value
        if isinstance(value, (RuntimeNumber, RuntimeList)):
            return self._made(value)
        if isinstance(value, slice):
            return slice(self.lowered(value.start), self.lowered(value.stop), self.lowered(value.step))
        if isinstance(value, list):
            return [self.lowered(part) for part in value]
        return tuple(self.lowered(part) for part in value) if isinstance(value, tuple) else value

    def _made(self, value: Any) -> fx.Node:
        if value not in self.nodes:
            if isinstance(value, Computed):
                node = self.graph.call_function(value.function, self.lowered(value.args))
            elif value.owner is not self:
                return self.captured(value, "size" if isinstance(value, RuntimeNumber) else "values")
            else:
                node = value.make()
            self.nodes[value] = node
            if isinstance(value, RuntimeNumber):
                node.meta["number"], node.meta["of"] = value.value, value
        return self.nodes[value]

    def captured(self, value: object, name: str) -> fx.Node:
        """A value of another graph, as an input of this one."""
        if value not in self.nodes:
            text = getattr(value, "text", name)
            node = self.placeholder(text if text.isidentifier() else name)
            if isinstance(value, RuntimeNumber):
                node.meta["number"], node.meta["of"] = value.value, value
            elif isinstance(value, Tensor):
                node.meta["shapes"] = (tuple(value.meta.shape),)
            self.nodes[value] = node
            self.plan.captured.append(value)
        return self.nodes[value]

    def placeholder(self, name: str) -> fx.Node:
        """One more input, behind those that there are."""
        with self._first():
            return self.graph.placeholder(name)

    def _first(self, passed: frozenset[Any] = frozenset()) -> Any:
        """The place behind the inputs, and behind the calls that are passed."""
        behind = next(
            (node for node in self.graph.nodes if node.op != "placeholder" and node.target not in passed), None
        )
        return nullcontext() if behind is None else self.graph.inserting_before(behind)

    # Nodes → values

    def wrap(self, node: fx.Node, result: object, text: str = "") -> object:
        """A node's result as values: a Tensor, a number or list of the run, or a tuple of them."""
        node.meta["shapes"] = tuple(tuple(tensor.shape) for tensor in flat(result))
        if isinstance(result, torch.Tensor):
            return Tensor(self, node, result)  # type: ignore[arg-type]
        if isinstance(result, Varying):
            said = text or self.here.text or node.name
            return RuntimeList(self, lambda: node, result, said, named=bool(text))  # type: ignore[arg-type]
        if isinstance(result, (int, float)):
            node.meta["number"] = result
            return Reading(self, lambda: node, result, text or node.name)  # type: ignore[arg-type]
        if isinstance(result, (tuple, list)) and result:
            return tuple(self._item(node, i, part) for i, part in enumerate(result))
        return result

    def _item(self, node: fx.Node, index: int, part: object) -> object:
        if part is None:
            return None
        item = self.graph.call_function(operator.getitem, (node, index))
        self.parts[item] = None
        return self.wrap(item, part)

    def list_call(self, function: Callable, args: tuple, metas: Sequence, text: str) -> RuntimeList:
        """A list that a function makes when the net runs."""

        def make() -> fx.Node:
            return self.graph.call_function(function, self.lowered(args))

        return RuntimeList(self, make, Varying(metas), text, args)  # type: ignore[arg-type]

    def size(self, tensor: Tensor, axis: int, text: str = "") -> Reading:
        """The length of one dimension of a tensor of this graph."""
        key = tensor.node, axis
        if key not in self.sizes:
            read = lambda: self._read(tensor.node, "size", axis)  # noqa: E731
            what = text or f"{called(tensor.node)}.size({axis})"
            self.sizes[key] = Reading(self, read, tensor.meta.shape[axis], what, least=0.0)  # type: ignore[arg-type]
        return self.sizes[key]

    def rank(self, tensor: Tensor) -> Reading:
        """The number of dimensions of a tensor of this graph."""
        key = tensor.node, None
        if key not in self.sizes:
            read = lambda: self._read(tensor.node, "dim")  # noqa: E731
            self.sizes[key] = Reading(self, read, tensor.meta.dim(), f"{called(tensor.node)}.dim()")  # type: ignore[arg-type]
        return self.sizes[key]

    def _read(self, node: fx.Node, method: str, *args: int) -> fx.Node:
        """A number that is read from a tensor as soon as there is the tensor, which need not live on for it."""
        behind = self.ranked.get(node, node)
        with (
            self._first(INPUT_CHECKS)
            if behind.op == "placeholder" or behind.target is require_rank
            else self.graph.inserting_after(behind)
        ):
            return self.graph.call_method(method, (node, *args))

    # What a net is built for

    def fix(self, number: RuntimeNumber, at: Fixed | None = None) -> None:
        """From here on the number has the value that it has in this compilation; when the net runs, it must."""
        at, number = at or self.place(), only_reading(number)
        if not isinstance(number, Reading):
            self._require(number, number.value, at._replace(path=self.path_in(self, at.path)))
            return
        number.known, owner = True, number.owner
        at = at._replace(path=self.path_in(owner, at.path))
        if number.argument is not None:
            owner.plan.fixed.append((number.argument, at))
        else:
            owner._require(number, number.value, at)

    def meet(self, size: Reading, wanted: object, at: Fixed, meant: str = "") -> None:
        """A size must be the number that a declaration says, when the net runs too."""
        if not (size.fixed and not (isinstance(wanted, RuntimeNumber) and not wanted.fixed)):
            self._require(size, wanted, at, meant, declared=True)

    def require_rank(self, tensor: Tensor, place: str) -> None:
        """A tensor must have as many dimensions as here when the net runs."""
        wanted = tensor.node, tensor.meta.dim(), tensor.node.name, place
        self.ranked[tensor.node] = self.graph.call_function(require_rank, wanted)
        self.rank(tensor).known = True

    def settle_rank(self, tensor: Tensor, at: Fixed, *, declared: bool = False) -> None:
        """A tensor of this graph must have as many dimensions as here when the net runs, if sizes decide it.

        declared: whether it may be no other one, however the net is built.
        """
        rank = self.rank(tensor)
        if is_open(tensor.meta) and not rank.fixed:
            rank.known, dims = True, self._made(rank)
            with self.graph.inserting_after(dims):
                said = rank.text, at.path, at.text, *(("", False) if declared else ())
                self.ranked[tensor.node] = self.graph.call_function(require, (dims, rank.value, *said))

    def place(self) -> Fixed:
        """The step being built, for what it requires."""
        span = self.here.span
        return Fixed(self.here.path, f"{self.here.text} ({span.file}:{span.line}){self.here.why}".strip())

    def path_in(self, owner: GraphBuilder, path: str) -> str:
        """A path of this graph as it reads in the graph of a block around it."""
        around = self.frames[: len(self.frames) - len(owner.frames)]
        return join_path(*(frame.path for frame in reversed(around)), self.prefix, path)

    def _require(
        self, number: RuntimeNumber, wanted: object, at: Fixed, meant: str = "", *, declared: bool = False
    ) -> None:
        if isinstance(wanted, RuntimeNumber) and not wanted.fixed:
            meant = meant or told(wanted)
        said = number.text, at.path, at.text, *((meant, False) if declared or meant else ())
        self.graph.call_function(require, (self._made(number), self.lowered(wanted), *said))


def called(node: fx.Node) -> str:
    """A value as a reader knows it: by its label, else as the spec writes it, or by its own name."""
    site, said = node.meta.get("site") or node.meta.get("step"), node.meta.get("said", "")
    path = site.path if site is not None else ""
    last = path.rpartition(".")[2]
    path = "" if last.isdigit() or iskeyword(last) else path  # a position, or `in` and `from` of a step
    return path if path and not (said.isidentifier() and said != "prev") else said or path or node.name
