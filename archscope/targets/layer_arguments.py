"""The arguments of torch's own layers: a class → the names of its constructor's parameters; a layer → their present
values.

nn.Conv2d(16, 32, 3) → {"in_channels": 16, "out_channels": 32, "kernel_size": (3, 3), "stride": (1, 1), …}
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter

import torch
from torch import nn

PLACEMENT_ARGUMENTS = ("device", "dtype")
"""Arguments that set where a layer's tensors are stored, not what it computes."""
GATED_RECURRENT = (nn.LSTM, nn.GRU)
"""Recurrent layers whose constructors pass every argument on to `nn.RNNBase`."""
FLAG_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "bias": ("in_proj_bias", "bias"),
    "add_bias_kv": ("bias_k",),
}
"""Flag of a constructor → the parameters that exist if it is True."""
NOT_STORED = object()


def is_torch_layer(module: nn.Module) -> bool:
    """Return whether a module is a layer of torch.nn itself, not of a subclass."""
    cls = type(module)
    return vars(nn).get(cls.__name__) is cls and cls.__module__.startswith("torch.nn.modules.")


def constructor_parameters(cls: type) -> Mapping[str, Parameter]:
    """Return the named parameters of a layer's constructor, without `self`, device and dtype; empty if it does not name
    them.
    """
    constructor = nn.RNNBase if cls in GATED_RECURRENT else cls
    hidden = {*PLACEMENT_ARGUMENTS, "mode"} if cls in GATED_RECURRENT else set(PLACEMENT_ARGUMENTS)
    if cls is nn.GRU:
        hidden.add("proj_size")
    found = inspect.signature(constructor).parameters
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found.values()):
        return {}
    return {name: p for name, p in found.items() if name not in hidden and not name.startswith("_")}


def argument_names(layer: nn.Module) -> list[str]:
    """Return the arguments of a layer's constructor, in order."""
    return list(constructor_parameters(type(layer)))


def present_arguments(layer: nn.Module) -> dict[str, object]:
    """Return the present arguments of a layer of torch.nn, as far as its attributes show them."""
    found = {name: present_argument(layer, name) for name in constructor_parameters(type(layer))}
    return {name: value for name, value in found.items() if value is not NOT_STORED}


def present_argument(layer: nn.Module, name: str) -> object:
    """Return one argument, read from the attribute of its name; a flag, from whether the parameter exists."""
    for tensor in FLAG_PARAMETERS.get(name, ()):
        if tensor in layer._parameters:
            return layer._parameters[tensor] is not None
    value = vars(layer).get(name, NOT_STORED)
    return NOT_STORED if isinstance(value, (torch.Tensor, nn.Module)) else value


def is_same_value(first: object, second: object) -> bool:
    """Return whether two values mean the same to a layer, as 3 and (3, 3) do."""
    return collapse_equal(first) == collapse_equal(second)


def collapse_equal(value: object) -> object:
    """Return the one entry of a tuple of equal entries; any other value unchanged."""
    if isinstance(value, (tuple, list)) and value:
        return value[0] if all(entry == value[0] for entry in value) else tuple(value)
    return value
