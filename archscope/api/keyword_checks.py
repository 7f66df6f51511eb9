"""Checks of keyword arguments: unknown ones are refused with the keyword to use, also for those of other tools; known
ones are parsed.

    summarize(net, input_size=(1, 3, 224, 224)) → "summarize has no argument 'input_size'", help: input=(1, 3, 224, 224)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from inspect import Parameter, signature
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

from archscope import units
from archscope.errors import KeywordError, UsageError

MAX_SEED = 2**63 - 1
FLAG_OPTIONS = (
    "train",
    "backward",
    "rows",
    "roofline",
    "compile",
    "channels_last",
    "tf32",
    "allow_python",
    "keep_going",
)


def parse_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with known ones parsed; None and unknown options are left unchanged. Raises UsageError."""
    return {name: parse_option(name, value) for name, value in options.items()}


def parse_option(name: str, value: Any) -> Any:
    """Return one option parsed. Raises UsageError."""
    read = OPTION_PARSERS.get(name)
    return value if value is None or read is None else read(name, value)


def parse_name(name: str, value: Any) -> str:
    """Return a name, or the name of torch's object. Raises UsageError for other values."""
    text = units.torch_name(value)
    if not isinstance(text, str):
        example, beside = {"dtype": ("float16", "torch.float16"), "device": ("cpu", 'torch.device("cpu")')}[name]
        raise UsageError(
            f"a {name} is a name, not {units.short_repr(value)}", f'{name}="{example}", or {name}={beside}'
        )
    return text


def parse_mapping(name: str, value: Any) -> Any:
    """Return the value. Raises UsageError if it is not a mapping."""
    if not isinstance(value, Mapping):
        fact, example = MAPPING_OPTIONS[name]
        raise UsageError(f"{name} is a mapping of {fact}, not {units.short_repr(value)}", f"{name}={example}")
    return value


MAPPING_OPTIONS = {
    "set": ("names to values", '{"width": 8}'),
    "texts": ("files' names to their text", '{"net.yaml": "…"}'),
}


def parse_flag(name: str, value: Any) -> bool:
    """Return the value as a bool. Raises UsageError if it is neither True nor False."""
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise UsageError(f"{name} is True or False, not {units.short_repr(value)}", f"{name}=True")


def parse_integer(name: str, value: Any) -> int:
    """Return the value as an int. Raises UsageError if it is not a whole number in the range of the option."""
    least, most, example = (0, MAX_SEED, "seed=0") if name == "seed" else (1, None, "batch=8")
    number = operator.index(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is None or number < least or (most is not None and number > most):
        reach = f"from {least}" if most is None else f"from {least} to {most:,}"
        raise UsageError(f"a {name} is a whole number {reach}, not {units.short_repr(value)}", example)
    return number


def parse_text(name: str, value: Any) -> str:
    """Return the value. Raises UsageError if it is not a string."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is a name, not {units.short_repr(value)}", f'{name}="small"')
    return value


def parse_callable(name: str, value: Any) -> Any:
    """Return the value. Raises UsageError if it is not callable."""
    if not callable(value):
        raise UsageError(f"{name} is a function, not {units.short_repr(value)}", f"{name}=print")
    return value


OPTION_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("dtype", "device"), parse_name),
    **dict.fromkeys(MAPPING_OPTIONS, parse_mapping),
    **dict.fromkeys(FLAG_OPTIONS, parse_flag),
    **dict.fromkeys(("seed", "batch"), parse_integer),
    **dict.fromkeys(("variant", "against"), parse_text),
    **dict.fromkeys(("progress", "ask"), parse_callable),
}
"""Option → its parser."""


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
