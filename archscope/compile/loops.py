"""Loops: `repeat:` and `for:` as turns, each with its own names.

loop → names of every turn → body, turn after turn → value, and the list that `collect:` keeps

A loop over a run-time length whose turns are all equal stays a loop (runtime_loops.py); any other is unrolled, and the
net is built for that length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archscope.compile.block_use import last_node
from archscope.compile.graph_builder import StepCursor
from archscope.compile.layer_classes import linspace_help
from archscope.compile.runtime_loops import build_runtime_loop
from archscope.compile.runtime_numbers import RuntimeList, RuntimeNumber, compile_time_value
from archscope.compile.scope import Scope
from archscope.compile.step_text import data_text
from archscope.errors import Span
from archscope.spec.bounded_math import EvaluationError
from archscope.spec.spec_types import Body, For, Items, Repeat, Step
from archscope.spec.spec_values import UNKNOWN, Value, describe_value, has_unknown
from archscope.spec.work_budget import MAX_STEPS

if TYPE_CHECKING:
    from archscope.compile.step_compiler import StepCompiler


def build_loop(compiler: StepCompiler, step: Step, start: Value, scope: Scope, path: str) -> Value:
    """Return the value after the last turn; every turn starts from the value of the turn before it."""
    session, around = compiler.use.session, compiler.use.session.loop_turns
    try:
        length = loop_length(compiler, step, start, scope, path)
        session.loop_turns *= max(1, turn_count(length))
        if session.loop_turns > MAX_STEPS:
            raise EvaluationError(
                f"nested loops of {session.loop_turns:,} turns; at most {MAX_STEPS:,} are allowed", "a smaller count"
            )
        if (least := session.loop_turns * count_steps(step.body)) > MAX_STEPS:
            raise EvaluationError(
                f"loops of {least:,} steps or more; at most {MAX_STEPS:,} are allowed", "a smaller count"
            )
        if isinstance(length, (RuntimeNumber, RuntimeList)):
            found = build_runtime_loop(compiler, step, length, start, scope, path)
            if not isinstance(found, str):
                return store_collected(step, scope, *found)
            compiler.use.cursor.reason = f"; its turns are written out, as {found}" * bool(found)
        passes = names_by_turn(compiler, step, length)
        value, collected = start, []
        for i, names in enumerate(passes):
            inner = Scope(scope, {"i": i, "first": i == 0, "last": i == len(passes) - 1, **names}, loop=step.loop)
            value = compiler.compile_body(step.body, value, inner, f"{path}.{i}" if path else str(i))
            collected.append(value)
            if value is UNKNOWN:
                break
    finally:
        session.loop_turns = around
    return store_collected(step, scope, value, collected)


def count_steps(body: Body) -> int:
    """Return the minimum number of steps of a body; loops in it count their turns themselves."""
    if isinstance(body, tuple):
        return sum(count_steps(step.body) for step in body)
    return count_steps(body.body) if isinstance(body, Step) else 1


def turn_count(length: Any) -> int:
    """Return the number of turns at these sizes."""
    count = compile_time_value(length)
    return 1 if count is UNKNOWN else count if isinstance(count, int) else len(count)


def store_collected(step: Step, scope: Scope, value: Value, collected: Value) -> Value:
    """Bind the list of all turns' values to its name."""
    if step.collect is not None:
        scope.table[step.collect.name] = UNKNOWN if value is UNKNOWN or has_unknown(collected) else collected
    return value


def loop_length(compiler: StepCompiler, step: Step, prev: Value, scope: Scope, path: str) -> Value:
    """Return the count or the list of a loop; UNKNOWN if it cannot be evaluated, which is reported."""
    loop = step.loop
    place = loop.count.span if isinstance(loop, Repeat) else loop.items.span if loop else step.span
    compiler.use.cursor = StepCursor(path, place, text="for" if isinstance(loop, For) else "repeat")
    try:
        if isinstance(loop, Repeat):
            return repeat_count(compiler, loop, prev, scope)
        assert isinstance(loop, For)
        return loop_items(compiler, loop, prev, scope, f"{path}.in" if path else "in")
    except EvaluationError as fault:
        compiler.use.report(place, fault.message, fault.help)
        return UNKNOWN


def loop_items(compiler: StepCompiler, loop: For, prev: Value, scope: Scope, path: str) -> Value:
    """Return the list of a `for`. Raises EvaluationError."""
    session, inner = compiler.use.session, Scope(scope, {"prev": prev})
    compiler.use.cursor, before = (
        StepCursor(path, loop.items.span, text=data_text(loop.items)),
        last_node(compiler.use.graph),
    )
    items = session.evaluate_data(loop.items, inner, words=True, report=compiler.use.report, host=compiler.use)
    compiler.assign_sites(before, path, loop.items.span, lambda _: data_text(loop.items))
    if items is not UNKNOWN and not isinstance(items, (list, tuple, RuntimeList)):
        example = "for example in: [16, 32, 64]; range(n) makes a list of numbers, x.unbind(1) one of tensors"
        help = linspace_help(items) or example
        raise EvaluationError(f"for … in: takes a list, not {describe_value(items)}", help)
    return items


def names_by_turn(compiler: StepCompiler, step: Step, length: Value) -> Sequence[dict[str, Value]]:
    """Return the loop's own names in each turn. A loop that could not be evaluated has one turn."""
    loop = step.loop
    if isinstance(loop, Repeat):
        count: Any = length.to_plain(compiler.use) if isinstance(length, RuntimeNumber) else length
        return [{}] if count is UNKNOWN else [{}] * int(count)
    assert isinstance(loop, For)
    if length is UNKNOWN:
        return [{name.name: UNKNOWN for name in loop.names}]
    items: Any = length.to_plain(compiler.use) if isinstance(length, RuntimeList) else length
    places = [item.span for item in loop.items.items] if isinstance(loop.items, Items) else []
    return [bind_row(compiler, loop, item, places[i] if places else loop.items.span) for i, item in enumerate(items)]


def bind_row(compiler: StepCompiler, loop: For, item: Value, place: Span) -> dict[str, Value]:
    """Return the names of one turn; report a row of the wrong length at its place."""
    if loop.single:
        return {loop.names[0].name: item}
    if isinstance(item, (list, tuple)) and len(item) == len(loop.names):
        return {label.name: value for label, value in zip(loop.names, item, strict=True)}
    names = ", ".join(label.name for label in loop.names)
    compiler.use.report(
        place, f"for: {len(loop.names)} names ({names}), but this row is {describe_value(item)}", "one item a name"
    )
    return {label.name: UNKNOWN for label in loop.names}


def repeat_count(compiler: StepCompiler, loop: Repeat, prev: Value, scope: Scope) -> Value:
    """Return the number of turns of a `repeat`. Raises EvaluationError."""
    count = compiler.evaluate(loop.count, prev, scope)
    if count is UNKNOWN:
        return count
    number = count.value if isinstance(count, RuntimeNumber) else count
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise EvaluationError(f"repeat: takes a whole number, not {describe_value(count)}", "for example repeat: 3")
    if number > MAX_STEPS:
        raise EvaluationError(f"repeat: {number:,} turns; at most {MAX_STEPS:,} are allowed", "a smaller count")
    return count
