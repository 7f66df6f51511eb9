"""Inputs of a run: shapes, tensors and values as users give them → trees of tensors, as arguments of a call.

    input := tensor | shape | (dtype, shape) | (dtype, shape, (low, high)) | {shape, dtype, low, high}
           | array | object | None | True | 2.5 | [input, …] | (input, …) | {name: input, …}
    shape := (1, 3, 224, 224) | [1, 3, 224, 224]

At the top level a mapping gives arguments by name, a list or tuple of inputs arguments by position; anything else is
one argument. Integers are drawn from low to high - 1; without a range they are 0, which is always a legal token. Arrays
(of numpy, and objects with its interface) become tensors, floats in the model's dtype; other objects are passed
unchanged. The arguments of a call may be shapes if none of them is a tensor and there is no `input`.
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
from archscope.ops.dtypes import DTYPE_ALIASES
from archscope.targets.device_options import TORCH_DTYPES, check_free_memory

Shape = tuple[int, ...]
INPUT_MAPPING_KEYS = frozenset(["shape", "dtype", "low", "high"])
INPUT_SHAPE_HELP = (
    'for example (1, 3, 224, 224), or ("int64", (1, 128)); tensors go in as they are, other values as kwargs={"n": 4}'
)
RANGE_HELP = 'for example ("int64", (1, 128), (0, 50257))'
MAX_INPUT_BYTES = 2**62


def example_tensor(
    shape: Sequence[int], dtype: torch.dtype, device: str, *, low: int = 0, high: int = 1
) -> torch.Tensor:
    """Return an input of this shape and dtype: normally distributed floats, or integers from low to high - 1.

    The global random state is not used.
    """
    if torch.device(device).type == "meta":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point or dtype.is_complex:
        tensor = torch.randn(tuple(shape), generator=generator, dtype=torch.float32, device="cpu")
    else:
        tensor = torch.randint(low, high, tuple(shape), generator=generator, device="cpu")
    return tensor.to(device=device, dtype=dtype)


@dataclass(frozen=True)
class InputRequest:
    """An input to be made, under its name in messages. dtype: None for the dtype of the model's floats."""

    name: str
    shape: Shape
    dtype: str = ""
    low: int = 0
    high: int = 1


@dataclass(frozen=True)
class InputPlacement:
    """The device of inputs, and the dtype of those that name none."""

    device: str
    dtype: str

    def make_input(self, wanted: InputRequest) -> torch.Tensor:
        dtype, what = TORCH_DTYPES[wanted.dtype or self.dtype], f"{wanted.name} of {units.format_shape(wanted.shape)}"
        needed = math.prod(wanted.shape) * dtype.itemsize
        if needed >= MAX_INPUT_BYTES:
            raise UsageError(f"{what} is larger than any memory", "smaller sizes")
        check_free_memory(needed, self.device, what)
        return example_tensor(wanted.shape, dtype, self.device, low=wanted.low, high=wanted.high)

    def place_leaf(self, leaf: Any) -> Any:
        """Return a leaf of a tree of inputs as the module receives it. Raise UsageError."""
        if isinstance(leaf, InputRequest):
            return self.make_input(leaf)
        if not _is_array(leaf):
            return leaf
        try:
            tensor = torch.tensor(leaf)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"an array of {leaf.dtype} cannot become a tensor: {error}", "give it as a torch.Tensor"
            ) from None
        return tensor.to(device=self.device, dtype=TORCH_DTYPES[self.dtype] if tensor.is_floating_point() else None)


