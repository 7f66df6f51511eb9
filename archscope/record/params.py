"""The parameters a model holds: named tensors → Params, with the first name of every shared storage."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from archscope.record.tensors import shape_of
from archscope.trace import Param


def params(named: Iterable[tuple[str, torch.Tensor]]) -> tuple[Param, ...]:
    """One Param per name, in order. Two names are tied if they are the same elements of the same storage."""
    owners: dict[tuple[int, ...], str] = {}
    return tuple(param(name, tensor, owners.setdefault(memory(tensor), name)) for name, tensor in named)


def param(name: str, tensor: torch.Tensor, owner: str) -> Param:
    count = tensor.numel()
    return Param(
        name=name,
        shape=shape_of(tensor),
        dtype=str(tensor.dtype).removeprefix("torch."),
        count=count,
        bytes=count * tensor.element_size(),
        trainable=tensor.requires_grad,
        tied_to="" if owner == name else owner,
    )


def memory(tensor: torch.Tensor) -> tuple[int, ...]:
    """Which elements of which storage; identity of the storage, for meta tensors have no address."""
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset()), tensor.numel()
