"""Comparison of graphs: equal forms for graphs that do the same at every size.

Numbers that the net is built for count by their value, whether the graph reads them or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from torch import fx

from archscope.compile.built_net import require
from archscope.compile.plan import BlockPlan, SharedModule
from archscope.compile.runtime_numbers import ReadNumber


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
