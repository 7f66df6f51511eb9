"""The call that made a report, as plain data for JSON and as a command line.

summarize(target, input=("int64", (1, 9)), …) → Request ─ to_dict() ─→ {"target": …, "input": {"dtype": …, …}, …}
parse_options(that data) → keyword arguments of `summarize`
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from archscope import units
from archscope.ops.dtypes import DTYPE_NAMES

LIVE_TARGET = "target"
COMMAND_FLAGS = ("batch", "device", "dtype", "seed", "train", "allow_python")
"""The options with the same name on the command line."""


class UnserializableError(ValueError):
    """A value that has no form as plain data or on a command line."""


@dataclass(frozen=True)
class Request:
    """A call of `summarize`.

    options: its keyword arguments that differ from the defaults, as plain data. python: True if the target is Python
    code. unsaid: the parts of the call that have no form as data: `target` for a live module, options by their names.
    """

    target: str
    options: Mapping[str, Any]
    python: bool = False
    unsaid: tuple[str, ...] = ()

    @property
    def set(self) -> Mapping[str, Any]:
        """The params of the spec, or arguments of the Python target, that were given a value."""
        return self.options.get("set", {})

    def to_dict(self) -> dict[str, Any]:
        """Return the target and the options; `unsaid`: what is needed besides; `command`: None if no command line
        exists."""
        return {
            "target": self.target,
            **self.options,
            "unsaid": list(self.unsaid),
            "command": self.command("summary"),
        }

    def command(self, name: str) -> str | None:
        """Return `archscope check net.yaml --set width=8`; None if a command line cannot express the call."""
        try:
            words = ["archscope", *name.split(), self.target, *self._words()]
        except UnserializableError:
            return None
        return None if self.unsaid else shlex.join(words)

    def _words(self) -> Iterator[str]:
        """Yield the options as words of a command line. Raises UnserializableError."""
        if {"args", "backward"} & set(self.options):
            raise UnserializableError("args, backward")
        flag = "--arg" if self.python else "--set"
        for key, value in self.set.items():
            yield from (flag, f"{key}={option_text(value)}")
        for text in input_texts(self.options.get("input")):
            yield from ("--input", text)
        for key, value in self.options.get("kwargs", {}).items():
            yield from ("--input", f"{key}=={option_text(value)}")
        for key in COMMAND_FLAGS:
            value = self.options.get(key)
            if value is not None:
                yield f"--{key.replace('_', '-')}"
                yield from [] if value is True else [str(value)]


def make_request(target: str, options: Mapping[str, Any], *, python: bool = False, live: bool = False) -> Request:
    """Return the call of `summarize` with these options as a Request."""
    data: dict[str, Any] = {}
    unsaid = [LIVE_TARGET] if live else []
    for name, value in options.items():
        if is_default(name, value, options):
            continue
        try:
            check_serializable(name, value, options)
            data[name] = input_json(value) if name == "input" else to_json(value)
        except UnserializableError:
            unsaid.append(name)
    return Request(target, data, python, tuple(unsaid))


def is_default(name: str, value: object, options: Mapping[str, Any]) -> bool:
    if name == "backward":
        return value is None or value == bool(options.get("train"))
    if isinstance(value, str):
        return value == "auto"
    return value is None or value is False or (isinstance(value, Mapping) and not value)


def check_serializable(name: str, value: object, options: Mapping[str, Any]) -> None:
    """Raise UnserializableError for texts of files, and for tuples among arguments, which JSON would turn into lists,
    unless they are shapes of inputs."""
    shapes = name == "args" or options.get("input") is None  # beside inputs of their own, arguments go in as they are
    if name == "texts" or (name in ("args", "kwargs") and has_tuples(list(child_values(value)), shapes)):
        raise UnserializableError(name)


def has_tuples(parts: Sequence[object], shapes: bool) -> bool:
    """Return whether a tuple is among the parts, or nested in them. shapes: ignore tuples that are shapes of inputs."""
    for part in parts:
        if shapes and is_input_shape(part):
            continue
        if isinstance(part, tuple) or has_tuples(list(child_values(part)), shapes):
            return True
    return False


def child_values(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def is_input_shape(value: object) -> bool:
    """Return whether an argument is a shape, or describes one, from which a call makes an input."""
    if isinstance(value, Mapping):
        return {"shape", "dtype", "low", "high"}.issuperset(value) and is_input_shape(value.get("shape"))
    if not isinstance(value, list | tuple) or not value:
        return False
    first = units.torch_name(value[0])
    if isinstance(first, str):
        return len(value) in (2, 3) and first in DTYPE_NAMES and is_input_shape(value[1])
    return all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0 for size in value)


def set_text(values: Mapping[str, Any]) -> str:
    """Return `width=8, block=Basic`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def value_text(value: object) -> str:
    try:
        return option_text(value)
    except UnserializableError:
        return type(value).__name__


