"""Constant weights in place of PyTorch's random initialisation, which takes longer than a forward pass.

constructor → init.kaiming_uniform_(weight) → a constant fill that keeps all values finite
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

RANDOM_FILLS = frozenset(
    [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "random_",
        "exponential_",
        "bernoulli_",
        "cauchy_",
        "geometric_",
        "log_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "orthogonal_",
        "sparse_",
    ]
)
CONSTANT_FILLS = frozenset(["fill_", "zero_", "copy_"])


class FastInitMode(TorchFunctionMode):
    """A torch function mode that replaces random fills: 1 / fan-in for weights (each output is a mean of inputs), 0 for
    vectors.

    On the meta device, which has no values, fills do nothing. The random state is unchanged.
    """

    def __torch_function__(self, function: Callable, types: object, args: tuple = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in RANDOM_FILLS or name in CONSTANT_FILLS:
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
            if isinstance(tensor, torch.Tensor) and name in RANDOM_FILLS:
                fan_in = tensor[0].numel() if tensor.dim() > 1 and len(tensor) else 0
                with torch.no_grad():
                    return tensor.fill_(1 / fan_in if fan_in else 0.0)
        return function(*args, **(kwargs or {}))
