"""One call of a torch function as its lowering sees it: arguments as passed, shapes of the outputs.

Also the tensors in trees of arguments, with the shapes of sparse and nested ones, and the plain arguments that
determine a cost: conv2d(…) → stride, padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from archscope.ops.shape_errors import Dims
from archscope.trace import Kernels, Shape


# ------------------------------------------------------------ tensors in trees of arguments, and their layouts
def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return the tensors of nested lists, tuples and dicts, left to right."""
    found: list[torch.Tensor] = []
    gather_tensors((tree,), found)
    return found


def gather_tensors(items: Iterable[Any], found: list[torch.Tensor]) -> None:
    for item in items:
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, (list, tuple)):
            gather_tensors(item, found)
        elif isinstance(item, dict):
            gather_tensors(item.values(), found)


SPARSE_LAYOUTS = frozenset([torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc])


def stored_elements(tensor: torch.Tensor) -> int | None:
    """Return the number of elements that a sparse tensor stores, including zeros; None for any other tensor."""
    if tensor.layout not in SPARSE_LAYOUTS:
        return None
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    return values.numel()


def layout_key(tensor: torch.Tensor) -> object:
    """Return a key beside the shape: how much a sparse tensor stores; a nested tensor equals no other."""
    return object() if tensor.is_nested else (tensor.layout, stored_elements(tensor))


def shape_of(tensor: torch.Tensor) -> Shape:
    """Return the shape; of a nested tensor the number of its parts, and their largest size along each axis.

    On meta the lengths of its parts are unknown: the total length is the limit.
    """
    if not tensor.is_nested:
        return tuple(tensor.shape)
    with torch._C.DisableTorchFunction():
        if tensor.is_meta:
            longest = max(tensor.values().shape)
            return tuple(size if type(size) is int else longest for size in tensor.shape)
        parts = [tuple(part.shape) for part in tensor.unbind()]
    return len(parts), *map(max, zip(*parts, strict=True))


def as_dims(tree: Any) -> Any:
    """Return the tree with every tensor replaced by its shape."""
    if isinstance(tree, torch.Tensor):
        return Dims(tree.shape)
    if isinstance(tree, dict):
        return {key: as_dims(item) for key, item in tree.items()}
    return tuple(as_dims(item) for item in tree) if isinstance(tree, (list, tuple)) else tree


OPERAND_NAMES = ("input", "self", "mat", "mat1", "batch1", "tensor", "other", "mat2", "batch2", "vec")
"""The names of the operands of products, in the order of their signatures."""


# ------------------------------------------------------------ a call
@dataclass(frozen=True)
class ShapeOnly:
    """The shape of a plain (strided) tensor, in place of the tensor after a run."""

    shape: Shape
    layout: torch.layout = torch.strided
    is_nested: bool = False


@dataclass(frozen=True)
class OpCall:
    """One call of a torch function: its arguments as passed, and the shapes of its outputs."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Shape, ...]

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def shape(self, position: int, name: str) -> Shape:
        return shape_of(self.get(position, name))

    def operands(self) -> list[Any]:
        """Return the tensors that a product multiplies and adds, in the order of its signature, also if passed by
        keyword."""
        named = [self.kwargs[name] for name in OPERAND_NAMES if name in self.kwargs]
        return [value for value in (*self.args, *named) if isinstance(value, (torch.Tensor, ShapeOnly))]

    @property
    def is_strided(self) -> bool:
        """True if every tensor is strided: not sparse, not nested."""
        return all(is_strided(tensor) for tensor in tensors_in((self.args, self.kwargs)))


def is_strided(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested


Lowering = Callable[[OpCall], Kernels | None]


# ------------------------------------------------------------ plain arguments
ArgumentNames = tuple[str, ...]

_CONV = ("", "weight", "", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("", "weight", "", "stride", "padding", "output_padding", "groups", "dilation")
_MAX_POOL = ("", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("", "kernel_size", "stride", "padding", "ceil_mode")
_REDUCE = ("", "dim", "keepdim")
_DIMS = ("", "dim0", "dim1")

ARGUMENT_NAMES: Mapping[str, ArgumentNames] = {
    **{f"conv{d}d": _CONV for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": _TRANSPOSED for d in (1, 2, 3)},
    **{f"max_pool{d}d": _MAX_POOL for d in (1, 2, 3)},
    **{f"avg_pool{d}d": _AVG_POOL for d in (1, 2, 3)},
    **{f"lp_pool{d}d": ("", "", "kernel_size", "stride", "ceil_mode") for d in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{d}d": ("", "output_size") for kind in ("avg", "max") for d in (1, 2, 3)},
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _DIMS),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "unsqueeze", "squeeze", "unbind"), ("", "dim")),
    **dict.fromkeys(("softmax", "log_softmax"), ("", "dim")),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "prod", "norm", "logsumexp"), _REDUCE),
    **dict.fromkeys(("chunk", "split", "tensor_split"), ("", "parts", "dim")),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), ("", "p", "training")),
    "flatten": ("", "start_dim", "end_dim"),
    "unflatten": ("", "dim", "sizes"),
    "pad": ("", "pad", "mode"),
    **dict.fromkeys(("max", "min"), _REDUCE),
    **dict.fromkeys(("var", "std"), ("", "dim", "", "keepdim")),
    "getitem": ("", "index"),
    "select": ("", "dim", "index"),
    "interpolate": ("", "size", "scale_factor", "mode"),
    "pixel_shuffle": ("", "upscale_factor"),
    "pixel_unshuffle": ("", "downscale_factor"),
    "narrow": ("", "dim", "start", "length"),
    "unfold": ("", "kernel_size", "dilation", "padding", "stride"),
    "scaled_dot_product_attention": ("", "", "", "", "dropout_p", "is_causal"),
    "batch_norm": ("", "", "", "", "", "training"),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), (*[""] * 8, "batch_first")),  # not of packed sequences
}
"""The names of a function's positional arguments, by its short name; an empty name is not recorded."""

VARIADIC_ARGUMENTS: Mapping[str, str] = {
    **dict.fromkeys(("view", "reshape", "expand", "repeat", "tile"), "shape"),
    **dict.fromkeys(("permute", "movedim", "flip"), "dims"),
}
"""Functions whose sizes may be separate arguments: `x.view(2, 8)` or `x.view((2, 8))`."""


def call_attributes(op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """Return the plain arguments of a call by name: numbers, strings and tuples of them."""
    if op in VARIADIC_ARGUMENTS:
        rest = args[1:] or tuple(kwargs.values())
        sizes = rest[0] if len(rest) == 1 and isinstance(rest[0], (tuple, list, torch.Size)) else rest
        return ((VARIADIC_ARGUMENTS[op], plain_value(sizes)),)
    names = ARGUMENT_NAMES.get(op)
    if names is None:
        return ()
    arguments = (*zip(names, args, strict=False), *((name, value) for name, value in kwargs.items() if name in names))
    return tuple(
        (name, plain_value(value))
        for name, value in arguments
        if name and not isinstance(value, (torch.Tensor, ShapeOnly))
    )


def plain_value(value: Any) -> object:
    """Return numbers, strings and None as they are, sequences as tuples, slices as `1::2`, other objects as class
    names."""
    if isinstance(value, (tuple, list)):
        return tuple(plain_value(item) for item in value)
    if isinstance(value, slice):
        return ":".join("" if part is None else str(part) for part in (value.start, value.stop, value.step))
    if value is ...:
        return "..."
    if isinstance(value, (torch.Tensor, ShapeOnly)):
        return "Tensor"
    return value if isinstance(value, (int, float, str, type(None))) else type(value).__name__
