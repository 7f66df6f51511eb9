"""Loops: `repeat:` and `for:` as turns, each with its own names; `when:` conditions that hold in no turn.

loop → names of every turn → body, turn after turn → value, and the list that `collect:` keeps
a `when:` and the loops around it → every turn → truth of each; if a count or list is not constant, for other values too

A loop over a run-time length whose turns are all equal stays a loop (runtime_loops.py); any other is unrolled, and the
net is built for that length. A condition that holds in no turn of its loop gives a warning: its step is never built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from archscope.compile.graph_builder import StepCursor, last_node
from archscope.compile.layer_classes import linspace_help
from archscope.compile.runtime_loops import build_runtime_loop
from archscope.compile.runtime_numbers import RuntimeList, RuntimeNumber, compile_time_value
from archscope.compile.scope import Scope
from archscope.compile.step_text import data_text
from archscope.errors import Problem, Span
from archscope.spec.bounded_math import MAX_STEPS, NUMBER_FUNCTIONS, EvaluationError
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Body, Data, Expression, For, Items, Repeat, Step, Table
from archscope.spec.spec_values import MISSING, UNKNOWN, SpecValue, Value, describe_value, has_unknown

if TYPE_CHECKING:
    from archscope.compile.compile_session import CompileSession
    from archscope.compile.step_compiler import StepCompiler

MAX_TURNS = 4096
"""The maximum number of turns that are evaluated."""
MAX_TRIED_COUNT = 64
"""The largest count for which other values are tried."""
LOOP_NAMES = ("i", "first", "last")


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


@dataclass
class LoopConditions:
    """The results of the conditions of one compilation. truths_by_place: place of a condition → its text and its
    values in the turns, True, False or both; both if that is not certain."""

    truths_by_place: dict[Span, tuple[str, set[bool]]] = field(default_factory=dict)
    evaluated: set[tuple[Span, str]] = field(default_factory=set)
    with_else: set[Span] = field(default_factory=set)

    def warn_never_built(self, session: CompileSession) -> None:
        """Warn about the steps that no turn builds, in any use of their block."""
        for span, (text, truths) in self.truths_by_place.items():
            if truths == {False}:
                said = f"`when: {text}` holds in no turn of its loop: the step is never built"
                session.warn("never-built", Problem(span, said, "turns are counted from 0; or take the step out"))
            elif truths == {True} and span in self.with_else:
                said = f"`when: {text}` holds in every turn of its loop: its `else:` is never built"
                session.warn("never-built", Problem(span, said, "turns are counted from 0; or take `else:` out"))


def evaluate_turns(session: CompileSession, condition: Expression, scope: Scope, *, otherwise: bool = False) -> None:
    """Evaluate a condition that reads names of the loops around it, once for all turns."""
    loops = [outer for outer in scope.chain() if outer.loop is not None][::-1]
    names = {*LOOP_NAMES, *(name for loop in loops for name in bound_names(loop))}
    if not loops or not names.intersection(names_in(condition.tree)):
        return
    found = session.conditions = session.conditions or LoopConditions()
    outer = sorted(outer_names(condition, loops, names))
    known = condition.span, ", ".join(str(scope.find(name)) for name in outer)
    _, truths = found.truths_by_place.setdefault(condition.span, (condition.text, set()))
    if known not in found.evaluated and len(truths) < 2:
        found.evaluated.add(known)
        truths.update(find_truths(session, condition, loops, outer))
    found.with_else |= {condition.span} if otherwise else set()


def bound_names(scope: Scope) -> tuple[str, ...]:
    """Return the names that a loop binds."""
    return tuple(label.name for label in scope.loop.names) if isinstance(scope.loop, For) else ()


def loop_range(scope: Scope) -> Data:
    """Return the count of a loop, or its items."""
    assert scope.loop is not None
    return scope.loop.count if isinstance(scope.loop, Repeat) else scope.loop.items


def names_in_data(value: Data) -> Iterator[str]:
    if isinstance(value, Expression):
        yield from names_in(value.tree)
    elif isinstance(value, (Items, Table)):
        for item in value.items if isinstance(value, Items) else [entry for _, entry in value.entries]:
            yield from names_in_data(item)


def outer_names(condition: Expression, loops: Sequence[Scope], names: set[str]) -> set[str]:
    """Return the names that a condition and its loops read from outside: params, arguments, sizes."""
    read = {*names_in(condition.tree)}
    for loop in loops:
        read |= {name for name in names_in_data(loop_range(loop)) if loop.find(name) is not MISSING}
    return read - names - set(NUMBER_FUNCTIONS)


def find_truths(
    session: CompileSession, condition: Expression, loops: Sequence[Scope], outer: Sequence[str]
) -> set[bool]:
    """Return the values of a condition in all turns.

    If it reads names from outside, that must be the one number or list that the loop runs over, and the condition may
    not read its items; then other values are tried, so that a switch of the block is not reported.
    """
    unsure, found = {True, False}, set[bool]()
    items = {name for loop in loops for name in bound_names(loop)}
    if outer and (len(outer) > 1 or len(loops) > 1 or items.intersection(names_in(condition.tree))):
        return unsure
    if outer and not is_loop_length(loops[0], outer[0]):
        return unsure
    try:
        for given in alternative_values(outer[0], compile_time_value(loops[0].find(outer[0]))) if outer else [{}]:
            turns = product(*(turn_bindings(session, loop, given) for loop in loops))
            for number, turn in enumerate(turns):
                names = {name: value for part in turn for name, value in part.items()}
                turn_scope = Scope(loops[-1], {**given, **names})
                value = session.evaluator(turn_scope, ignore_turn_problem).value(condition)
                found.add(bool(value))
                if len(found) > 1 or number > MAX_TURNS or value is UNKNOWN or isinstance(value, SpecValue):
                    return unsure
    except EvaluationError:
        return unsure
    return found


def is_loop_length(scope: Scope, name: str) -> bool:
    """Return whether a name is a number in a loop's count or items, or the list that the loop runs over."""
    said = loop_range(scope)
    if isinstance(compile_time_value(scope.find(name)), int):
        return name in names_in_data(said)
    return isinstance(said, Expression) and said.text in (name, f"len({name})")