def make_inputs(
    placement: InputPlacement, given: Any, args: Any, kwargs: Any, batch: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call: `args` and `kwargs` as given, merged with the inputs in `given`. Raise
    UsageError.
    """
    if not isinstance(args, (list, tuple)):
        raise UsageError(f"args is a list of arguments, not {_kind_text(args)}", "args=(x,) has one argument")
    if not isinstance(kwargs, Mapping):
        raise UsageError(f"kwargs is a mapping of arguments, not {_kind_text(kwargs)}", 'kwargs={"x": x}')
    positional, named = tuple(args), dict(kwargs)
    if given is not None and positional:
        raise UsageError("inputs are given twice, by input and by args", "input may contain tensors as well")
    wanted = _read_inputs(given) if given is not None else _call_inputs(positional, named)
    if batch is not None:
        wanted = _set_batch(wanted, batch)
    listed, by_name = map_leaves(wanted, placement.place_leaf)
    return tuple(listed), by_name if given is None else _merge_arguments(by_name, named, "")


def _call_inputs(positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a call's own arguments; shapes among them become InputRequests if none of them is a tensor."""
    if any(isinstance(leaf, torch.Tensor) for leaf in iter_leaves((positional, named))):
        return list(positional), named
    by_place = [_replace_shapes(value, f"argument {place}") for place, value in enumerate(positional)]
    return by_place, {name: _replace_shapes(value, f"argument {name}") for name, value in named.items()}


def _replace_shapes(given: Any, name: str) -> Any:
    """Return the tree with an InputRequest for each shape, and everything else unchanged."""
    if type(given) is dict and not _is_input_mapping(given):
        return {key: _replace_shapes(value, f"{name}.{key}") for key, value in given.items()}
    if _is_input_list(given):
        return type(given)([_replace_shapes(value, f"{name}.{place}") for place, value in enumerate(given)])
    return _read_leaf(given, name) if _is_input_mapping(given) or _is_shape(given) else given


def _is_shape(given: Any) -> bool:
    """Return whether the value is a list of sizes, or a dtype with sizes."""
    if type(given) not in (list, tuple, torch.Size) or not given:
        return False
    if isinstance(given[0], (str, torch.dtype)):
        return len(given) in (2, 3) and str(given[0]).removeprefix("torch.") in TORCH_DTYPES and _is_shape(given[1])
    return all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 0 for size in given)


def _kind_text(value: Any) -> str:
    return "a tensor" if isinstance(value, torch.Tensor) else units.short_repr(value)


