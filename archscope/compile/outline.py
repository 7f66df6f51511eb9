"""A Plan as plain data, for whoever compares two of them: BlockPlan → PlannedBlock, each distinct one once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import fx

from archscope.compile.layers import Foundry, Recipe
from archscope.compile.plan import BlockPlan, Plan, Raw, Shared, is_number, read_by
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
            self.made[id(plan)] = self.graph(plan.graph, plan)
        return self.made[id(plan)]

    def graph(self, graph: fx.Graph, plan: BlockPlan) -> PlannedBlock:
        """A graph of a block: its own, or a turn's of a loop in it."""
        nodes = {n: index for index, n in enumerate(n for n in graph.nodes if n.op != "output" and not is_number(n))}
        steps = tuple(self.step(plan, node, nodes) for node in nodes)
        inputs = sum(node.op == "placeholder" for node in nodes)
        return PlannedBlock(plan.name, plan.text, steps, inputs, outputs_of(graph, nodes))

    def step(self, plan: BlockPlan, node: fx.Node, nodes: Mapping[fx.Node, int]) -> PlannedStep:
        member = plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
        member = member.made if isinstance(member, Shared) else member
        loop, block = node.meta.get("loop"), node.meta.get("plan")
        site: Site | None = node.meta.get("site") or node.meta.get("step")
        return PlannedStep(
            name=name_of(node, member),
            path=site.path if site is not None else loop.path if loop is not None else "",
            place=site.place if site is not None else None,
            reads=tuple(nodes[read] for read in read_by((node.args, node.kwargs)) if read in nodes),
            shapes=node.meta.get("shapes", ()),
            params=self.parameters(member),
            arguments=arguments_of(node, member),
            block=self.block(block) if block else self.graph(loop.turn.graph, plan) if loop else None,
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
    """An argument of a node with None in the place of tensors; what cannot be compared as its text."""
    if isinstance(argument, fx.Node):
        if not is_number(argument):
            return None
        return str(getattr(argument.target, "__name__", argument.target)), plain(argument.args)
    if isinstance(argument, (tuple, list)):
        return tuple(map(plain, argument))
    return argument if isinstance(argument, (int, float, str, bool, type(None))) else repr(argument)


def outputs_of(graph: fx.Graph, nodes: Mapping[fx.Node, int]) -> tuple[tuple[str, int], ...]:
    """What a graph gives, by name or position."""
    given = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if isinstance(given, dict):
        return tuple((name, nodes[node]) for name, part in given.items() for node in read_by(part) if node in nodes)
    return tuple((str(position), nodes[node]) for position, node in enumerate(read_by(given)) if node in nodes)