def alternative_values(name: str, value: Value) -> Iterator[Mapping[str, Value]]:
    """Return other values of a count or a list. Raises EvaluationError for other kinds of values."""
    if isinstance(value, (list, tuple)):
        yield from ({name: [*value][:number]} for number in range(1, len(value) + 1))
        yield {name: [*value, *value]}
    elif isinstance(value, int) and not isinstance(value, bool) and value <= MAX_TRIED_COUNT:
        yield from ({name: number} for number in (*range(max(24, 2 * value)), 128, 1024))
    else:
        raise EvaluationError(f"{name} is not a count")


def turn_bindings(session: CompileSession, scope: Scope, given: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Return the loop's names in every turn. Raises EvaluationError."""
    loop, names = scope.loop, bound_names(scope)
    value = session.evaluate_data(
        loop_range(scope), Scope(scope.parent, dict(given)), words=True, report=ignore_turn_problem
    )
    items = [()] * value if isinstance(loop, Repeat) and isinstance(value, int) and value <= MAX_TURNS else value
    if not isinstance(items, (list, tuple)) or len(items) > MAX_TURNS:
        raise EvaluationError("the turns are not known")
    for i, item in enumerate(items):
        row = (item,) if isinstance(loop, For) and loop.single else item
        if not isinstance(row, (list, tuple)) or len(row) != len(names):
            raise EvaluationError("the turns are not known")
        yield {"i": i, "first": i == 0, "last": i == len(items) - 1, **dict(zip(names, row, strict=True))}


def ignore_turn_problem(_span: Span, _message: str, _help: str = "") -> None:
    """Ignore a problem in another turn."""
