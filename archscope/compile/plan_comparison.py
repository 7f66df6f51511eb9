"""Plans for comparisons: the outline of a whole net as plain data, and the equality of two graphs.

BlockPlan → PlannedBlock, each distinct one once. Graphs that do the same at every size have equal forms; numbers that
the net is built for count by their value, whether the graph reads them or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import zip_longest
from typing import Any

from torch import fx

from archscope.compile.built_net import require
from archscope.compile.layer_cache import LayerCache, Recipe
from archscope.compile.plan import BlockPlan, Member, ParameterSpec, Plan, SharedModule, argument_nodes, is_number_node
from archscope.compile.runtime_numbers import ReadNumber
from archscope.planned_block import PlannedBlock, PlannedStep
from archscope.torch_layers.signatures import INFERRED_ARGUMENTS, constructor_signature
from archscope.trace import Location, Shape


def outline_plan(plan: Plan) -> PlannedBlock:
    """Return the outline of the whole net."""
    return PlanOutline(plan.layer_cache).outline_block(plan.block)


class PlanOutline:
    """The outlines of one plan's blocks, each made once."""

    def __init__(self, layer_cache: LayerCache):
        self.layer_cache = layer_cache
        self.planned_blocks: dict[int, PlannedBlock] = {}

    def outline_block(self, plan: BlockPlan) -> PlannedBlock:
        if id(plan) not in self.planned_blocks:
            self.planned_blocks[id(plan)] = self.outline_graph(plan.graph, plan)
        return self.planned_blocks[id(plan)]

    def outline_graph(self, graph: fx.Graph, plan: BlockPlan) -> PlannedBlock:
        """Return the outline of a graph of a block: its own, or that of a turn of a loop in it."""
        nodes = {
            n: index for index, n in enumerate(n for n in graph.nodes if n.op != "output" and not is_number_node(n))
        }
        steps = tuple(self.outline_step(plan, node, nodes) for node in nodes)
        inputs = sum(node.op == "placeholder" for node in nodes)
        return PlannedBlock(plan.name, plan.text, steps, inputs, output_indexes(graph, nodes))

    def outline_step(self, plan: BlockPlan, node: fx.Node, nodes: Mapping[fx.Node, int]) -> PlannedStep:
        member = plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
        member = member.built if isinstance(member, SharedModule) else member
        loop, block = node.meta.get("loop"), node.meta.get("plan")
        site: Location | None = node.meta.get("site") or node.meta.get("step")
        return PlannedStep(
            name=node_title(node, member),
            path=site.path if site is not None else loop.path if loop is not None else "",
            place=site.place if site is not None else None,
            reads=tuple(nodes[read] for read in argument_nodes((node.args, node.kwargs)) if read in nodes),
            shapes=node.meta.get("shapes", ()),
            params=self.member_shapes(member),
            arguments=node_arguments(node, member),
            block=self.outline_block(block) if block else self.outline_graph(loop.turn.graph, plan) if loop else None,
        )

    def member_shapes(self, member: Member | None) -> tuple[Shape, ...]:
        if isinstance(member, Recipe):
            return tuple(tuple(parameter.shape) for parameter in self.layer_cache.meta_module(member).parameters())
        return (member.shape,) if isinstance(member, ParameterSpec) else ()


def node_title(node: fx.Node, member: Member | None) -> str:
    if node.op in ("placeholder", "get_attr"):
        return "input" if node.op == "placeholder" else "parameter"
    if isinstance(member, (Recipe, BlockPlan)):
        return member.name
    return str(getattr(node.target, "__name__", node.target))


def node_arguments(node: fx.Node, member: Member | None) -> tuple[object, ...]:
    """Return the arguments of a layer or a function, without inferred sizes and values of the graph."""
    if isinstance(member, Recipe):
        inferred = {name for name, _, _ in INFERRED_ARGUMENTS.get(member.name, ())}
        whole = {**constructor_defaults(member.cls), **dict(member.arguments)}  # type: ignore[arg-type]  # a class is hashable
        return tuple((name, value) for name, value in whole.items() if name not in inferred)
    return (
        ()
        if node.op == "call_module"
        else (comparable_argument(node.args), comparable_argument(tuple(sorted(node.kwargs.items()))))
    )


@cache
def constructor_defaults(cls: Any) -> dict[str, object]:
    """Return the default values of a layer's optional arguments."""
    parameters = constructor_signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def comparable_argument(argument: object) -> object:
    """Return an argument of a node with None in place of tensors; incomparable values as text."""
    if isinstance(argument, fx.Node):
        if not is_number_node(argument):
            return None
        return str(getattr(argument.target, "__name__", argument.target)), comparable_argument(argument.args)
    if isinstance(argument, (tuple, list)):
        return tuple(map(comparable_argument, argument))
    return argument if isinstance(argument, (int, float, str, bool, type(None))) else repr(argument)


def output_indexes(graph: fx.Graph, nodes: Mapping[fx.Node, int]) -> tuple[tuple[str, int], ...]:
    """Return the outputs of a graph, by name or position."""
    given = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if isinstance(given, dict):
        return tuple(
            (name, nodes[node]) for name, part in given.items() for node in argument_nodes(part) if node in nodes
        )
    return tuple((str(position), nodes[node]) for position, node in enumerate(argument_nodes(given)) if node in nodes)


def graph_form(plan: BlockPlan) -> tuple[object, ...]:
    """Return the operations of a plan's graph in order, with the layers and values that they use."""
    return (*map(_captured_form, plan.captured), *_node_forms(plan))


def first_difference(plan: BlockPlan, other: BlockPlan) -> fx.Node | None:
    """Return the first node of a plan's graph that differs from the other graph."""
    steps = zip_longest(_nodes_with_forms(plan), _nodes_with_forms(other), fillvalue=(None, None))
    return next((node for (node, step), (_, there) in steps if step != there), None)


def _node_forms(plan: BlockPlan) -> list[object]:
    return [step for _, step in _nodes_with_forms(plan)]


def _nodes_with_forms(plan: BlockPlan) -> list[tuple[fx.Node, object]]:
    order: dict[fx.Node, Any] = {}
    steps: list[tuple[fx.Node, object]] = []
    for node in plan.graph.nodes:
        number = node.meta.get("of")
        if number is not None and number.fixed:
            order[node] = number.value
        else:
            order[node] = f"step {len(steps)}"
            steps.append((node, _node_form(plan, node, order)))
    return steps


def _captured_form(value: Any) -> object:
    if isinstance(value, ReadNumber) and value.fixed:
        return None
    return value.argument if isinstance(value, ReadNumber) and value.argument is not None else id(value)


def _node_form(plan: BlockPlan, node: fx.Node, order: Mapping[fx.Node, Any]) -> tuple[object, ...]:
    member = plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
    foreign = node.op == "call_module" and "own" not in node.meta and str(node.target) not in plan.declared
    if foreign and not isinstance(member, SharedModule):  # in a turn's graph: a declared module of the enclosing block
        member = None
    target: object = node.target if member is None else member
    if isinstance(member, BlockPlan):
        target = _node_forms(member)
    elif isinstance(member, SharedModule):
        target = id(member.declaration)
    inner = _node_forms(node.meta["loop"].turn) if "loop" in node.meta else []
    args = node.args[:2] if node.target is require else node.args  # the other fields are its place
    said, named = (fx.node.map_arg(part, order.__getitem__) for part in (args, node.kwargs))
    return node.op, "" if node.op == "placeholder" else target, repr(said), repr(named), inner
