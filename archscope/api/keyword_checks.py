"""Keywords of our calls: one that there is not → an error that says what to write, also for those of other tools; the
values of the others as plain ones.

summarize(net, input_size=(1, 3, 224, 224)) → "summarize has no argument 'input_size'", help: input=(1, 3, 224, 224)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from archscope.api.option_parsing import parse_options
from archscope.errors import KeywordError, UsageError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

TABLE_HELP = "it is a matter of the table: print(report.table({}))"
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
"""Keywords of torchinfo, torchsummary, ptflops and thop, and options of our command line → what our calls say."""


def validate_keywords(*beside: Callable[..., Any]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A call whose unknown keywords are refused with what to write, and whose known ones are given plain values.

    beside: calls whose keywords it passes on. Raises KeywordError, which is a TypeError too, and UsageError.
    """

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        name = getattr(call, "__name__", "this")
        known = frozenset(keyword for one in (call, *beside) for keyword in keyword_names(one))

        @wraps(call)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown_keyword(name, kwargs, known)
            plain: Any = parse_options(kwargs)  # the same keywords
            return call(*args, **plain)

        return checked

    return decorate


def keyword_names(call: Callable[..., Any]) -> Iterable[str]:
    """The arguments that a call takes by name."""
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [name for name, parameter in signature(call).parameters.items() if parameter.kind in by_name]


def refuse_unknown_keyword(name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raises KeywordError for the first keyword that is not known."""
    for keyword in given:
        if keyword not in known:
            raise unknown_keyword_error(name, keyword, known)


def unknown_keyword_error(name: str, keyword: str, known: Iterable[str]) -> KeywordError:
    hint = KEYWORD_HELP.get(keyword) or did_you_mean(keyword, known) or f"arguments: {', '.join(sorted(known))}"
    return KeywordError(f"{name} has no argument {keyword!r}", hint)


def merge_inputs(inputs: tuple[Any, ...], input: Any) -> Any:
    """What `summarize(net, (1, 3, 28, 28))` says without a name; several are inputs by position. Raises UsageError."""
    if not inputs:
        return input
    if input is not None:
        raise UsageError("inputs are given twice, by position and by input", "leave one of them out")
    return inputs[0] if len(inputs) == 1 else list(inputs)
