"""The result of a compilation: graphs with source positions, and recipes of layers instead of weights.

    BlockPlan (one distinct use of a block: an fx.Graph, its members, its expectations) ⊂ Plan (the whole net, one
    variant)

Equal uses of a block share one BlockPlan; `net_building` makes a separate module for each use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import fx
from torch.fx.node import Argument

from archscope.compile.built_net import REQUIRE_FUNCTIONS
from archscope.compile.layer_cache import LayerCache, Recipe
from archscope.errors import Problem
from archscope.spec.spec_types import Expectation
from archscope.trace import Location, join_path

RETURN_PATH = "return"
"""The path of the nodes that a block's `return:` computes."""


@dataclass(frozen=True)
class ParameterSpec:
    """A learned tensor written as `Parameter(…)`; `init` is its value, None a normal distribution with standard
    deviation 0.02."""

    shape: tuple[int, ...]
    init: float | None

    @property
    def text(self) -> str:
        """The shape and the initial value in short."""
        return ", ".join(["×".join(map(str, self.shape)), *([] if self.init is None else [f"init {self.init:g}"])])


@dataclass(frozen=True, eq=False)
class SharedModule:
    """A declared module of an enclosing block that this block holds too. declaration: the DeclaredLayer."""

    declaration: Any

    @property
    def built(self) -> Recipe | BlockPlan:
        return self.declaration.built


class FixedPlace(NamedTuple):
    """The step that fixed a number which the net is then built for: its path, its text and place."""

    path: str
    text: str


@dataclass
class BlockPlan:
    """One distinct use of a block. `members` are its layers, blocks and parameters by dotted name, in order of
    construction.

    Nodes of the graph carry in `meta`: "step" (the Location of the written step, relative path), "site" (the Location
    of a layer or block call), "shapes" (of each tensor that the node returns), "number" (the value of a number's node),
    "of" (the number), "alone" (of a parameter that is a whole step), "loop" (a LoopPlan), "line" (the Location of a
    list that a loop runs over), "plan" (of a call of a block: its plan at these sizes), "own" (of a call of a member
    that is not a declared module). declared: the members that are declared modules. captured: the values of enclosing
    blocks, and its own arguments, that become further inputs. fixed: the arguments that may have no other value.
    """

    name: str
    text: str
    graph: fx.Graph
    members: dict[str, Member] = field(default_factory=dict)
    declared: dict[str, Any] = field(default_factory=dict)
    captured: list[Any] = field(default_factory=list)
    fixed: list[tuple[tuple[str | int, ...], FixedPlace]] = field(default_factory=list)
    expected: list[Expectation] = field(default_factory=list)
    output: object = None  # nested meta tensors
    is_floating: bool = False  # whether the first input has a floating-point dtype
    steps: int = 0

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Recipe | ParameterSpec]]:
        """Yield every layer and parameter below, in order of construction, with its dotted name."""
        for name, member in self.members.items():
            if isinstance(member, BlockPlan):
                yield from member.walk(f"{prefix}{name}.")
            elif not isinstance(member, SharedModule):
                yield prefix + name, member


Member: TypeAlias = Recipe | ParameterSpec | SharedModule | BlockPlan
"""What a block holds under a name."""


@dataclass(frozen=True, eq=False)
class LoopPlan:
    """A loop over a run-time length: a node with the arguments (start, items, count, captured values).

    turn: the graph of each turn; its inputs are the previous value, the item (if there are items), the turn's number,
    and the captured values. Its members are those of the block. turns: their number at these sizes. is_even: whether
    all turns have the same sizes. The node returns the last value and the list of all values.
    """

    turn: BlockPlan
    turns: int
    path: str
    itemized: bool
    is_even: bool = True


def is_number_node(node: fx.Node) -> bool:
    """Return whether a node computes or checks a number, not a tensor."""
    return "number" in node.meta or node.target in REQUIRE_FUNCTIONS


def has_collected_turns(loop: fx.Node) -> bool:
    """Return whether the values of all turns of a loop are read, not only the last one."""
    return any(user.args[1] == 1 and user.users for user in loop.users)


def argument_nodes(argument: Argument) -> Iterator[fx.Node]:
    """Return all nodes among arguments, in order and with repetitions."""
    if isinstance(argument, fx.Node):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from argument_nodes(part)
    elif isinstance(argument, dict):
        yield from argument_nodes(tuple(argument.values()))
    elif isinstance(argument, slice):
        yield from argument_nodes((argument.start, argument.stop, argument.step))


def block_calls(plan: BlockPlan) -> Iterator[tuple[str, BlockPlan]]:
    """Yield every call of a block in a plan's graph, those in turns of loops too, with its path below the plan."""
    yield from _graph_block_calls(plan.graph, "")


def _graph_block_calls(graph: fx.Graph, prefix: str) -> Iterator[tuple[str, BlockPlan]]:
    for node in graph.nodes:
        if "plan" in node.meta:
            yield join_path(prefix, node.meta["site"].path), node.meta["plan"]
        if (loop := node.meta.get("loop")) is not None:
            for turn in range(loop.turns):
                yield from _graph_block_calls(loop.turn.graph, join_path(prefix, loop.path, str(turn)))


def last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return for each node the nodes whose values are not needed after it."""
    uses: dict[fx.Node, list[fx.Node]] = {}
    seen: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        for value in (*node.all_input_nodes, node):
            if value not in seen:
                seen.add(value)
                if node.op != "output":
                    uses.setdefault(node, []).append(value)
    return uses


@dataclass(frozen=True)
class InputSpec:
    """One input of a net: shape, dtype and, for integers, the half-open range they are drawn from."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    low: int = 0
    high: int = 1


@dataclass(frozen=True)
class Plan:
    """One variant of a spec, compiled: all problems found, no memory used yet.

    parameter_count: tied ones once. largest_bytes: of the inputs and outputs of the largest single operation.
    mismatches: shapes that do not fit, which an analysis continues after; none in a strict compilation. layer_cache:
    the layers that were made, for the next compilation. input_params: the params that are dimensions of inputs.
    unjudged: the expectations that do not apply to these sizes. notes: on how the inputs were read. compile_at:
    compiles the spec for other input shapes.
    """

    name: str
    target: str
    block: BlockPlan
    inputs: tuple[InputSpec, ...]
    ties: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, Problem], ...]
    expected: tuple[Expectation, ...]
    parameter_count: int
    largest_bytes: int
    top: Location
    mismatches: tuple[Problem, ...] = ()
    layer_cache: LayerCache = field(default_factory=LayerCache, compare=False, repr=False)
    input_params: frozenset[str] = frozenset()
    unjudged: tuple[Expectation, ...] = ()
    notes: tuple[str, ...] = ()
    compile_at: Callable[[Mapping[str, tuple[int, ...]]], Plan] | None = field(default=None, compare=False, repr=False)
