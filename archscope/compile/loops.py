"""Loops: `repeat:` and `for:` as turns, each with names of its own.

loop → names of every turn → body, turn after turn → value, and the list that `collect:` keeps

A loop whose length is a number of the run, and whose turns are all built alike, is one loop when the net runs
(turns.py); any other is written out turn after turn, and the net is built for that length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archscope.compile.graphs import Here
from archscope.compile.kinds import of_linspace
from archscope.compile.numbers import RuntimeList, RuntimeNumber, plain
from archscope.compile.scope import Scope
from archscope.compile.step_text import data_text
from archscope.compile.turns import run_time_loop
from archscope.compile.use import last_node
from archscope.errors import Span
from archscope.spec.budget import STEPS
from archscope.spec.model import Body, For, Items, Repeat, Step
from archscope.spec.numbers import Fault
from archscope.spec.things import UNKNOWN, known_by_halves, shown

if TYPE_CHECKING:
    from archscope.compile.steps import Walk


def turns(walk: Walk, step: Step, start: object, scope: Scope, path: str) -> object:
    """The value after the last turn; every turn starts from the value before it."""
    workshop, around = walk.use.workshop, walk.use.workshop.turns
    try:
        length = length_of(walk, step, start, scope, path)
        workshop.turns *= max(1, turn_count(length))
        if workshop.turns > STEPS:
            raise Fault(f"nested loops of {workshop.turns:,} turns; at most {STEPS:,} are allowed", "a smaller count")
        if (least := workshop.turns * steps_in(step.body)) > STEPS:
            raise Fault(f"loops of {least:,} steps or more; at most {STEPS:,} are allowed", "a smaller count")
        if isinstance(length, (RuntimeNumber, RuntimeList)):
            found = run_time_loop(walk, step, length, start, scope, path)
            if not isinstance(found, str):
                return collect(step, scope, *found)
            walk.use.here.why = f"; its turns are written out, as {found}" * bool(found)
        passes = names_of_turns(walk, step, length)
        value, collected = start, []
        for i, names in enumerate(passes):
            inner = Scope(scope, {"i": i, "first": i == 0, "last": i == len(passes) - 1, **names}, loop=step.loop)
            value = walk.body(step.body, value, inner, f"{path}.{i}" if path else str(i))
            collected.append(value)
            if value is UNKNOWN:
                break
    finally:
        workshop.turns = around
    return collect(step, scope, value, collected)


def steps_in(body: Body) -> int:
    """How many steps a body has at least; loops in it count their turns themselves."""
    if isinstance(body, tuple):
        return sum(steps_in(step.body) for step in body)
    return steps_in(body.body) if isinstance(body, Step) else 1


def turn_count(length: Any) -> int:
    """How often a loop turns at these sizes."""
    count = plain(length)
    return 1 if count is UNKNOWN else count if isinstance(count, int) else len(count)


def collect(step: Step, scope: Scope, value: object, collected: object) -> object:
    """Keeps the list of every turn's value under its name."""
    if step.collect is not None:
        scope.table[step.collect.name] = UNKNOWN if value is UNKNOWN or known_by_halves(collected) else collected
    return value


def length_of(walk: Walk, step: Step, prev: object, scope: Scope, path: str) -> object:
    """What a loop goes through: a count, or a list. UNKNOWN for one that cannot be worked out, which is reported."""
    loop = step.loop
    place = loop.count.span if isinstance(loop, Repeat) else loop.items.span if loop else step.span
    walk.use.here = Here(path, place, text="for" if isinstance(loop, For) else "repeat")
    try:
        if isinstance(loop, Repeat):
            return count_of(walk, loop, prev, scope)
        assert isinstance(loop, For)
        return items_of(walk, loop, prev, scope, f"{path}.in" if path else "in")
    except Fault as fault:
        walk.use.report(place, fault.message, fault.help)
        return UNKNOWN


def items_of(walk: Walk, loop: For, prev: object, scope: Scope, path: str) -> object:
    """The list of a `for`. Raises Fault."""
    workshop, inner = walk.use.workshop, Scope(scope, {"prev": prev})
    walk.use.here, before = Here(path, loop.items.span, text=data_text(loop.items)), last_node(walk.use.graph)
    items = workshop.data(loop.items, inner, words=True, report=walk.use.report, host=walk.use)
    walk.give_sites(before, path, loop.items.span, lambda _: data_text(loop.items))
    if items is not UNKNOWN and not isinstance(items, (list, tuple, RuntimeList)):
        example = "for example in: [16, 32, 64]; range(n) makes a list of numbers, x.unbind(1) one of tensors"
        cure = of_linspace(items) or example
        raise Fault(f"for … in: takes a list, not {shown(items)}", cure)
    return items


def names_of_turns(walk: Walk, step: Step, length: object) -> Sequence[dict[str, object]]:
    """The loop's own names in each turn. A loop that could not be worked out has one turn."""
    loop = step.loop
    if isinstance(loop, Repeat):
        count: Any = length.settled(walk.use) if isinstance(length, RuntimeNumber) else length
        return [{}] if count is UNKNOWN else [{}] * int(count)
    assert isinstance(loop, For)
    if length is UNKNOWN:
        return [{name.name: UNKNOWN for name in loop.names}]
    items = length.settled(walk.use) if isinstance(length, RuntimeList) else length
    places = [item.span for item in loop.items.items] if isinstance(loop.items, Items) else []
    return [row(walk, loop, item, places[i] if places else loop.items.span) for i, item in enumerate(items)]  # type: ignore[arg-type]


def row(walk: Walk, loop: For, item: object, place: Span) -> dict[str, object]:
    """The names of one turn; a row of another length is reported at its place."""
    if loop.single:
        return {loop.names[0].name: item}
    if isinstance(item, (list, tuple)) and len(item) == len(loop.names):
        return {label.name: value for label, value in zip(loop.names, item, strict=True)}
    names = ", ".join(label.name for label in loop.names)
    walk.use.report(place, f"for: {len(loop.names)} names ({names}), but this row is {shown(item)}", "one item a name")
    return {label.name: UNKNOWN for label in loop.names}


def count_of(walk: Walk, loop: Repeat, prev: object, scope: Scope) -> object:
    """The turns of a `repeat`. Raises Fault."""
    count = walk.value(loop.count, prev, scope)
    if count is UNKNOWN:
        return count
    number = count.value if isinstance(count, RuntimeNumber) else count
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise Fault(f"repeat: takes a whole number, not {shown(count)}", "for example repeat: 3")
    if number > STEPS:
        raise Fault(f"repeat: {number:,} turns; at most {STEPS:,} are allowed", "a smaller count")
    return count
