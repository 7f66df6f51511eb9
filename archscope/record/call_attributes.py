"""The plain arguments of a call that determine its shapes: conv2d(…) → kernel_size, stride, padding, dilation.

Never a tensor. Functions that are not in these tables have no attributes; a diagnosis then knows only their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from archscope.record.op_call import ShapeOnly

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
