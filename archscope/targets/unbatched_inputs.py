"""Inputs without a batch axis, recognised by the first layer: the input → the input as a batch of one, and a note.

Conv2d(3, …) and 3×28×28 → 1×3×28×28 Linear(784, …) and 784 → 1×784
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from archscope import units
from archscope.targets.inputs import iter_leaves
from archscope.targets.target_module import TargetModule, run_isolated

CHANNEL_LAYERS: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.Conv1d, 1),
    (nn.Conv2d, 2),
    (nn.Conv3d, 3),
    (nn.ConvTranspose1d, 1),
    (nn.ConvTranspose2d, 2),
    (nn.ConvTranspose3d, 3),
    (nn.BatchNorm2d, 2),
    (nn.BatchNorm3d, 3),
)
"""Layers that read channels, with the number of axes after the channels."""


class LayerReachedError(Exception):
    """An exception that ends a run at its first layer."""


def find_missing_batch(target: TargetModule, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the class of the first layer if it shows that the one input of a call has no batch axis; else ""."""
    (given,) = (*args, *kwargs.values())
    parts = [part for part in target.module.modules() if not list(part.children())]
    if not isinstance(given, torch.Tensor) or not lacks_batch(parts, tuple(given.shape)):
        return ""
    return type(parts[0]).__name__ if receives_input(target, args, kwargs, parts[0]) else ""


def batch_note(layer: str, alone: tuple[Any, Any], whole: tuple[Any, Any]) -> str:
    """Return the note on how an input was interpreted. alone, whole: the arguments of a call without and with the
    batch.
    """
    shapes = [units.format_shape(tuple(next(iter_leaves(list(arguments))).shape)) for arguments in (alone, whole)]
    what = f"{shapes[0]} was taken as one example, {shapes[1]}"
    return f"{what}, as the first layer ({layer}) shows; a tensor goes in as it is"


def lacks_batch(parts: list[nn.Module], shape: tuple[int, ...]) -> bool:
    """Return whether a shape is one example of the first layer's input."""
    first = parts[0] if parts else None
    for kind, axes in CHANNEL_LAYERS:
        if isinstance(first, kind):
            return len(shape) == axes + 1 and shape[0] == getattr(
                first, "in_channels", getattr(first, "num_features", 0)
            )
    if isinstance(first, nn.Linear):
        return shape == (first.in_features,)
    second = parts[1] if len(parts) > 1 else None
    flat = isinstance(first, nn.Flatten) and (first.start_dim, first.end_dim) == (1, -1)
    return (
        flat
        and isinstance(second, nn.Linear)
        and bool(shape)
        and shape[0] != 1
        and math.prod(shape) == second.in_features
    )


def receives_input(target: TargetModule, args: tuple[Any, ...], kwargs: Mapping[str, Any], layer: nn.Module) -> bool:
    """Return whether a call passes its one input to a layer in an unchanged shape. The call ends there."""
    (given,) = (*args, *kwargs.values())
    found: list[tuple[int, ...]] = []

    def stop(_: nn.Module, args: tuple[Any, ...]) -> None:
        found.append(tuple(args[0].shape) if args and isinstance(args[0], torch.Tensor) else ())
        raise LayerReachedError

    hook = layer.register_forward_pre_hook(stop)
    try:
        run_isolated(target, target.module, args, kwargs)
    finally:
        hook.remove()
    return found[:1] == [tuple(given.shape)]
