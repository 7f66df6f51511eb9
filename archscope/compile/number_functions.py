"""Functions of numbers and of lists, on plain values or on those that are worked out when the net runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.compile.built import counted, fraction, paired, turned, whole
from archscope.compile.numbers import (
    RuntimeList,
    RuntimeNumber,
    computed,
    known,
    metas_of,
    plain,
    readings_of,
    settled,
    told,
    travels,
)
from archscope.spec.numbers import NUMBERS
from archscope.spec.things import UNKNOWN, Thing, known_by_halves, plain_call

if TYPE_CHECKING:
    from archscope.compile.use import Use

LISTS: Mapping[str, Callable] = {"range": range, "zip": paired, "enumerate": counted, "reversed": turned}
"""Functions that give lists, as they are at run time."""
AT_RUN_TIME: Mapping[str, Callable] = {"int": whole, "float": fraction, "sum": sum, "round": round}
"""What stands for a function of numbers when the net runs, where that is another one."""


@dataclass(frozen=True, eq=False)
class NumberFunction(Thing):
    """A function of plain numbers and of lists, by its name."""

    name: str

    @property
    def what(self) -> str:  # type: ignore[override]
        return f"the function {self.name}"

    def call(self, args: tuple, kwargs: dict, host: object) -> object:
        return UNKNOWN if known_by_halves((*args, *kwargs.values())) else number_call(self.name, args, kwargs, host)


def number_call(name: str, args: tuple, kwargs: dict, host: object) -> object:
    """A function of numbers and lists on plain values, or on values of the run. Raises Fault."""
    args, kwargs = positional(NUMBERS[name], args, kwargs)
    given = (*args, *kwargs.values())
    if name == "len" and len(args) == 1 and isinstance(args[0], RuntimeList):
        return known(args[0].count)
    if not of_the_run(given):
        return plain_call(name, NUMBERS[name], args, kwargs)
    text = f"{name}({', '.join(map(told, given))})"
    if name in LISTS and travels(args) and not kwargs:
        metas = plain_call(name, NUMBERS[name], metas_of(args), {})
        use: Any = host or owner_of(args)
        made = use.list_call(LISTS[name], args, metas, text)
        made.sample = 0 if name == "range" else None
        return made
    value = plain_call(name, NUMBERS[name], plain(args), {key: plain(value) for key, value in kwargs.items()})
    if name in LISTS or kwargs or not travels(args) or not isinstance(value, (int, float)):
        return plain_call(name, NUMBERS[name], settled(args, host), {k: settled(v, host) for k, v in kwargs.items()})
    return computed(AT_RUN_TIME.get(name, NUMBERS[name]), args, value, text)


def positional(function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """A call's arguments without names, where the function has an order for them."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs) if kwargs else None
    except (TypeError, ValueError):
        bound = None
    return (bound.args, bound.kwargs) if bound is not None else (args, kwargs)


def owner_of(value: object) -> Use:
    """The use whose graph the first number or list of the run in a value belongs to."""
    return next(reading.owner for reading in readings_of(value))


def of_the_run(value: object) -> bool:
    """Whether a value holds a number or a list that is worked out when the net runs."""
    if isinstance(value, (list, tuple)):
        return any(map(of_the_run, value))
    return isinstance(value, (RuntimeNumber, RuntimeList))
