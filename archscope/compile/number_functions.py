"""Functions of numbers and of lists, on plain values or on run-time values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archscope.compile.built_net import enumerate_list, reverse_list, to_float, to_int, zip_list
from archscope.compile.runtime_numbers import (
    RuntimeList,
    RuntimeNumber,
    as_block_use,
    can_pass_at_runtime,
    compile_time_value,
    compute_number,
    find_read_numbers,
    fix_value,
    meta_values,
    runtime_text,
    unwrap_fixed,
)
from archscope.spec.bounded_math import NUMBER_FUNCTIONS
from archscope.spec.spec_values import UNKNOWN, Host, SpecValue, Value, call_number_function, has_unknown

LIST_FUNCTIONS: Mapping[str, Callable] = {
    "range": range,
    "zip": zip_list,
    "enumerate": enumerate_list,
    "reversed": reverse_list,
}
"""Functions that return lists, with their run-time functions."""
RUNTIME_FUNCTIONS: Mapping[str, Callable] = {"int": to_int, "float": to_float, "sum": sum, "round": round}
"""The run-time functions for functions of numbers, where they differ."""


@dataclass(frozen=True, eq=False)
class NumberFunction(SpecValue):
    """A function of plain numbers and of lists, by its name."""

    name: str

    @property
    def what(self) -> str:
        return f"the function {self.name}"

    def call(self, args: tuple, kwargs: dict, host: Host | None) -> Value:
        return (
            UNKNOWN if has_unknown((*args, *kwargs.values())) else evaluate_number_call(self.name, args, kwargs, host)
        )


def evaluate_number_call(name: str, args: tuple, kwargs: dict, host: Host | None) -> Value:
    """Return the result of a function of numbers and lists, on plain or run-time values. Raises EvaluationError."""
    args, kwargs = bind_positional(NUMBER_FUNCTIONS[name], args, kwargs)
    given = (*args, *kwargs.values())
    if name == "len" and len(args) == 1 and isinstance(args[0], RuntimeList):
        return unwrap_fixed(args[0].count)
    if not is_runtime_value(given):
        return call_number_function(name, NUMBER_FUNCTIONS[name], args, kwargs)
    text = f"{name}({', '.join(map(runtime_text, given))})"
    if name in LIST_FUNCTIONS and can_pass_at_runtime(args) and not kwargs:
        metas: Any = call_number_function(name, NUMBER_FUNCTIONS[name], meta_values(args), {})
        use = as_block_use(host) or next(reading.owner for reading in find_read_numbers(args))
        result = use.list_call(LIST_FUNCTIONS[name], args, metas, text)
        result.sample_item = 0 if name == "range" else None
        return result
    value = call_number_function(
        name,
        NUMBER_FUNCTIONS[name],
        compile_time_value(args),
        {key: compile_time_value(value) for key, value in kwargs.items()},
    )
    if name in LIST_FUNCTIONS or kwargs or not can_pass_at_runtime(args) or not isinstance(value, (int, float)):
        return call_number_function(
            name, NUMBER_FUNCTIONS[name], fix_value(args, host), {k: fix_value(v, host) for k, v in kwargs.items()}
        )
    return compute_number(RUNTIME_FUNCTIONS.get(name, NUMBER_FUNCTIONS[name]), args, value, text)


def bind_positional(function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Return a call's arguments by position, if the function has an order for them."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs) if kwargs else None
    except (TypeError, ValueError):
        bound = None
    return (bound.args, bound.kwargs) if bound is not None else (args, kwargs)


def is_runtime_value(value: object) -> bool:
    """Return whether a value contains a run-time number or list."""
    if isinstance(value, (list, tuple)):
        return any(map(is_runtime_value, value))
    return isinstance(value, (RuntimeNumber, RuntimeList))
