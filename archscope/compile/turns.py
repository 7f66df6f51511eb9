"""A loop that follows a length of the run: its body as one graph, of which every turn is a run.

every turn → a graph of its own → all alike, and without weights of their own → Loop (a node of the block's graph)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import fx, nn

from archscope.compile.built import require
from archscope.compile.layers import Recipe
from archscope.compile.likeness import form_of, unlike_at
from archscope.compile.metas import opened, same_ranks
from archscope.compile.numbers import RuntimeList, RuntimeNumber, Varying, metas_of, travels
from archscope.compile.plan import BlockPlan, Loop
from archscope.compile.scope import Scope
from archscope.compile.use import Use, last_node, nodes_after
from archscope.spec.model import For, Step
from archscope.spec.things import UNKNOWN
from archscope.trace import Site, join_path

if TYPE_CHECKING:
    from archscope.compile.steps import Walk

Length = RuntimeNumber | RuntimeList


def run_time_loop(
    walk: Walk, step: Step, length: Length, start: object, scope: Scope, path: str, *, opening: bool = False
) -> tuple[object, object] | str:
    """The last turn's value and the list of all; where the loop must be written out, why, or an empty text.

    UNKNOWN where a turn has a problem, which is reported. opening: whether the ranks of values change in turns.
    """
    count = length.count if isinstance(length, RuntimeList) else length
    if not travels(start):
        return ""
    if not count.value:
        return _never_run(walk, step, length, start, scope, path, opening=opening)
    first: Turn | None = None
    value, metas, expected, even = start, [], [], True
    for index in range(int(count.value)):
        turn = built_turn(walk, step, length, index, value, scope, path, opening=opening)
        if turn.value is UNKNOWN:
            return UNKNOWN, UNKNOWN
        if not travels(turn.value):
            return ""
        if first is None and has_weights(turn.use):
            return f"every turn has parameters or buffers of its own: {_told(_owner_of_weights(turn.use))}"
        if not opening and not same_ranks(metas_of(turn.value), metas_of(value)):
            return run_time_loop(walk, step, length, start, scope, path, opening=True)
        first = first or turn
        if turn is not first and form_of(turn.use.plan) != form_of(first.use.plan):
            return f"they differ at {_told(unlike_at(first.use.plan, turn.use.plan))}"
        even = even and shapes_of(turn.use.plan) == shapes_of(first.use.plan)
        value = turn.value
        metas.append(metas_of(value))
        expected += [replace(e, path=join_path(path, str(index), e.path)) for e in turn.use.plan.expected]
    assert first is not None
    walk.use.plan.expected += expected
    return as_loop(walk.use, first.use, length, start, metas, path, even=even, opening=opening)


def shapes_of(plan: BlockPlan) -> list[object]:
    """What the values of a graph measure, in their order."""
    return [node.meta.get("shapes") for node in plan.graph.nodes]


def _never_run(
    walk: Walk, step: Step, length: Length, start: object, scope: Scope, path: str, *, opening: bool
) -> tuple[object, object] | str:
    """A loop without a turn at these sizes: what a turn would be is seen on one that is not run, where that can be."""
    workshop = walk.use.workshop
    if isinstance(length, RuntimeList) and length.sample is None:
        return ""
    with workshop.trial() as sound:
        turn = built_turn(walk, step, length, 0, start, scope, path, opening=opening)
    fits = sound() and turn.value is not UNKNOWN and travels(turn.value) and not has_weights(turn.use)
    if fits and not opening and not same_ranks(metas_of(turn.value), metas_of(start)):
        return _never_run(walk, step, length, start, scope, path, opening=True)
    return as_loop(walk.use, turn.use, length, start, [], path, opening=opening) if fits else ""


@dataclass(frozen=True)
class Turn:
    """One turn of a loop, built on its own: its graph, and what it gives."""

    use: Use
    value: object


def built_turn(
    walk: Walk, step: Step, length: Length, index: int, before: object, scope: Scope, path: str, *, opening: bool
) -> Turn:
    """The turn of one number, which comes in as a number of the run."""
    from archscope.compile.loops import row

    around = walk.use
    plan = BlockPlan(around.plan.name, "", fx.Graph())
    use = Use(
        around.workshop, plan, around.frames, prefix=join_path(around.prefix, path), around=around, door=around.door
    )
    itemized = isinstance(step.loop, For) and isinstance(length, RuntimeList)
    nodes = [use.graph.placeholder(name) for name in ("prev", *(["item"] if itemized else []), "i")]
    prev = use.wrap(nodes[0], opened(metas_of(before)) if opening else metas_of(before), "prev")
    names: dict[str, object] = {}
    if isinstance(step.loop, For) and isinstance(length, RuntimeList):
        meta = length.metas[index] if length.metas else length.sample
        names = row(walk, step.loop, use.wrap(nodes[1], meta, "item"), step.loop.items.span)
    number: Any = use.wrap(nodes[-1], index, "i")
    count: Any = length.count if isinstance(length, RuntimeList) else length
    first = number.joint("==", number, 0, use)
    last = number.joint("==", number, count.joint("-", count, 1, use), use)
    inner = Scope(scope, {"i": number, "first": first, "last": last, **names}, loop=step.loop)
    value = replace(walk, use=use).body(step.body, prev, inner, "")
    if value is not UNKNOWN and travels(value):
        use.graph.output(use.lowered(value))
        drop_unused(use)
    return Turn(use, value)


def drop_unused(use: Use) -> None:
    """Takes the items of lists and tuples out of a graph that nothing uses."""
    for node in reversed(use.parts):
        if not node.users:
            use.graph.erase_node(node)


def has_weights(turn: Use) -> bool:
    """Whether a turn has parameters or buffers of its own, so that each turn must have its own."""
    members = [member for _, member in turn.plan.walk()]
    return any(not isinstance(member, Recipe) or _holds(turn.workshop.foundry.skeleton(member)) for member in members)


def _owner_of_weights(turn: Use) -> fx.Node | None:
    """The first node of a turn that calls, or is, what has parameters or buffers."""
    for node in turn.graph.nodes:
        member = turn.plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
        if member is not None and not (
            isinstance(member, Recipe) and not _holds(turn.workshop.foundry.skeleton(member))
        ):
            return node
    return None


def _told(node: fx.Node | None) -> str:
    """A node's step as messages name it."""
    if node is None or node.op == "output":
        return "what they give"
    if node.target is require:
        return str(node.args[4])
    site = node.meta.get("site") or node.meta.get("step")
    place = f" ({site.place.file}:{site.place.line})" if site is not None and site.place else ""
    return f"{site.name} {site.text}".strip() + place if site is not None else node.name


