"""The values of the plain interpreter's expressions: layers and functions by name → values, by torch alone.

Nothing here comes from `archscope.compile`: what a name means is taken from docs/language.md and from torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from archscope.spec.spec_types import Block, Definition


class UnlikeError(RuntimeError):
    """The built net lacks the layer or parameter that the file describes at these sizes."""


class UnknownNameError(LookupError):
    """An unknown name."""


@dataclass(frozen=True)
class Layer:
    """A layer of `torch.nn`, by its name."""

    name: str


@dataclass(frozen=True)
class BlockUse:
    """A block of a file, or the file's whole net where `block` is None."""

    block: Block | None
    file: Any


@dataclass(frozen=True)
class Made:
    """A layer or block with its arguments, not applied yet."""

    what: Layer | BlockUse
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shared:
    """An entry of `modules`: its path, and its layer or block."""

    path: str
    made: Made


@dataclass(frozen=True)
class LetFunction:
    """A function of `let`, with the scope of its definition."""

    definition: Definition
    scope: Any


@dataclass(frozen=True)
class Function:
    """A function by its name."""

    name: str


@dataclass(frozen=True)
class Missing:
    """A value that may not be read."""

    why: str


def make_divisible(value: float, divisor: int = 8) -> int:
    """Return a number of channels by MobileNet's rule."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def listed(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return the function, with its result as a list."""
    return lambda *args, **kwargs: list(function(*args, **kwargs))


NUMBERS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "int": int,
    "float": float,
    "len": len,
    "sum": sum,
    "range": listed(range),
    "zip": listed(zip),
    "enumerate": listed(enumerate),
    "reversed": listed(reversed),
    "ceil": math.ceil,
    "floor": math.floor,
    "sqrt": math.sqrt,
    "log2": math.log2,
    "log": math.log,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "make_divisible": make_divisible,
}
LISTS = frozenset({"len", "range", "zip", "enumerate", "reversed"})
"""Functions of lists of anything, tensors too."""
CONSTANTS = {"pi": math.pi, "inf": math.inf}
FILLED = frozenset({"arange", "zeros", "ones", "full", "eye", "linspace", "tril_indices", "triu_indices", "Parameter"})
"""Functions that make a tensor from numbers, so that they are not applied to `prev`."""


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Return the tensors in nested lists, tuples and mappings, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def plain(value: Any) -> Any:
    """Return an argument as torch takes it; a function becomes its name."""
    if isinstance(value, (list, tuple)) and not tensors_in(value):
        return tuple(plain(part) for part in value)
    return value.name if isinstance(value, Function) else value


def called(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, on_prev: bool = False) -> Any:
    """Return the result of a function: of numbers if no argument is a tensor, else of tensors.

    on_prev: whether the first argument is `prev`, put there by the application rule.
    """
    if name in NUMBERS and (name in LISTS or not tensors_in([args, kwargs])):
        return NUMBERS[name](*args, **kwargs)
    given = [plain(a) for a in args]
    return tensor_function(name, methods_first=on_prev)(*given, **{key: plain(a) for key, a in kwargs.items()})


def tensor_function(name: str, *, methods_first: bool = False) -> Callable[..., Any]:
    """Return a function of `torch.nn.functional`, of `torch`, or a method of tensors.

    methods_first: whether methods go before torch's functions, for `permute(0, 2, 1)` and others that take sizes so.
    """
    for home in (F, torch.Tensor, torch) if methods_first else (F, torch, torch.Tensor):
        if hasattr(home, name):
            return getattr(home, name)
    raise UnknownNameError(name)


def known_function(name: str) -> bool:
    small = name[:1].islower()
    return name in NUMBERS or (small and any(callable(getattr(home, name, None)) for home in (F, torch, torch.Tensor)))


RECURRENT = inspect.signature(
    lambda input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False: None
)
CHANNELS = {
    **{f"Conv{n}d": "in_channels" for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": "in_channels" for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": "num_features" for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": "num_features" for n in (1, 2, 3)},
    "SyncBatchNorm": "num_features",
    "GroupNorm": "num_channels",
}
"""Layers with an argument that is dimension 1 of their input."""
FEATURES = {
    "Linear": "in_features",
    **dict.fromkeys(("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"), "input_size"),
    **dict.fromkeys(("LayerNorm", "RMSNorm"), "normalized_shape"),
    "MultiheadAttention": "embed_dim",
    **dict.fromkeys(("Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer"), "d_model"),
}
"""Layers with an argument that is the last dimension of their first input."""


def inferred(name: str, inputs: tuple[torch.Tensor, ...]) -> dict[str, int]:
    """Return the arguments that follow from a layer's inputs."""
    if name == "Bilinear":
        return {f"in{place}_features": tensor.shape[-1] for place, tensor in enumerate(inputs, 1)}
    if name in CHANNELS:
        return {CHANNELS[name]: inputs[0].shape[1]}
    return {FEATURES[name]: inputs[0].shape[-1]} if name in FEATURES else {}


def bound(name: str, made: Made, inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Return a layer's arguments by name, as PyTorch binds them; missing ones are inferred if possible."""
    kind = getattr(nn, name)
    signature = RECURRENT if name in ("LSTM", "GRU", "RNN") else inspect.signature(kind)
    args, kwargs = [plain(a) for a in made.args], {key: plain(a) for key, a in made.kwargs.items()}
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:
        known = {key: value for key, value in inferred(name, inputs).items() if key not in kwargs}
        left = [parameter for key, parameter in signature.parameters.items() if key not in known]
        return known | signature.replace(parameters=left).bind(*args, **kwargs).arguments


def appearance(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return a layer's text, and the shapes of its state."""
    return str(module), {key: tuple(value.shape) for key, value in module.state_dict().items()}


def fresh(made: Made, inputs: tuple[torch.Tensor, ...]) -> nn.Module:
    """Return the layer that the file describes, for these inputs."""
    assert isinstance(made.what, Layer)
    return getattr(nn, made.what.name)(**bound(made.what.name, made, inputs))


def expected_appearance(made: Made, inputs: tuple[torch.Tensor, ...]) -> tuple[str, dict[str, Any]]:
    """Return the appearance of that layer; no random number is drawn."""
    assert isinstance(made.what, Layer)
    return appearance_of(made.what.name, tuple(sorted(bound(made.what.name, made, inputs).items())))


@lru_cache(maxsize=1024, typed=True)
def appearance_of(name: str, arguments: tuple[tuple[str, Any], ...]) -> tuple[str, dict[str, Any]]:
    with torch.device("meta"):
        return appearance(getattr(nn, name)(**dict(arguments)))
