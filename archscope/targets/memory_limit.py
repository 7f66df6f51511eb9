"""A check of tensors that an author's code makes against the free memory, before they are allocated.

    torch.empty(200_000, 200_000) in a constructor → 149 GiB, more than is free → UsageError, nothing is allocated

The operating system often grants more memory than there is, and ends the process when it is used.
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
"""Functions that make a tensor of a given size."""
UNCHECKED_BYTES = 2**26
"""Tensors up to this size are not checked."""


class MemoryLimit(TorchFunctionMode):
    """A function mode that raises UsageError for a call that would make a tensor larger than the free memory. target:
    the model that is constructed.
    """

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
        """Raise UsageError if there is not enough memory for the result of a call."""
        size = kwargs.get("size", args[0] if args and isinstance(args[0], (tuple, list)) else args)
        if not all(type(n) is int for n in size):
            return  # torch reports what is wrong
        needed = math.prod(size) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
        if needed > UNCHECKED_BYTES:
            device = torch.device(kwargs.get("device") or torch.get_default_device())
            check_free_memory(
                needed, str(device), f"a tensor of {units.format_shape(tuple(size))} that {self.target} makes"
            )