def _holds(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def as_loop(
    use: Use,
    turn: Use,
    length: Length,
    start: object,
    metas: list[Any],
    path: str,
    *,
    even: bool = True,
    opening: bool = False,
) -> tuple[object, RuntimeList]:
    """The loop as a node of the graph around it; its value, and the list of every turn's."""
    members = turn.plan.members.items()
    renamed = {name: use.add(member, join_path(path, name.removeprefix("."))) for name, member in members}
    rename(turn.graph, renamed)
    before = last_node(use.graph)
    items = use.lowered(length) if isinstance(length, RuntimeList) else None
    count = None if items is not None else use.lowered(length)
    for made in nodes_after(use.graph, before):  # the list of a loop has no step of its own in tables, but in errors
        made.meta["line"] = Site(join_path(path, "in"), length.text, "step", "", use.here.span)
    captured = tuple(use.lowered(value) for value in turn.plan.captured)
    node = use.graph.call_function(loop, (use.lowered(start), items, count, captured))
    node.meta["loop"] = Loop(turn.plan, len(metas), path, itemized=items is not None, even=even)
    last, every = (use.graph.call_function(operator.getitem, (node, index)) for index in (0, 1))
    use.parts |= {last: None, every: None}
    given = metas[-1] if metas else metas_of(start)
    value = use.wrap(last, opened(given) if opening else given)
    return value, RuntimeList(use, lambda: every, Varying(metas), path)


def loop(*args: object) -> object:
    """What a loop's node calls; the loop itself stands in the node's `meta`."""
    raise NotImplementedError


def rename(graph: fx.Graph, names: Mapping[str, str]) -> None:
    """Gives the members of a turn that a graph calls their names in the block around it; a declared module has one."""
    for node in graph.nodes:
        if "own" in node.meta:
            node.target = names.get(node.target, node.target)
        if "loop" in node.meta:
            rename(node.meta["loop"].turn.graph, names)
