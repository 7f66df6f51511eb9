"""Models without drawn weights: a factory → a module on the meta device, or on the CPU where it reads its weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWN = frozenset(["normal_", "uniform_"])
"""What every initialisation draws its numbers with."""


class Undrawn(TorchFunctionMode):
    """Weights that would be drawn are a small constant: no random state is moved, and no time goes into it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.__name__ not in DRAWN:
            return func(*args, **kwargs)
        with torch.no_grad():
            return (args[0] if args else kwargs["tensor"]).fill_(0.01)


def built(make: Callable[[], nn.Module], device: str = "meta") -> nn.Module:
    """The module that `make` gives, in eval mode, made on that device. What its author warns about is theirs."""
    with warnings.catch_warnings(), torch.random.fork_rng(), torch.device(device), Undrawn():
        warnings.simplefilter("ignore")
        return make().eval()
