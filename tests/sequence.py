"""The sequence of aten operators of a model: by itself, and while archscope looks on.

make() → model, args, kwargs ─ alone(…), observed(…) ─→ (operator, shapes in, shapes out), one by one
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import archscope
from archscope.record.backward import loss_of
from archscope.record.kernel_mode import KernelMode
from archscope.record.op_call import tensors_in
from archscope.record.override_queries import fast_path_disabled

Made = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]
Ran = tuple[str, tuple[object, ...], tuple[object, ...]]
WAYS = ("eval", "train", "autocast")
DETACH = "aten.detach.default"
"""A gradient that is put down is detached; torch 2.8 says so once more for every mode that looks on."""
PASSES_ON = frozenset(
    [
        "__torch_function__",
        "_run_special",
        "__torch_dispatch__",
        "call",
        "run",
        "run_module",
        "run_backward",
        "<listcomp>",
    ]
)
"""The functions of archscope that run what the model calls."""


class Operators(KernelMode):
    """Writes down the operators that run under it, but for those that archscope needs for itself."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Ran] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        ran = str(func), tuple(map(shape, tensors_in([args, kwargs]))), tuple(map(shape, tensors_in(out)))
        again = ran[0] == DETACH and ran == (self.ran or [None])[-1]
        if not again and not is_ours():
            self.ran.append(ran)
        return out


def is_ours() -> bool:
    """Whether one of archscope's functions that are at work, from the nearest to the one that runs the model, does
    something of its own."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name not in ("run_module", "alone"):
        if str(frame.f_globals.get("__name__")).startswith("archscope.") and frame.f_code.co_name not in PASSES_ON:
            return True
        frame = frame.f_back
    return False


def shape(tensor: Tensor) -> object:
    return "nested" if tensor.is_nested else tuple(tensor.shape)


def alone(made: Made, *, train: bool) -> list[Ran]:
    """In the mode that is asked for; in training with its backward pass."""
    model, args, kwargs = made
    with torch.set_grad_enabled(train), fast_path_disabled(), Operators() as operators:
        out = model.train(train)(*args, **kwargs)
        loss = loss_of(out).tensors if train else ()
        if loss:
            torch.autograd.backward(loss, [torch.ones_like(tensor) for tensor in loss])
    return operators.ran


def observed(made: Made, *, train: bool) -> list[Ran]:
    model, args, kwargs = made
    with Operators() as operators:
        archscope.summarize(model, args=args, kwargs=kwargs, train=train)
    return operators.ran


def in_one_way(run: Callable[..., list[Ran]], make: Callable[[], Made], way: str) -> list[Ran]:
    """Of a model that is made anew, with the same random numbers each time."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (the generator that models of transformers draw from)
    random.seed(0)
    made = make()
    cast: AbstractContextManager[object] = torch.autocast("cpu") if way == "autocast" else nullcontext()
    with cast:
        return run(made, train=way == "train")
