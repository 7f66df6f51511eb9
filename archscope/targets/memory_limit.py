"""Tensors that an author's code makes, held against the memory that is free, before they are asked for.

    torch.empty(200_000, 200_000) while a model is made → 149 GiB, more than is free → UsageError, and nothing is taken

The operating system often grants more than there is, and ends the process when it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from archscope import units
from archscope.targets.devices import check_free_memory

TENSOR_FACTORIES = frozenset([torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn])
"""What makes a tensor of a size that it is told."""
UNCHECKED_BYTES = 2**26
"""Up to how many bytes nobody asks what is free."""


class MemoryLimit(TorchFunctionMode):
    """Inside, a tensor larger than what is free is refused. Raises UsageError in place of the call. target: the model
    that is made."""

    def __init__(self, target: str):
        super().__init__()
        self.target = target

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in TENSOR_FACTORIES:
            self.check(args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises UsageError where there is no room for what a call is to make."""
        size = kwargs.get("size", args[0] if args and isinstance(args[0], (tuple, list)) else args)
        if not all(type(n) is int for n in size):
            return  # torch says what is wrong with it
        needed = math.prod(size) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
        if needed > UNCHECKED_BYTES:
            device = torch.device(kwargs.get("device") or torch.get_default_device())
            check_free_memory(
                needed, str(device), f"a tensor of {units.format_shape(tuple(size))} that {self.target} makes"
            )
