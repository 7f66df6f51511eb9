"""A Plan as plain data, for whoever compares two of them: BlockPlan → PlannedBlock, each distinct one once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from torch import fx

from archscope.compile.layers import Foundry, Recipe
from archscope.compile.plan import BlockPlan, Plan, Raw
from archscope.compile.signatures import INFERRED, signature
from archscope.planned import PlannedBlock, PlannedStep
from archscope.trace import Shape, Site


def outline(plan: Plan) -> PlannedBlock:
    """The whole net, block by block."""
    return Outlining(plan.foundry).block(plan.block)


class Outlining:
    """The outlines of one plan's blocks made so far."""

    def __init__(self, foundry: Foundry):
        self.foundry = foundry
        self.made: dict[int, PlannedBlock] = {}

    def block(self, plan: BlockPlan) -> PlannedBlock:
        if id(plan) not in self.made:
            nodes = {node: index for index, node in enumerate(n for n in plan.graph.nodes if n.op != "output")}
            steps = tuple(self.step(plan, node, nodes) for node in nodes)
            inputs = sum(node.op == "placeholder" for node in nodes)
            self.made[id(plan)] = PlannedBlock(plan.name, plan.text, steps, inputs, outputs_of(plan.graph, nodes))
        return self.made[id(plan)]

    def step(self, plan: BlockPlan, node: fx.Node, nodes: Mapping[fx.Node, int]) -> PlannedStep:
        member = plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
        site: Site | None = node.meta.get("site") or node.meta.get("step")
        return PlannedStep(
            name=name_of(node, member),
            path=site.path if site is not None else "",
            place=site.place if site is not None else None,
            reads=tuple(nodes[read] for read in read_by((node.args, node.kwargs))),
            shapes=node.meta.get("shapes", ()),
            params=self.parameters(member),
            arguments=arguments_of(node, member),
            block=self.block(member) if isinstance(member, BlockPlan) else None,
        )

    def parameters(self, member: object) -> tuple[Shape, ...]:
        if isinstance(member, Recipe):
            return tuple(tuple(parameter.shape) for parameter in self.foundry.skeleton(member).parameters())
        return (member.shape,) if isinstance(member, Raw) else ()


def name_of(node: fx.Node, member: object) -> str:
    if node.op in ("placeholder", "get_attr"):
        return "input" if node.op == "placeholder" else "parameter"
    if isinstance(member, (Recipe, BlockPlan)):
        return member.name
    return str(getattr(node.target, "__name__", node.target))


def arguments_of(node: fx.Node, member: object) -> tuple[object, ...]:
    """What a layer or a function is told, less the sizes that a layer infers and what comes out of the graph."""
    if isinstance(member, Recipe):
        inferred = {name for name, _, _ in INFERRED.get(member.name, ())}
        whole = {**defaults_of(member.cls), **dict(member.arguments)}  # type: ignore[arg-type]  # a class is hashable
        return tuple((name, value) for name, value in whole.items() if name not in inferred)
    return () if node.op == "call_module" else (plain(node.args), plain(tuple(sorted(node.kwargs.items()))))


@cache
def defaults_of(cls: Any) -> dict[str, object]:
    """The arguments of a layer that need not be given, with the values that they have then."""
    parameters = signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def plain(argument: object) -> object:
    """An argument of a node with None in the place of other nodes; what cannot be compared as its text."""
    if isinstance(argument, fx.Node):
        return None
    if isinstance(argument, (tuple, list)):
        return tuple(map(plain, argument))
    return argument if isinstance(argument, (int, float, str, bool, type(None))) else repr(argument)


def read_by(argument: object) -> Iterator[fx.Node]:
    """Every node among arguments, in their order; one that stands twice is read twice."""
    if isinstance(argument, fx.Node):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from read_by(part)
    elif isinstance(argument, dict):
        yield from read_by(tuple(argument.values()))
    elif isinstance(argument, slice):
        yield from read_by((argument.start, argument.stop, argument.step))


def outputs_of(graph: fx.Graph, nodes: Mapping[fx.Node, int]) -> tuple[tuple[str, int], ...]:
    """What a graph gives, by name or position."""
    given = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if isinstance(given, dict):
        return tuple((name, nodes[node]) for name, part in given.items() for node in read_by(part))
    return tuple((str(position), nodes[node]) for position, node in enumerate(read_by(given)))
