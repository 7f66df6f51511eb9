"""Loops over a run-time length: the body is built as one graph that runs in every turn.

every turn → a graph of its own → all equal, and without weights of their own → LoopPlan (a node of the block's graph)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import fx, nn

from archscope.compile.block_use import BlockUse
from archscope.compile.built_net import require
from archscope.compile.graph_builder import last_node, nodes_after
from archscope.compile.graph_tensor import have_same_ranks, mark_open_rank
from archscope.compile.layer_cache import Recipe
from archscope.compile.plan import BlockPlan, LoopPlan
from archscope.compile.plan_comparison import first_difference, graph_form
from archscope.compile.runtime_numbers import RuntimeList, RuntimeNumber, VaryingItems, can_pass_at_runtime, meta_values
from archscope.compile.scope import Scope
from archscope.spec.spec_types import For, Step
from archscope.spec.spec_values import UNKNOWN, Value
from archscope.trace import Location, join_path

if TYPE_CHECKING:
    from archscope.compile.step_compiler import StepCompiler

LoopLength = RuntimeNumber | RuntimeList


def build_runtime_loop(
    compiler: StepCompiler,
    step: Step,
    length: LoopLength,
    start: Value,
    scope: Scope,
    path: str,
    *,
    opening: bool = False,
) -> tuple[Value, Value] | str:
    """Return the last turn's value and the list of all values; else the reason why the loop must be unrolled, or an
    empty text.

    UNKNOWN as value if a turn has a problem, which is reported. opening: whether the ranks of values change between
    turns.
    """
    count = length.count if isinstance(length, RuntimeList) else length
    if not can_pass_at_runtime(start):
        return ""
    if not count.value:
        return _build_empty_loop(compiler, step, length, start, scope, path, opening=opening)
    first: LoopTurn | None = None
    value, metas, expected, even = start, [], [], True
    for index in range(int(count.value)):
        turn = build_turn(compiler, step, length, index, value, scope, path, opening=opening)
        if turn.value is UNKNOWN:
            return UNKNOWN, UNKNOWN
        if not can_pass_at_runtime(turn.value):
            return ""
        if first is None and has_weights(turn.use):
            return f"every turn has parameters or buffers of its own: {_node_text(_first_with_weights(turn.use))}"
        if not opening and not have_same_ranks(meta_values(turn.value), meta_values(value)):
            return build_runtime_loop(compiler, step, length, start, scope, path, opening=True)
        first = first or turn
        if turn is not first and graph_form(turn.use.plan) != graph_form(first.use.plan):
            return f"they differ at {_node_text(first_difference(first.use.plan, turn.use.plan))}"
        even = even and node_shapes(turn.use.plan) == node_shapes(first.use.plan)
        value = turn.value
        metas.append(meta_values(value))
        expected += [replace(e, path=join_path(path, str(index), e.path)) for e in turn.use.plan.expected]
    assert first is not None
    compiler.use.plan.expected += expected
    return add_loop_node(compiler.use, first.use, length, start, metas, path, even=even, opening=opening)


def node_shapes(plan: BlockPlan) -> list[Value]:
    """Return the shapes of the values of a graph, in order."""
    return [node.meta.get("shapes") for node in plan.graph.nodes]


def _build_empty_loop(
    compiler: StepCompiler, step: Step, length: LoopLength, start: Value, scope: Scope, path: str, *, opening: bool
) -> tuple[Value, Value] | str:
    """Return the value of a loop without turns at these sizes; one turn is built, if possible, as its body."""
    session = compiler.use.session
    if isinstance(length, RuntimeList) and length.sample_item is None:
        return ""
    with session.trial() as sound:
        turn = build_turn(compiler, step, length, 0, start, scope, path, opening=opening)
    fits = sound() and turn.value is not UNKNOWN and can_pass_at_runtime(turn.value) and not has_weights(turn.use)
    if fits and not opening and not have_same_ranks(meta_values(turn.value), meta_values(start)):
        return _build_empty_loop(compiler, step, length, start, scope, path, opening=True)
    return add_loop_node(compiler.use, turn.use, length, start, [], path, opening=opening) if fits else ""


@dataclass(frozen=True)
class LoopTurn:
    """One turn of a loop, built on its own: its graph and its value."""

    use: BlockUse
    value: Value


def build_turn(
    compiler: StepCompiler,
    step: Step,
    length: LoopLength,
    index: int,
    before: Value,
    scope: Scope,
    path: str,
    *,
    opening: bool,
) -> LoopTurn:
    """Return one turn, whose number is a run-time number."""
    from archscope.compile.loops import bind_row

    around = compiler.use
    plan = BlockPlan(around.plan.name, "", fx.Graph())
    use = BlockUse(
        around.session,
        plan,
        around.frames,
        prefix=join_path(around.prefix, path),
        outer=around,
        first_input=around.first_input,
    )
    itemized = isinstance(step.loop, For) and isinstance(length, RuntimeList)
    nodes = [use.graph.placeholder(name) for name in ("prev", *(["item"] if itemized else []), "i")]
    prev = use.wrap_result(nodes[0], mark_open_rank(meta_values(before)) if opening else meta_values(before), "prev")
    names: dict[str, Value] = {}
    if isinstance(step.loop, For) and isinstance(length, RuntimeList):
        meta = length.meta_items[index] if length.meta_items else length.sample_item
        names = bind_row(compiler, step.loop, use.wrap_result(nodes[1], meta, "item"), step.loop.items.span)
    number: Any = use.wrap_result(nodes[-1], index, "i")
    count: Any = length.count if isinstance(length, RuntimeList) else length
    first = number.compare_lists("==", number, 0, use)
    last = number.compare_lists("==", number, count.compare_lists("-", count, 1, use), use)
    inner = Scope(scope, {"i": number, "first": first, "last": last, **names}, loop=step.loop)
    value = replace(compiler, use=use).compile_body(step.body, prev, inner, "")
    if value is not UNKNOWN and can_pass_at_runtime(value):
        use.graph.output(use.lower(value))
        use.drop_unused_items()
    return LoopTurn(use, value)


def has_weights(turn: BlockUse) -> bool:
    """Return whether a turn has its own parameters or buffers, so that turns cannot share a graph."""
    members = [member for _, member in turn.plan.walk()]
    return any(
        not isinstance(member, Recipe) or _has_state(turn.session.layer_cache.meta_module(member)) for member in members
    )


def _first_with_weights(turn: BlockUse) -> fx.Node | None:
    """Return the first node of a turn that has parameters or buffers."""
    for node in turn.graph.nodes:
        member = turn.plan.members.get(str(node.target)) if node.op in ("call_module", "get_attr") else None
        if member is not None and not (
            isinstance(member, Recipe) and not _has_state(turn.session.layer_cache.meta_module(member))
        ):
            return node
    return None


def _node_text(node: fx.Node | None) -> str:
    """Return a node's step as messages name it."""
    if node is None or node.op == "output":
        return "what they give"
    if node.target is require:
        return str(node.args[4])
    site = node.meta.get("site") or node.meta.get("step")
    place = f" ({site.place.file}:{site.place.line})" if site is not None and site.place else ""
    return f"{site.name} {site.text}".strip() + place if site is not None else node.name


