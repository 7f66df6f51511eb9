"""Checks of keyword arguments: unknown ones are refused with the keyword to use, also for those of other tools; known
ones are parsed.

    summarize(net, input_size=(1, 3, 224, 224)) → "summarize has no argument 'input_size'", help: input=(1, 3, 224, 224)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from archscope.api.option_parsing import parse_options
from archscope.errors import KeywordError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

TABLE_HELP = "it is an option of the table: print(report.table({}))"
KEYWORD_HELP: dict[str, str] = {
    "input_size": "input=(1, 3, 224, 224)",
    "input_shape": "input=(1, 3, 224, 224)",
    "input_res": "input=(1, 3, 224, 224)",
    "inputs": "input=(1, 3, 224, 224), or input=tensor",
    "input_data": "input=tensor, or args=(tensor, …)",
    "dtypes": 'the dtype stands with its shape: input=("int64", (1, 128))',
    "batch_size": "batch=8, beside input=(1, 3, 224, 224)",
    "batch_dim": "batch=8, beside input=(1, 3, 224, 224)",
    "mode": "train=True is training mode, and without it the mode is eval",
    "depth": TABLE_HELP.format("depth=2"),
    "max_depth": TABLE_HELP.format("depth=2"),
    "col_names": TABLE_HELP.format('columns=("path", "output", "params", "macs")'),
    "columns": TABLE_HELP.format('columns=("path", "output", "params", "macs")'),
    "sort": TABLE_HELP.format('sort="macs"'),
    "verbose": "nothing is printed by itself: print(report)",
    "print_per_layer_stat": "nothing is printed by itself: print(report)",
}
"""Keywords of torchinfo, torchsummary, ptflops and thop, and options of the command line → the keyword of archscope."""


def validate_keywords(*beside: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that unknown keywords are refused with a help, and known ones are parsed.

    beside: functions that it passes its keywords on to. Raises KeywordError (a TypeError) and UsageError.
    """

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        name = getattr(call, "__name__", "this")
        known = frozenset(keyword for function in (call, *beside) for keyword in keyword_names(function))

        @wraps(call)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown_keyword(name, kwargs, known)
            plain: Any = parse_options(kwargs)  # the same keywords
            return call(*args, **plain)

        return checked

    return decorate


def keyword_names(call: Callable[..., Any]) -> Iterable[str]:
    """Return the names of the arguments that a function takes by keyword."""
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [name for name, parameter in signature(call).parameters.items() if parameter.kind in by_name]


def refuse_unknown_keyword(
    name: str, given: Iterable[str], known: Collection[str], helps: Mapping[str, str] = KEYWORD_HELP
) -> None:
    """Raise KeywordError for the first unknown keyword. helps: keyword → its help."""
    for keyword in given:
        if keyword not in known:
            raise KeywordError.unknown(name, keyword, known, helps)


def merge_inputs(inputs: tuple[Any, ...], input: Any) -> Any:
    """Return `input`, or the positional inputs of `summarize(net, (1, 3, 28, 28))`. Raises UsageError if both are
    given.
    """
    if not inputs:
        return input
    if input is not None:
        raise UsageError("inputs are given twice, by position and by input", "leave one of them out")
    return inputs[0] if len(inputs) == 1 else list(inputs)