# ------------------------------------------------------------ reading
def _read_inputs(given: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and named inputs, with an InputRequest for each that is to be made."""
    if given is None:
        return [], {}
    if isinstance(given, Mapping) and not _is_input_mapping(given):
        return [], {str(name): _read_tree(value, f"input {name}") for name, value in given.items()}
    if _is_input_list(given):
        return list(_read_list(given, "input ")), {}
    return [_read_leaf(given, "the input")], {}


def _read_tree(given: Any, name: str) -> Any:
    """Return a tree of InputRequests, tensors and plain values."""
    if isinstance(given, Mapping) and not _is_input_mapping(given):
        return {key: _read_tree(value, f"{name}.{key}") for key, value in given.items()}
    if _is_input_list(given):
        return _read_list(given, name + ".")
    if given is None or isinstance(given, (bool, float, complex)):
        return given
    return _read_leaf(given, name)


def _read_list(given: Any, name: str) -> Any:
    """Return a list or tuple of inputs; an integer in it is a plain value."""
    read = [
        value if isinstance(value, Integral) else _read_tree(value, f"{name}{place}")
        for place, value in enumerate(given)
    ]
    return type(given)(read)


def _is_array(given: Any) -> bool:
    """Return whether the value is a NumPy-like array. Only its class is inspected, so that no `__getattr__`
    is called.
    """
    return hasattr(type(given), "__array_interface__") and not isinstance(given, (torch.Tensor, Integral))


def _is_object(given: Any) -> bool:
    """Return whether a value is an object that cannot be a shape, dtype, range or number: a dataclass, a named tuple, a
    library's object.
    """
    is_named = isinstance(given, tuple) and hasattr(given, "_fields")
    return is_named or not isinstance(given, (str, bytes, Number, Sequence, Mapping, torch.dtype))


def _read_leaf(given: Any, name: str) -> Any:
    if isinstance(given, torch.Tensor) or _is_array(given) or (given is not None and _is_object(given)):
        return given
    if _is_input_mapping(given):
        return _input_request(given["shape"], given.get("dtype"), (given.get("low"), given.get("high")), name)
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], (str, torch.dtype)) and len(given) in (2, 3):
        dtype, shape, *bounds = given
        return _input_request(shape, dtype, bounds[0] if bounds else (None, None), name)
    return _input_request(given, None, (None, None), name)


def _is_input_list(given: Any) -> bool:
    """Return whether a list or tuple contains inputs, and is neither a shape nor a shape with its dtype."""
    if type(given) not in (list, tuple) or not given or isinstance(given[0], (str, torch.dtype)):
        return False
    return not any(map(_is_size, given)) or any(map(_is_input, given))


def _is_input(item: Any) -> bool:
    """Return whether an item can occur neither in a shape nor in a shape with its dtype."""
    return isinstance(item, (torch.Tensor, list, tuple, Mapping)) or _is_array(item)


def _is_size(item: Any) -> bool:
    """Return whether an item is an integer, a dtype or a word, which no list of inputs contains."""
    return isinstance(item, (Integral, str, torch.dtype)) and not isinstance(item, bool)


def _is_input_mapping(given: Any) -> bool:
    return isinstance(given, Mapping) and "shape" in given and INPUT_MAPPING_KEYS.issuperset(given)


def _input_request(shape: Any, dtype: Any, bounds: Any, name: str) -> InputRequest:
    """Return the request for an input. Raise UsageError if shape, dtype or range is not valid."""
    sizes = _read_shape(shape, name)
    kind = _read_dtype(dtype, name)
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise UsageError(
            f"{name}: a range is (low, high), not {units.short_repr(bounds)}", '("int64", (1, 128), (0, 50257))'
        )
    if bounds[0] is None and bounds[1] is None:
        return InputRequest(name, sizes, kind)
    return InputRequest(name, sizes, kind or "int64", *_read_range(bounds, kind or "int64", name))


def _read_shape(shape: Any, name: str) -> Shape:
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise UsageError(f"an input is a shape, not {units.short_repr(shape)}{_at_name_text(name)}", INPUT_SHAPE_HELP)
    for size in shape:
        if not isinstance(size, Integral) or isinstance(size, bool):
            raise UsageError(
                f"a size is a whole number, not {units.short_repr(size)}{_in_shape_text(shape, name)}", INPUT_SHAPE_HELP
            )
        if int(size) < 0:
            raise UsageError(f"a size is 0 or more, not {size}{_in_shape_text(shape, name)}", INPUT_SHAPE_HELP)
    return tuple(int(size) for size in shape)


def _in_shape_text(shape: Any, name: str) -> str:
    return f" in {units.short_repr(shape)}{_at_name_text(name)}"


def _at_name_text(name: str) -> str:
    return "" if name == "the input" else f" ({name})"


def _read_dtype(dtype: Any, name: str) -> str:
    text = "" if dtype is None else str(dtype).removeprefix("torch.")
    known = DTYPE_ALIASES.get(text, text)
    if known and known not in TORCH_DTYPES:
        near = did_you_mean(known, TORCH_DTYPES) or f"one of {', '.join(TORCH_DTYPES)}"
        raise UsageError(f"unknown dtype {text!r}{_at_name_text(name)}", near)
    return known


def _read_range(bounds: Sequence[Any], dtype: str, name: str) -> tuple[int, int]:
    if not all(bound is None or isinstance(bound, Integral) for bound in bounds):
        raise UsageError(f"{name}: a range is of whole numbers, not {units.short_repr(tuple(bounds))}", RANGE_HELP)
    low = 0 if bounds[0] is None else int(bounds[0])
    high = low + 1 if bounds[1] is None else int(bounds[1])
    if TORCH_DTYPES[dtype].is_floating_point or TORCH_DTYPES[dtype].is_complex:
        raise UsageError(f"{name}: a range is for whole numbers, not for {dtype}", "leave the range out, or say int64")
    least, most = (
        (0, 1) if dtype == "bool" else (torch.iinfo(TORCH_DTYPES[dtype]).min, torch.iinfo(TORCH_DTYPES[dtype]).max)
    )
    if low >= high:
        raise UsageError(f"{name}: there is no number from {low} to {high} - 1", "the second number is above the first")
    if not least <= low < high <= most + 1:
        raise UsageError(
            f"{name}: {dtype} cannot hold the range from {low} to {high} - 1", f"it holds {least} … {most}"
        )
    return low, high


# ------------------------------------------------------------ trees
def map_leaves(tree: Any, convert: Callable[[Any], Any]) -> Any:
    """Return a tree of plain lists, tuples and dicts with `make_input(leaf)` in place of every leaf."""
    if type(tree) in (list, tuple):
        return type(tree)([map_leaves(item, convert) for item in tree])
    return {key: map_leaves(item, convert) for key, item in tree.items()} if type(tree) is dict else convert(tree)


def add_batch_axis(tree: Any) -> Any:
    """Return the tree with a batch axis of size 1 in front of its tensors."""
    return map_leaves(tree, lambda leaf: leaf.unsqueeze(0).clone() if isinstance(leaf, torch.Tensor) else leaf)


def has_given_value(tree: Any) -> bool:
    """Return whether a tree of inputs contains a tensor, an array or another object."""
    if isinstance(tree, Mapping):
        return any(map(has_given_value, tree.values()))
    if type(tree) in (list, tuple):
        return any(map(has_given_value, tree))
    return tree is not None and (_is_array(tree) or isinstance(tree, torch.Tensor) or _is_object(tree))


def detach_computed(tree: Any) -> Any:
    """Return the tree with computed tensors detached from their autograd graph, so that a backward pass does not free
    the caller's graph.

    They are copies that require a gradient, and not leaves, so that in-place operations work as before.
    """
    copies: dict[int, torch.Tensor] = {}

    def cut_off(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.grad_fn is None:
            return leaf
        if id(leaf) not in copies:
            copies[id(leaf)] = leaf.detach().requires_grad_().clone()
        return copies[id(leaf)]

    return map_leaves(tree, cut_off)


def iter_leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (list, tuple, dict)):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from iter_leaves(item)
    else:
        yield tree


def _set_batch(wanted: Any, batch: int) -> Any:
    """Return the inputs with this batch as the first size of the first shape, and of all shapes with the same first
    size.
    """
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"a batch is a whole number from 1, not {batch!r}", "batch=8")
    firsts = [leaf.shape[0] for leaf in iter_leaves(wanted) if isinstance(leaf, InputRequest) and leaf.shape]
    if not firsts:
        fix = "give a shape with it: input=(1, 3, 224, 224)"
        raise UsageError(f"batch={batch} has no shape to change: a tensor has a batch of its own", fix)
    return map_leaves(wanted, lambda leaf: _resize_batch(leaf, firsts[0], batch))


def _resize_batch(leaf: Any, first: int, batch: int) -> Any:
    mine = isinstance(leaf, InputRequest) and leaf.shape[:1] == (first,)
    return replace(leaf, shape=(batch, *leaf.shape[1:])) if mine else leaf


def _merge_arguments(first: dict[str, Any], second: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return both mappings merged, nested ones too. Raise UsageError if both give the same argument."""
    found = dict(first)
    for key, value in second.items():
        if key not in found:
            found[key] = value
        elif isinstance(found[key], dict) and isinstance(value, Mapping):
            found[key] = _merge_arguments(found[key], value, f"{path}{key}.")
        else:
            raise UsageError(f"{path}{key} is given twice, by input and by kwargs", "leave one of them out")
    return found