# ------------------------------------------------------------ as data
def to_json(value: object) -> Any:
    """Return numbers, strings, lists and mappings as JSON values, torch's dtypes by name. Raises UnserializableError
    for anything else."""
    value = units.torch_name(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Integral):  # numpy's, for example
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    raise UnserializableError(type(value).__name__)


def input_json(value: object) -> Any:
    """Return the value of `input` as JSON: a shape as a list of sizes; with a dtype or bounds, a mapping that names
    them."""
    if isinstance(value, list | tuple):
        has_dtype = len(value) in (2, 3) and isinstance(units.torch_name(value[0]), str)
        if has_dtype and isinstance(value[1], list | tuple):
            bounds = dict(zip(("low", "high"), value[2], strict=True)) if len(value) == 3 else {}
            return to_json({"dtype": value[0], "shape": value[1], **bounds})
        return [input_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): input_json(part) for key, part in value.items()}
    return to_json(value)


def is_shape(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int for size in value)


def is_shape_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and is_shape(value.get("shape"))


def parse_input(data: Any) -> Any:
    """Return the value of `input` from JSON, the reverse of `input_json`: shapes as tuples, with dtype and bounds as
    `summarize` takes them."""
    if is_shape_mapping(data) and set(data) <= {"dtype", "shape", "low", "high"}:
        shape, bounds = tuple(data["shape"]), [data[key] for key in ("low", "high") if key in data]
        if "dtype" not in data:
            return {**data, "shape": shape}
        return (data["dtype"], shape, *([tuple(bounds)] if len(bounds) == 2 else []))
    if is_shape(data):
        return tuple(data)
    if isinstance(data, Mapping):
        return {key: parse_input(part) for key, part in data.items()}
    return [parse_input(part) for part in data] if isinstance(data, list) else data


def parse_options(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `summarize` from a Request's data."""
    own = {name: value for name, value in data.items() if name not in ("target", "unsaid", "command")}
    return own | ({"input": parse_input(own["input"])} if "input" in own else {})


# ------------------------------------------------------------ as text
def option_text(value: object) -> str:
    """Return a value as `--set` and `--arg` read it. Raises UnserializableError."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | Mapping):
        return repr(to_json(value))
    raise UnserializableError(type(value).__name__)


def input_texts(data: Any) -> Iterator[str]:
    """Yield every `--input` of a command. Raises UnserializableError."""
    if data is None:
        return
    if is_shape(data) or is_shape_mapping(data) or isinstance(data, str):
        yield tensor_text(data)
    elif isinstance(data, list) and not any(isinstance(part, list) and not is_shape(part) for part in data):
        yield from (tensor_text(part) for part in data)
    else:
        yield from (f"{path}={text}" for path, text in named_texts("", data))


def named_texts(path: str, data: Any) -> Iterator[tuple[str, str]]:
    if is_shape(data) or is_shape_mapping(data) or not isinstance(data, list | Mapping):
        yield path, tensor_text(data)
        return
    parts: Sequence[tuple[object, Any]] = list(data.items() if isinstance(data, Mapping) else enumerate(data))
    for key, part in parts:
        yield from named_texts(f"{path}.{key}" if path else str(key), part)


def tensor_text(data: Any) -> str:
    """Return `int64:1x128:0..50257`. Raises UnserializableError."""
    if isinstance(data, str):
        return data
    if is_shape_mapping(data):
        low, high = data.get("low"), data.get("high")
        dtype = f"{data['dtype']}:" if "dtype" in data else ""
        return dtype + sizes_text(data["shape"]) + ("" if high is None else f":{low or 0}..{high}")
    if is_shape(data):
        return sizes_text(data)
    raise UnserializableError(type(data).__name__)


def sizes_text(shape: Sequence[int]) -> str:
    if not shape:
        raise UnserializableError("the shape of one number")
    return "x".join(map(str, shape))