def _has_state(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def add_loop_node(
    use: BlockUse,
    turn: BlockUse,
    length: LoopLength,
    start: Value,
    metas: list[Any],
    path: str,
    *,
    even: bool = True,
    opening: bool = False,
) -> tuple[Value, RuntimeList]:
    """Add the loop as a node to the enclosing graph; return its value and the list of all turns' values."""
    members = turn.plan.members.items()
    renamed = {name: use.add(member, join_path(path, name.removeprefix("."))) for name, member in members}
    rename_members(turn.graph, renamed)
    before = last_node(use.graph)
    items = use.lower(length) if isinstance(length, RuntimeList) else None
    count = None if items is not None else use.lower(length)
    for node in nodes_after(use.graph, before):  # the list of a loop is a step in errors, but not in tables
        node.meta["line"] = Location(join_path(path, "in"), length.text, "step", "", use.cursor.span)
    captured = tuple(use.lower(value) for value in turn.plan.captured)
    node = use.graph.call_function(run_loop, (use.lower(start), items, count, captured))
    node.meta["loop"] = LoopPlan(turn.plan, len(metas), path, itemized=items is not None, is_even=even)
    last, every = (use.graph.call_function(operator.getitem, (node, index)) for index in (0, 1))
    use.item_nodes |= {last: None, every: None}
    given = metas[-1] if metas else meta_values(start)
    value = use.wrap_result(last, mark_open_rank(given) if opening else given)
    return value, RuntimeList(use, lambda: every, VaryingItems(metas), path)


def run_loop(*args: Value) -> Value:
    """Stand for a loop as the target of its node; the loop itself is in the node's `meta`."""
    raise NotImplementedError


def rename_members(graph: fx.Graph, names: Mapping[str, str]) -> None:
    """Rename the members that a turn's graph calls to their names in the enclosing block."""
    for node in graph.nodes:
        if "own" in node.meta:
            node.target = names.get(node.target, node.target)
        if "loop" in node.meta:
            rename_members(node.meta["loop"].turn.graph, names)
