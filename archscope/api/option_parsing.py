"""Parsers of the options of public functions: plain values, or errors that say what to write.

dtype=torch.float16 → "float16"      seed=-1 → "a seed is a whole number from 0 to …"      train="yes" → train=True
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

from archscope import units
from archscope.errors import UsageError

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
