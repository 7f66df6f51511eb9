"""What a run must not change: taken before, given back after, also when the run raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kept_state(*, grad: bool) -> Iterator[None]:
    """Gradients on or off inside; grad mode, Python's and torch's random states as before afterwards."""
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    states = torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [], random.getstate()
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        torch.set_rng_state(states[0])
        if cuda:
            torch.cuda.set_rng_state_all(states[1])
        random.setstate(states[2])


@contextmanager
def kept_module(model: torch.nn.Module) -> Iterator[None]:
    """Training flags and buffers (batch statistics, caches) as before afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    values = [(tensor, tensor.detach().clone()) for _, own in buffers for tensor in own.values() if tensor is not None]
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training
        for module, own in buffers:
            module._buffers.clear()
            module._buffers.update(own)
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
