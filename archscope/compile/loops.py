"""Loops: `repeat:` and `for:` as turns, each with names of its own.

loop → names of every turn → body, turn after turn → value, and the list that `collect:` keeps
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archscope.compile.scope import Scope
from archscope.compile.workshop import MODULES
from archscope.errors import Span
from archscope.spec.evaluate import UNKNOWN, known_by_halves, shown
from archscope.spec.model import For, Items, Repeat, Step
from archscope.spec.numbers import Fault

if TYPE_CHECKING:
    from archscope.compile.steps import Walk


def turns(walk: Walk, step: Step, start: object, scope: Scope, path: str) -> object:
    """The value after the last turn; every turn starts from the value before it."""
    workshop, around = walk.use.workshop, walk.use.workshop.turns
    passes = names_of_turns(walk, step, start, scope)
    workshop.turns *= max(1, len(passes))
    if workshop.turns > MODULES:
        workshop.turns, total = around, workshop.turns
        raise Fault(f"nested loops of {total:,} turns; at most {MODULES:,} are allowed", "a smaller count")
    value, collected = start, []
    for i, names in enumerate(passes):
        inner = Scope(scope, {"i": i, "first": i == 0, "last": i == len(passes) - 1, **names})
        value = walk.body(step.body, value, inner, f"{path}.{i}" if path else str(i))
        collected.append(value)
        if value is UNKNOWN:
            break
    workshop.turns = around
    if step.collect is not None:
        scope.table[step.collect.name] = UNKNOWN if known_by_halves(collected) else collected
    return value


def names_of_turns(walk: Walk, step: Step, prev: object, scope: Scope) -> Sequence[dict[str, object]]:
    """The loop's own names in each turn. A loop that cannot be worked out is reported and has one turn."""
    loop = step.loop
    try:
        if isinstance(loop, Repeat):
            return [{}] * count_of(walk, loop, prev, scope)
        assert isinstance(loop, For)
        return rows(walk, loop, prev, scope)
    except Fault as fault:
        place = loop.count.span if isinstance(loop, Repeat) else loop.items.span if loop else step.span
        walk.use.report(place, fault.message, fault.help)
        return [{name.name: UNKNOWN for name in loop.names} if isinstance(loop, For) else {}]


def rows(walk: Walk, loop: For, prev: object, scope: Scope) -> list[dict[str, object]]:
    """The names of every turn of a `for`. Raises Fault."""
    workshop, inner = walk.use.workshop, Scope(scope, {"prev": prev})
    items = workshop.data(loop.items, inner, words=True, report=walk.use.report, host=walk.use)
    if items is UNKNOWN:
        return [{name.name: UNKNOWN for name in loop.names}]
    if not isinstance(items, (list, tuple)):
        raise Fault(f"for … in: takes a list, not {shown(items)}", "for example in: [16, 32, 64]")
    places = [item.span for item in loop.items.items] if isinstance(loop.items, Items) else []
    return [row(walk, loop, item, places[i] if places else loop.items.span) for i, item in enumerate(items)]


def row(walk: Walk, loop: For, item: object, place: Span) -> dict[str, object]:
    """The names of one turn; a row of another length is reported at its place."""
    if loop.single:
        return {loop.names[0].name: item}
    if isinstance(item, (list, tuple)) and len(item) == len(loop.names):
        return {label.name: value for label, value in zip(loop.names, item, strict=True)}
    names = ", ".join(label.name for label in loop.names)
    walk.use.report(place, f"for: {len(loop.names)} names ({names}), but this row is {shown(item)}", "one item a name")
    return {label.name: UNKNOWN for label in loop.names}


def count_of(walk: Walk, loop: Repeat, prev: object, scope: Scope) -> int:
    """The turns of a `repeat`. Raises Fault."""
    count = walk.value(loop.count, prev, scope)
    if count is UNKNOWN:
        return 1
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise Fault(f"repeat: takes a whole number, not {shown(count)}", "for example repeat: 3")
    if count > MODULES:
        raise Fault(f"repeat: {count:,} turns; at most {MODULES:,} are allowed", "a smaller count")
    return int(count)
