"""Inputs: what a user says of them → trees of tensors, as arguments of a call.

    input := tensor | shape | (dtype, shape) | (dtype, shape, (low, high)) | {shape, dtype, low, high}
           | array | object | None | True | 2.5 | [input, …] | (input, …) | {name: input, …}
    shape := (1, 3, 224, 224) | [1, 3, 224, 224]

At the top a mapping is arguments by name, a list or tuple of inputs is arguments by position, anything else is one
argument. Whole numbers are drawn from low to high - 1, and without a range they are 0, always a legal token. Arrays
(numpy's, and what shows itself as one) become tensors, of floats in the model's dtype; other objects go in as they are.
A call's own arguments may be shapes where there is no tensor among them, and no `input`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Number
from typing import Any

import torch

from archscope import units
from archscope.errors import UsageError, did_you_mean
from archscope.targets.devices import DTYPES, refuse_too_big

Shape = tuple[int, ...]
LONG = frozenset(["shape", "dtype", "low", "high"])
ALIASES = {"long": "int64", "int": "int32", "float": "float32", "double": "float64", "half": "float16"}
CURE = (
    'for example (1, 3, 224, 224), or ("int64", (1, 128)); tensors go in as they are, other values as kwargs={"n": 4}'
)
RANGE = 'for example ("int64", (1, 128), (0, 50257))'
LARGEST = 2**62


def example(shape: Sequence[int], dtype: torch.dtype, device: str, *, low: int = 0, high: int = 1) -> torch.Tensor:
    """An input:
    normally distributed floats, or whole numbers from low to high - 1. The global random state is not used.
    """
    if torch.device(device).type == "meta":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point or dtype.is_complex:
        made = torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")
    else:
        made = torch.randint(low, high, tuple(shape), generator=generator, device="cpu")
    return made.to(device=device, dtype=dtype)


@dataclass(frozen=True)
class Wanted:
    """An input that is to be made, as messages call it; without a dtype it has that of the model's floats."""

    name: str
    shape: Shape
    dtype: str = ""
    low: int = 0
    high: int = 1


@dataclass(frozen=True)
class Door:
    """Where inputs go: a device, and the dtype of those that name none."""

    device: str
    dtype: str

    def made(self, wanted: Wanted) -> torch.Tensor:
        dtype, what = DTYPES[wanted.dtype or self.dtype], f"{wanted.name} of {units.shape(wanted.shape)}"
        needed = math.prod(wanted.shape) * dtype.itemsize
        if needed >= LARGEST:
            raise UsageError(f"{what} is larger than any memory", "smaller sizes")
        refuse_too_big(needed, self.device, what)
        return example(wanted.shape, dtype, self.device, low=wanted.low, high=wanted.high)

    def placed(self, leaf: Any) -> Any:
        """A leaf of a tree of inputs as a module is given it. Raises UsageError."""
        if isinstance(leaf, Wanted):
            return self.made(leaf)
        if not _is_array(leaf):
            return leaf
        try:
            tensor = torch.tensor(leaf)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"an array of {leaf.dtype} is no tensor: {error}", "give it as a torch.Tensor") from None
        return tensor.to(device=self.device, dtype=DTYPES[self.dtype] if tensor.is_floating_point() else None)


def inputs_of(
    door: Door, given: Any, args: Any, kwargs: Any, batch: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call: `args` and `kwargs` as given, and what `given` says of inputs. Raises UsageError."""
    positional, named = _checked(args, kwargs)
    if given is not None and positional:
        raise UsageError("inputs are given twice, by input and by args", "tensors may stand in input as well")
    wanted = _top(given) if given is not None else _of_call(positional, named)
    if batch is not None:
        wanted = _batched(wanted, batch)
    listed, by_name = mapped(wanted, door.placed)
    return tuple(listed), by_name if given is None else _merged(by_name, named, "")


def _of_call(positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """A call's own arguments; shapes among them are inputs to make where no tensor is among them."""
    if any(isinstance(leaf, torch.Tensor) for leaf in leaves((positional, named))):
        return list(positional), named
    by_place = [_shapes_in(value, f"argument {place}") for place, value in enumerate(positional)]
    return by_place, {name: _shapes_in(value, f"argument {name}") for name, value in named.items()}


def _shapes_in(given: Any, name: str) -> Any:
    """The tree with a Wanted for each shape, all else as it is."""
    if type(given) is dict and not _is_long(given):
        return {key: _shapes_in(value, f"{name}.{key}") for key, value in given.items()}
    if _is_tree(given):
        return type(given)([_shapes_in(value, f"{name}.{place}") for place, value in enumerate(given)])
    return _leaf(given, name) if _is_long(given) or _is_shape(given) else given


def _is_shape(given: Any) -> bool:
    """Whether sizes stand there, or a dtype with sizes."""
    if type(given) not in (list, tuple, torch.Size) or not given:
        return False
    if isinstance(given[0], (str, torch.dtype)):
        return len(given) in (2, 3) and str(given[0]).removeprefix("torch.") in DTYPES and _is_shape(given[1])
    return all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0 for size in given)


