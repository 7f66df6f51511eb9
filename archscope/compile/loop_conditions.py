"""Warnings about `when:` conditions that hold in no turn of their loop, so that the step is never built.

a `when:` and the loops around it → every turn → truth of each; if a count or list is not constant, for other values too
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from archscope.compile.runtime_numbers import compile_time_value
from archscope.compile.scope import Scope
from archscope.errors import Problem, Span
from archscope.spec.bounded_math import NUMBER_FUNCTIONS, EvaluationError
from archscope.spec.name_usage import names_in
from archscope.spec.spec_types import Data, Expression, For, Items, Repeat, Table
from archscope.spec.spec_values import MISSING, UNKNOWN, SpecValue, Value

if TYPE_CHECKING:
    from archscope.compile.compilation import CompileSession

MAX_TURNS = 4096
"""The maximum number of turns that are evaluated."""
MAX_TRIED_COUNT = 64
"""The largest count for which other values are tried."""
LOOP_NAMES = ("i", "first", "last")


@dataclass
class LoopConditions:
    """The results of the conditions of one compilation. truths_by_place: place of a condition → its text and its
    values in the turns, True, False or both; both if that is not certain."""

    truths_by_place: dict[Span, tuple[str, set[bool]]] = field(default_factory=dict)
    evaluated: set[tuple[Span, str]] = field(default_factory=set)
    with_else: set[Span] = field(default_factory=set)

    def evaluate_turns(
        self, session: CompileSession, condition: Expression, scope: Scope, *, otherwise: bool = False
    ) -> None:
        """Evaluate a condition that reads names of the loops around it, once for all turns."""
        loops = [outer for outer in scope.chain() if outer.loop is not None][::-1]
        names = {*LOOP_NAMES, *(name for loop in loops for name in bound_names(loop))}
        if not loops or not names.intersection(names_in(condition.tree)):
            return
        outer = sorted(outer_names(condition, loops, names))
        known = condition.span, ", ".join(str(scope.find(name)) for name in outer)
        _, truths = self.truths_by_place.setdefault(condition.span, (condition.text, set()))
        if known not in self.evaluated and len(truths) < 2:
            self.evaluated.add(known)
            truths.update(find_truths(session, condition, loops, outer))
        self.with_else |= {condition.span} if otherwise else set()

    def warn_never_built(self, session: CompileSession) -> None:
        """Warn about the steps that no turn builds, in any use of their block."""
        for span, (text, truths) in self.truths_by_place.items():
            if truths == {False}:
                said = f"`when: {text}` holds in no turn of its loop: the step is never built"
                session.warn("never-built", Problem(span, said, "turns are counted from 0; or take the step out"))
            elif truths == {True} and span in self.with_else:
                said = f"`when: {text}` holds in every turn of its loop: its `else:` is never built"
                session.warn("never-built", Problem(span, said, "turns are counted from 0; or take `else:` out"))


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
