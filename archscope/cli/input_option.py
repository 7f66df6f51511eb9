"""The option `--input`: its text → the library's `input`.

input := [path =] tensor  |  path == value
tensor := [dtype :] shape [: low .. high]
path  := name or position ( . name or position )*

1x3x224x224, 1 3 224 224, (1, 3, 224, 224)   (1, 3, 224, 224)
tokens=int64:1x128:0..50257          {"tokens": ("int64", (1, 128), (0, 50257))}
batch.image=1x3x32x32                {"batch": {"image": (1, 3, 32, 32)}}
pair.0=1x4, pair.1=1x4               {"pair": [(1, 4), (1, 4)]}
scale==2.0                           a plain value, parsed like `--arg`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click

INPUT_PATH = re.compile(r"[\w-]+(?:\.[\w-]+)*")
TENSOR_PATTERN = re.compile(
    r"(?:(?P<dtype>[a-z][a-z0-9]*):)?(?P<shape>\d+(?:[x,×]\d+)*)?(?::(?P<low>-?\d+)\.\.(?P<high>-?\d+))?"
)
MAX_DIGITS = 30
"""The most digits of a number."""
INPUT_EXAMPLES = "1x3x224x224, x=1,128, x=int64:1x128:0..50257 or batch.image=1x3x32x32"


class InputOption(NamedTuple):
    """Inputs to make, and plain values by name, as the library's `input` and `kwargs`."""

    tensors: Any
    values: dict[str, Any]


def parse_inputs(texts: Sequence[str], read: Callable[[str], Any]) -> InputOption:
    """Return all `--input` options of a command; `read` parses a plain value. Raises ValueError."""
    bare = [parse_tensor(text.strip() or "nothing") for text in texts if "=" not in text]
    named = [text.split("=", 1) for text in texts if "=" in text]
    tensors = nest_inputs((name.strip(), parse_tensor(value)) for name, value in named if not value.startswith("="))
    values = nest_inputs((name.strip(), read(value[1:].strip())) for name, value in named if value.startswith("="))
    if bare and tensors:
        raise ValueError("name every input or none")
    if isinstance(values, list):
        raise ValueError("a plain value has a name: scale==2.0")
    if bare:
        return InputOption(bare[0] if len(bare) == 1 else bare, values)
    return InputOption(tensors or None, values)


def parse_tensor(text: str) -> Any:
    """Return `int64:1x128:0..9` as ("int64", (1, 128), (0, 9)). Raises ValueError."""
    match = TENSOR_PATTERN.fullmatch(compact_shape(text))
    if not match:
        plain = re.fullmatch(r"-?\d*\.\d+(e-?\d+)?|true|false|none|null|'.*'", text.strip(), re.IGNORECASE)
        hint = "; a plain value follows '==': scale==2.0" if plain else ""
        raise ValueError(f"{text!r} is not a shape such as {INPUT_EXAMPLES}{hint}")
    longest = max(map(len, re.findall(r"\d+", text)), default=0)
    if longest > MAX_DIGITS:
        raise ValueError(f"a number of {longest:,} digits is too large")
    shape = tuple(int(size) for size in re.findall(r"\d+", match["shape"] or ""))
    bounds = (int(match["low"]), int(match["high"])) if match["high"] else None
    if bounds and not match["dtype"]:
        return {"shape": shape, "low": bounds[0], "high": bounds[1]}
    return (match["dtype"], shape, *([bounds] if bounds else [])) if match["dtype"] else shape


def compact_shape(text: str) -> str:
    """Return `1 3 28 28`, `(1, 3, 28, 28)` and `1 x 3` as `1x3x28x28`: without brackets and spaces, sizes joined by
    x.
    """
    bare = re.sub(r"[(\[]\s*(\d[^()\[\]]*?),?\s*[)\]]", r"\1", text.strip())
    return re.sub(r"(?<=\d)\s+(?=\d)", "x", bare).replace(" ", "")


def nest_inputs(pairs: Iterable[tuple[str, Any]]) -> Any:
    """Return `a.b`, value as {"a": {"b": value}}; keys that count from 0 make a list. Raises ValueError."""
    tree: dict[str, Any] = {}
    for path, value in pairs:
        if not INPUT_PATH.fullmatch(path):
            raise ValueError(f"{path!r} is not the name of an input such as x or batch.image")
        *way, last = path.split(".")
        branch = tree
        for key in way:
            branch = branch.setdefault(key, InputBranch())
            if not isinstance(branch, InputBranch):
                raise ValueError(f"{path} lies in {key}, which is an input itself")
        if last in branch:
            raise ValueError(f"{path} is given twice")
        branch[last] = value
    return branches_to_lists(InputBranch(tree))


class InputBranch(dict[str, Any]):
    """A mapping of inputs, unlike one that describes a single input."""


def branches_to_lists(tree: Any) -> Any:
    """Return the tree with lists in place of mappings whose keys are 0, 1, 2 …"""
    if not isinstance(tree, InputBranch):
        return tree
    whole = {key: branches_to_lists(value) for key, value in tree.items()}
    counted = [str(place) for place in range(len(whole))]
    return [whole[place] for place in counted] if whole and set(whole) == set(counted) else whole


def with_library_inputs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the library's `input`, and with its `kwargs` if there are plain values."""
    given: InputOption = options["input"] or InputOption(None, {})
    return {**options, "input": given.tensors, **({"kwargs": given.values} if given.values else {})}


def input_callback(
    read: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, Sequence[str]], InputOption | None]:
    """Return the callback of `--input`; it returns None without a value."""

    def called(_: click.Context, option: click.Parameter, texts: Sequence[str]) -> InputOption | None:
        try:
            return parse_inputs(texts, read) if texts else None
        except ValueError as error:
            raise click.BadParameter(str(error), param=option) from None

    return called