def _checked(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(args, (list, tuple)):
        raise UsageError(f"args is a list of arguments, not {_kind(args)}", "args=(x,) has one argument")
    if not isinstance(kwargs, Mapping):
        raise UsageError(f"kwargs is a mapping of arguments, not {_kind(kwargs)}", 'kwargs={"x": x}')
    return tuple(args), dict(kwargs)


def _kind(value: Any) -> str:
    return "a tensor" if isinstance(value, torch.Tensor) else units.short(value)


# ------------------------------------------------------------ reading
def _top(given: Any) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named inputs, with a Wanted for each that is to be made."""
    if given is None:
        return [], {}
    if isinstance(given, Mapping) and not _is_long(given):
        return [], {str(name): _read(value, f"input {name}") for name, value in given.items()}
    if _is_tree(given):
        return list(_listed(given, "input ")), {}
    return [_leaf(given, "the input")], {}


def _read(given: Any, name: str) -> Any:
    """A tree of Wanted, tensors and plain values."""
    if isinstance(given, Mapping) and not _is_long(given):
        return {key: _read(value, f"{name}.{key}") for key, value in given.items()}
    if _is_tree(given):
        return _listed(given, name + ".")
    if given is None or isinstance(given, (bool, float, complex)):
        return given
    return _leaf(given, name)


def _listed(given: Any, name: str) -> Any:
    """A list or tuple of inputs; a whole number in it is a plain value."""
    read = [value if _is_number(value) else _read(value, f"{name}{place}") for place, value in enumerate(given)]
    return type(given)(read)


def _is_number(value: Any) -> bool:
    return isinstance(value, Integral)


def _is_array(given: Any) -> bool:
    """Whether it is an array of NumPy's kind; of its class alone, so that no `__getattr__` of the caller's is asked."""
    return hasattr(type(given), "__array_interface__") and not isinstance(given, (torch.Tensor, Integral))


def _is_object(given: Any) -> bool:
    """Whether a value can be no shape, dtype, range or number: a dataclass, a named tuple, what a library made."""
    is_named = isinstance(given, tuple) and hasattr(given, "_fields")
    return is_named or not isinstance(given, (str, bytes, Number, Sequence, Mapping, torch.dtype))


def _leaf(given: Any, name: str) -> Any:
    if isinstance(given, torch.Tensor) or _is_array(given) or (given is not None and _is_object(given)):
        return given
    if _is_long(given):
        return _wanted(given["shape"], given.get("dtype"), (given.get("low"), given.get("high")), name)
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], (str, torch.dtype)) and len(given) in (2, 3):
        dtype, shape, *bounds = given
        return _wanted(shape, dtype, bounds[0] if bounds else (None, None), name)
    return _wanted(given, None, (None, None), name)


def _is_tree(given: Any) -> bool:
    """Whether a list or tuple holds inputs, and is neither a shape nor a shape with its dtype."""
    if type(given) not in (list, tuple) or not given or isinstance(given[0], (str, torch.dtype)):
        return False
    return not any(map(_is_size, given)) or any(map(_is_input, given))


def _is_input(item: Any) -> bool:
    """What no shape holds, and no shape with its dtype."""
    return isinstance(item, (torch.Tensor, list, tuple, Mapping)) or _is_array(item)


def _is_size(item: Any) -> bool:
    """A whole number, a dtype or a word, which no list of inputs holds."""
    return isinstance(item, (Integral, str, torch.dtype)) and not isinstance(item, bool)


def _is_long(given: Any) -> bool:
    return isinstance(given, Mapping) and "shape" in given and LONG.issuperset(given)


def _wanted(shape: Any, dtype: Any, bounds: Any, name: str) -> Wanted:
    """Raises UsageError where one of them is none."""
    sizes = _shape(shape, name)
    kind = _dtype(dtype, name)
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise UsageError(
            f"{name}: a range is (low, high), not {units.short(bounds)}", '("int64", (1, 128), (0, 50257))'
        )
    if bounds[0] is None and bounds[1] is None:
        return Wanted(name, sizes, kind)
    return Wanted(name, sizes, kind or "int64", *_range(bounds, kind or "int64", name))


def _shape(shape: Any, name: str) -> Shape:
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise UsageError(f"an input is a shape, not {units.short(shape)}{_at(name)}", CURE)
    for size in shape:
        if not isinstance(size, Integral) or isinstance(size, bool):
            raise UsageError(f"a size is a whole number, not {units.short(size)}{_in(shape, name)}", CURE)
        if int(size) < 0:
            raise UsageError(f"a size is 0 or more, not {size}{_in(shape, name)}", CURE)
    return tuple(int(size) for size in shape)


def _in(shape: Any, name: str) -> str:
    return f" in {units.short(shape)}{_at(name)}"


def _at(name: str) -> str:
    return "" if name == "the input" else f" ({name})"


def _dtype(dtype: Any, name: str) -> str:
    text = "" if dtype is None else str(dtype).removeprefix("torch.")
    known = ALIASES.get(text, text)
    if known and known not in DTYPES:
        near = did_you_mean(known, DTYPES) or f"one of {', '.join(DTYPES)}"
        raise UsageError(f"unknown dtype {text!r}{_at(name)}", near)
    return known


def _range(bounds: Sequence[Any], dtype: str, name: str) -> tuple[int, int]:
    if not all(bound is None or isinstance(bound, Integral) for bound in bounds):
        raise UsageError(f"{name}: a range is of whole numbers, not {units.short(tuple(bounds))}", RANGE)
    low = 0 if bounds[0] is None else int(bounds[0])
    high = low + 1 if bounds[1] is None else int(bounds[1])
    if DTYPES[dtype].is_floating_point or DTYPES[dtype].is_complex:
        raise UsageError(f"{name}: a range is for whole numbers, not for {dtype}", "leave the range out, or say int64")
    least, most = (0, 1) if dtype == "bool" else (torch.iinfo(DTYPES[dtype]).min, torch.iinfo(DTYPES[dtype]).max)
    if low >= high:
        raise UsageError(f"{name}: nothing lies from {low} to {high} - 1", "the second number is above the first")
    if not least <= low < high <= most + 1:
        raise UsageError(f"{name}: no {dtype} reaches from {low} to {high} - 1", f"it holds {least} … {most}")
    return low, high


# ------------------------------------------------------------ trees
def mapped(tree: Any, made: Callable[[Any], Any]) -> Any:
    """A tree of plain lists, tuples and dicts with `made(leaf)` in place of every leaf."""
    if type(tree) in (list, tuple):
        return type(tree)([mapped(item, made) for item in tree])
    return {key: mapped(item, made) for key, item in tree.items()} if type(tree) is dict else made(tree)


def in_one_batch(tree: Any) -> Any:
    """The tree with its tensors as the only ones of a batch."""
    return mapped(tree, lambda leaf: leaf.unsqueeze(0).clone() if isinstance(leaf, torch.Tensor) else leaf)


def is_given(tree: Any) -> bool:
    """Whether a tensor, an array or another object is in a tree of inputs."""
    if isinstance(tree, Mapping):
        return any(map(is_given, tree.values()))
    if type(tree) in (list, tuple):
        return any(map(is_given, tree))
    return tree is not None and (_is_array(tree) or isinstance(tree, torch.Tensor) or _is_object(tree))


def without_history(tree: Any) -> Any:
    """The tree with tensors that somebody computed cut off from what is behind them: deriving ours must not use up
    theirs. They are copies that ask for a gradient and, no leaves, may be written in place as before."""
    copies: dict[int, torch.Tensor] = {}

    def cut_off(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.grad_fn is None:
            return leaf
        if id(leaf) not in copies:
            copies[id(leaf)] = leaf.detach().requires_grad_().clone()
        return copies[id(leaf)]

    return mapped(tree, cut_off)


def leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (list, tuple, dict)):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(item)
    else:
        yield tree


def _batched(wanted: Any, batch: int) -> Any:
    """The first size of the first shape, and of all that share it, is the batch."""
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"a batch is a whole number from 1, not {batch!r}", "batch=8")
    firsts = [leaf.shape[0] for leaf in leaves(wanted) if isinstance(leaf, Wanted) and leaf.shape]
    if not firsts:
        cure = "give a shape with it: input=(1, 3, 224, 224)"
        raise UsageError(f"batch={batch} has no shape to change: a tensor has a batch of its own", cure)
    return mapped(wanted, lambda leaf: _resized(leaf, firsts[0], batch))


def _resized(leaf: Any, first: int, batch: int) -> Any:
    mine = isinstance(leaf, Wanted) and leaf.shape[:1] == (first,)
    return replace(leaf, shape=(batch, *leaf.shape[1:])) if mine else leaf


def _merged(one: dict[str, Any], other: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Both, also where they share mappings. Raises UsageError where they say the same thing twice."""
    found = dict(one)
    for key, value in other.items():
        if key not in found:
            found[key] = value
        elif isinstance(found[key], dict) and isinstance(value, Mapping):
            found[key] = _merged(found[key], value, f"{path}{key}.")
        else:
            raise UsageError(f"{path}{key} is given twice, by input and by kwargs", "leave one of them out")
    return found
