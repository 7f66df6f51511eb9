"""The parameters a model holds: named tensors → Params, with the first name of every shared storage."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from archscope.record.state import memory
from archscope.record.values import new
from archscope.trace import Param


def params(named: Iterable[tuple[str, torch.Tensor]]) -> tuple[Param, ...]:
    """One Param per name, in order. Two names are tied if they are the same elements of the same storage."""
    owners: dict[tuple[object, ...], str] = {}
    dtypes: dict[torch.dtype, str] = {}
    found = []
    for name, tensor in named:
        dtype = dtypes.get(tensor.dtype) or dtypes.setdefault(tensor.dtype, str(tensor.dtype).removeprefix("torch."))
        count = tensor.numel()
        owner = owners.setdefault((memory(tensor), tensor.storage_offset(), count), name)
        size, tied = count * tensor.element_size(), "" if owner is name else owner
        found.append(new(Param, (name, tuple(tensor.shape), dtype, count, size, tensor.requires_grad, tied)))
    return tuple(found)
