"""The parameters of a model: named tensors → values that rows may read → Params."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from archscope.record.tensor_backup import storage_id
from archscope.record.tensor_registry import TensorRegistry, make_tuple
from archscope.trace import Param


def make_params(named: Iterable[tuple[str, torch.Tensor]], registry: TensorRegistry) -> tuple[Param, ...]:
    """Return one Param per name, in order; the value of each is registered under its first name.

    Two names are tied if they refer to the same elements of the same storage.
    """
    owners: dict[tuple[object, ...], str] = {}
    found = []
    for name, tensor in named:
        _, shape, dtype, size = registry.register_param(name, tensor)
        count = tensor.numel()
        owner = owners.setdefault((storage_id(tensor), tensor.storage_offset(), count), name)
        tied = "" if owner is name else owner
        found.append(make_tuple(Param, (name, shape, dtype, count, size, tensor.requires_grad, tied)))
    return tuple(found)
