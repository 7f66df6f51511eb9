"""What an analysis must leave as it is, as a picture that can be compared: a module → all that it holds, by name."""

from __future__ import annotations

import gc
import hashlib
import random
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.errors import ForwardError


def picture(model: nn.Module) -> dict[str, Any]:
    """Weights and buffers by their bytes and places, the attributes, flags and hooks of every module."""
    seen: dict[str, Any] = {name: digest(tensor) for name, tensor in held(model).items()}
    for path, module in model.named_modules():
        seen[f"{path}: attributes"] = {name: remembered(value) for name, value in vars(module).items()}
    seen["gradients"] = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    seen["random"] = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(), random.getstate()
    return seen


def held(model: nn.Module) -> dict[str, Tensor]:
    buffers = model.named_buffers(remove_duplicate=False)
    return {**dict(model.named_parameters(remove_duplicate=False)), **dict(buffers)}


def digest(tensor: Tensor) -> tuple[object, ...]:
    """Identity, version and contents of a tensor."""
    flat = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
    contents = hashlib.sha256(flat.numpy().tobytes()).hexdigest()
    return id(tensor), tensor._version, tensor.requires_grad, contents


def remembered(value: Any) -> object:
    """Plain values as they are, containers by what they hold, anything else by its identity."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [remembered(item) for item in value]
    if isinstance(value, dict):
        return {str(key): remembered(item) for key, item in value.items()}
    return id(value)


def leaves_no_trace(make: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Analyses a model, and then asserts that it is as it was, and that nothing keeps it once it is dropped."""
    model = make()
    before = picture(model)
    report = archscope.summarize(model, args=args, kwargs=kwargs)
    assert changed(before, picture(model)) == []
    watched = watches(model)
    del model
    gc.collect()
    assert not [watch() for watch in watched if watch() is not None]
    assert report.total.params


def failing_leaves_no_trace(make: Callable[[], nn.Module], kwargs: dict[str, Any]) -> None:
    """The same of an analysis that ends in the model's own exception."""
    model = make()
    before = picture(model)
    with pytest.raises(ForwardError):
        archscope.summarize(model, kwargs=kwargs)
    assert changed(before, picture(model)) == []
    watched = watches(model)
    del model
    gc.collect()
    assert not [watch() for watch in watched if watch() is not None]


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def watches(model: nn.Module) -> list[weakref.ref[Any]]:
    return [weakref.ref(one) for one in (*model.modules(), *model.parameters())]
