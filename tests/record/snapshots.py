"""Everything that a model, its arguments and all that they reach are, as plain data that can be compared.

snapshot(things) → path → what stands there        changes(before, after) → the paths that differ
"""

from __future__ import annotations

import gc
import hashlib
import random
import types
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import archscope
from archscope.errors import ForwardError

Snapshot = dict[str, object]

ATOMIC_TYPES = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    torch.dtype,
    torch.device,
    torch.Size,
    types.ModuleType,
)

NESTED_SIZE_ATTRIBUTES = (
    "_dynamo_dynamic_indices",
    "_dynamo_dynamic_range",
    "_dynamo_hint_overrides",
    "_specialize_on",
)
"""Attributes that torch sets on a size of a nested tensor at each use, also without modes."""


CACHING_PACKAGES = ("torch._ops", "torch.fx", "torch.export", "torch._C", "torch.jit")
"""Packages of torch whose classes cache what they compute."""


def snapshot(*things: Any) -> Snapshot:
    """Return the state of each object that is reached, once, under the first path that leads to it."""
    found: Snapshot = {}
    visited: dict[int, Any] = {}
    pending: list[tuple[str, Any]] = [(str(index), thing) for index, thing in enumerate(things)]
    while pending:
        path, thing = pending.pop(0)
        if isinstance(thing, ATOMIC_TYPES):
            found[path] = thing
            continue
        found[path] = id(thing), type(thing).__qualname__
        if id(thing) not in visited:
            visited[id(thing)] = thing
            found[f"{path}!"] = own_state(thing)
            pending.extend((f"{path}.{name}", inner) for name, inner in held_values(thing))
    return found


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    return [path for path in before | after if before.get(path, before) != after.get(path, after)]


def held_values(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values that an object holds, with their names."""
    if isinstance(thing, Tensor):
        yield "grad", thing.grad if thing.is_leaf else None
        yield "hooks", thing._backward_hooks
        yield from (
            (f"vars.{name}", value) for name, value in vars(thing).items() if name not in NESTED_SIZE_ATTRIBUTES
        )
        return
    if isinstance(thing, (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
        return
    if type(thing).__module__.startswith(CACHING_PACKAGES):
        return
    if isinstance(thing, dict):
        yield from ((str(key), value) for key, value in thing.items())
    elif isinstance(thing, (list, tuple, deque)):
        yield from ((str(place), value) for place, value in enumerate(thing))
    for kind in type(thing).__mro__:
        for name, member in vars(kind).items():
            slot = isinstance(member, types.MemberDescriptorType) and not name.startswith("__")  # Python's own
            if slot and kind.__module__ not in ("builtins", "collections"):
                yield name, getattr(thing, name, None)
    yield from getattr(thing, "__dict__", {}).items()


def own_state(thing: Any) -> object:
    """Return the state of an object itself, without the values that it holds."""
    if isinstance(thing, Tensor):
        return digest(thing)
    if isinstance(thing, dict):
        return [str(key) for key in thing]
    if isinstance(thing, (list, tuple, deque)):
        return len(thing)
    if isinstance(thing, (set, frozenset)):
        return sorted(map(str, thing))
    if isinstance(thing, bytearray):
        return bytes(thing)
    if isinstance(thing, np.ndarray):
        return thing.tobytes()
    if isinstance(thing, torch.Generator):
        return thing.get_state().numpy().tobytes()
    if isinstance(thing, random.Random):
        return thing.getstate()
    return str(thing.bit_generator.state) if isinstance(thing, np.random.Generator) else None


def digest(tensor: Tensor) -> tuple[object, ...]:
    """Kind, layout, memory, contents, version and history of a tensor."""
    kind = tensor.dtype, str(tensor.device), tensor.layout, tuple(tensor.shape)
    node: Any = tensor.grad_fn  # torch 2.8 makes its Python object anew for each who asks
    history = tensor.requires_grad, tensor.is_leaf, None if node is None else (node._sequence_nr(), node.name())
    version = None if tensor.is_inference() else tensor._version
    if tensor.layout is not torch.strided or tensor.is_nested:
        return *kind, *history, version, str(tensor.detach())
    place = tensor.stride(), tensor.storage_offset(), tensor.untyped_storage()._cdata, tensor.untyped_storage().nbytes()
    return *kind, *place, *history, version, contents(tensor)


def contents(tensor: Tensor) -> str:
    """The elements, in short; nothing of other kinds of tensors, on meta, or where the memory for them is gone."""
    if (
        type(tensor) not in (Tensor, nn.Parameter)
        or tensor.is_meta
        or not tensor.numel()
        or tensor.untyped_storage().nbytes() < tensor.nbytes
    ):
        return ""
    plain = tensor.detach().clone(memory_format=torch.contiguous_format)  # NumPy would forbid its memory to be resized
    return hashlib.sha256(plain.view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def settled_snapshot(*things: Any) -> Snapshot:
    """Return a snapshot, taken after garbage collection."""
    gc.collect()
    return snapshot(*things)


RUN_MODES: dict[str, dict[str, Any]] = {"eval": {}, "train": {"train": True}, "autocast": {"train": True}}
"""The options of an analysis, by mode."""


def changed_by_analysis(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], mode: str) -> list[str]:
    """Return the paths of the values that an analysis leaves changed; a model that fails is compared, too."""
    before = settled_snapshot(model, args, kwargs)
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"), suppress(ForwardError):
        archscope.summarize(model, args=args, kwargs=kwargs, **RUN_MODES[mode])
    return changes(before, settled_snapshot(model, args, kwargs))
