"""How a report was asked for, as plain data that JSON holds, and as a command line.

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
from archscope.spec.parse_data import DTYPE_NAMES

LIVE_TARGET = "target"
COMMAND_FLAGS = ("batch", "device", "dtype", "seed", "train", "allow_python")
"""The options that a command line spells as they are called."""


class UnserializableError(ValueError):
    """A value that plain data, or a command line, cannot say."""


@dataclass(frozen=True)
class Request:
    """A call of `summarize`. options: its keyword arguments that are not the defaults, as plain data. python: whether
    the target is Python code. unsaid: what of the call is no data: `target` of a live module, options by their names.
    """

    target: str
    options: Mapping[str, Any]
    python: bool = False
    unsaid: tuple[str, ...] = ()

    @property
    def set(self) -> Mapping[str, Any]:
        """The params of the spec, or arguments of the Python target, that were given a value."""
        return self.options.get("set", {})

    @property
    def is_live(self) -> bool:
        return LIVE_TARGET in self.unsaid

    def to_dict(self) -> dict[str, Any]:
        """The target and the options; `unsaid`, what is needed beside them; `command`, None where none can say it."""
        return {
            "target": self.target,
            **self.options,
            "unsaid": list(self.unsaid),
            "command": self.command("summary"),
        }

    def command(self, name: str) -> str | None:
        """`archscope check net.yaml --set width=8`; None where a command line cannot say it."""
        try:
            words = ["archscope", *name.split(), self.target, *self._words()]
        except UnserializableError:
            return None
        return None if self.unsaid else shlex.join(words)

    def _words(self) -> Iterator[str]:
        """Raises UnserializableError."""
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
    """The call of `summarize` with these options as a Request."""
    said: dict[str, Any] = {}
    unsaid = [LIVE_TARGET] if live else []
    for name, value in options.items():
        if is_default(name, value, options):
            continue
        try:
            check_serializable(name, value, options)
            said[name] = input_json(value) if name == "input" else to_json(value)
        except UnserializableError:
            unsaid.append(name)
    return Request(target, said, python, tuple(unsaid))


def is_default(name: str, value: object, options: Mapping[str, Any]) -> bool:
    if name == "backward":
        return value is None or value == bool(options.get("train"))
    if isinstance(value, str):
        return value == "auto"
    return value is None or value is False or (isinstance(value, Mapping) and not value)


def check_serializable(name: str, value: object, options: Mapping[str, Any]) -> None:
    """Raises UnserializableError for texts of files, and for a tuple among arguments, of which JSON would make a list,
    unless it is a shape that an input is made of."""
    shapes = name == "args" or options.get("input") is None  # beside inputs of their own, arguments go in as they are
    if name == "texts" or (name in ("args", "kwargs") and has_tuples(list(child_values(value)), shapes)):
        raise UnserializableError(name)


def has_tuples(parts: Sequence[object], shapes: bool) -> bool:
    """Whether a tuple is among the parts, or in them. shapes: one that an input is made of does not count."""
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
    """Whether an argument is sizes, or describes sizes, of which a call makes an input."""
    if isinstance(value, Mapping):
        return {"shape", "dtype", "low", "high"}.issuperset(value) and is_input_shape(value.get("shape"))
    if not isinstance(value, list | tuple) or not value:
        return False
    first = units.torch_name(value[0])
    if isinstance(first, str):
        return len(value) in (2, 3) and first in DTYPE_NAMES and is_input_shape(value[1])
    return all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0 for size in value)


def set_text(values: Mapping[str, Any]) -> str:
    """`width=8, block=Basic`."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def value_text(value: object) -> str:
    try:
        return option_text(value)
    except UnserializableError:
        return type(value).__name__


# ------------------------------------------------------------ as data
def to_json(value: object) -> Any:
    """Numbers, words, lists and mappings as JSON holds them, torch's dtypes by name. Raises UnserializableError for
    anything else."""
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
    """What `input` says: a shape as a list of sizes; with a dtype or bounds, a mapping that names them."""
    if isinstance(value, list | tuple) and has_dtype_name(value) and is_list(value[1]):
        bounds = dict(zip(("low", "high"), value[2], strict=True)) if len(value) == 3 else {}
        return to_json({"dtype": value[0], "shape": value[1], **bounds})
    if isinstance(value, list | tuple):
        return [input_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): input_json(part) for key, part in value.items()}
    return to_json(value)


def has_dtype_name(value: Sequence[object]) -> bool:
    """Whether a dtype, or a word, stands before one or two other things."""
    return len(value) in (2, 3) and isinstance(units.torch_name(value[0]), str)


def is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def is_shape(value: object) -> bool:
    return isinstance(value, list) and all(type(size) is int for size in value)


def is_shape_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and is_shape(value.get("shape"))


def parse_input(told: Any) -> Any:
    """The reverse of `input_json`: shapes as tuples, with their dtype and bounds as `summarize` takes them."""
    if is_shape_mapping(told) and set(told) <= {"dtype", "shape", "low", "high"}:
        shape, bounds = tuple(told["shape"]), [told[key] for key in ("low", "high") if key in told]
        if "dtype" not in told:
            return {**told, "shape": shape}
        return (told["dtype"], shape, *([tuple(bounds)] if len(bounds) == 2 else []))
    if is_shape(told):
        return tuple(told)
    if isinstance(told, Mapping):
        return {key: parse_input(part) for key, part in told.items()}
    return [parse_input(part) for part in told] if isinstance(told, list) else told


def parse_options(told: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `summarize` that a Request's data holds."""
    own = {name: value for name, value in told.items() if name not in ("target", "unsaid", "command")}
    return own | ({"input": parse_input(own["input"])} if "input" in own else {})


# ------------------------------------------------------------ as words
def option_text(value: object) -> str:
    """A value as `--set` and `--arg` read it. Raises UnserializableError."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple | Mapping):
        return repr(to_json(value))
    raise UnserializableError(type(value).__name__)


def input_texts(told: Any) -> Iterator[str]:
    """Every `--input` of a command. Raises UnserializableError."""
    if told is None:
        return
    if is_shape(told) or is_shape_mapping(told) or isinstance(told, str):
        yield tensor_text(told)
    elif isinstance(told, list) and not any(isinstance(part, list) and not is_shape(part) for part in told):
        yield from (tensor_text(part) for part in told)
    else:
        yield from (f"{path}={text}" for path, text in named_texts("", told))


def named_texts(path: str, told: Any) -> Iterator[tuple[str, str]]:
    if is_shape(told) or is_shape_mapping(told) or not isinstance(told, list | Mapping):
        yield path, tensor_text(told)
        return
    parts: Sequence[tuple[object, Any]] = list(told.items() if isinstance(told, Mapping) else enumerate(told))
    for key, part in parts:
        yield from named_texts(f"{path}.{key}" if path else str(key), part)


def tensor_text(told: Any) -> str:
    """`int64:1x128:0..50257`. Raises UnserializableError."""
    if isinstance(told, str):
        return told
    if is_shape_mapping(told):
        low, high = told.get("low"), told.get("high")
        dtype = f"{told['dtype']}:" if "dtype" in told else ""
        return dtype + sizes_text(told["shape"]) + ("" if high is None else f":{low or 0}..{high}")
    if is_shape(told):
        return sizes_text(told)
    raise UnserializableError(type(told).__name__)


def sizes_text(shape: Sequence[int]) -> str:
    if not shape:
        raise UnserializableError("the shape of one number")
    return "x".join(map(str, shape))
