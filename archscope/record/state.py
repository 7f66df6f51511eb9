"""What a run must not change: taken before, given back after, also when the run raises."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def kept_state(*, grad: bool) -> Iterator[None]:
    """Gradients on or off inside; grad mode, Python's and torch's random states as before afterwards.

    Python's cycle collector rests meanwhile: it would go through all of torch again and again for rows without cycles.
    """
    collecting = gc.isenabled()
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    states = torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [], random.getstate()
    gc.disable()
    try:
        with torch.set_grad_enabled(grad), uncompiled():
            yield
    finally:
        torch.set_rng_state(states[0])
        if cuda:
            torch.cuda.set_rng_state_all(states[1])
        random.setstate(states[2])
        if collecting:
            gc.enable()


def uncompiled() -> AbstractContextManager[object]:
    """What torch.compile made runs as its author wrote it, for a compiled region shows no functions."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def kept_module(model: torch.nn.Module, *, train: bool) -> Iterator[None]:
    """Training flags and buffers (batch statistics, caches) as before afterwards. Its own work is not recorded."""
    with torch._C.DisableTorchFunction():
        modules = list(model.modules())
        flags = [(module, module.training) for module in modules]
        buffers = [(module._buffers, dict(module._buffers)) for module in modules if may_write(module, train)]
        values = [
            (tensor, tensor.detach().clone()) for _, own in buffers for tensor in own.values() if tensor is not None
        ]
    try:
        yield
    finally:
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            for module, training in flags:
                if module.training != training:
                    module.training = training
            for held, own in buffers:
                held.clear()
                held.update(own)
            for tensor, value in values:
                if not tensor.is_meta and not torch.equal(tensor, value):  # a pending backward notices every writing
                    tensor.copy_(value)


def may_write(module: torch.nn.Module, train: bool) -> bool:
    """Whether a forward pass may change the module's buffers: torch's own layers do so in training only."""
    return bool(module._buffers) and (train or module.training or not type(module).__module__.startswith("torch.nn."))
