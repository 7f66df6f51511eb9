"""Isolation of a counter: the model's attributes, hooks, flags, weights, modes and random states are restored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from archscope.record.modules import walk_modules
from archscope.record.state.process import preserved_module, preserved_state
from archscope.record.state.tensors import preserved_tensors


@contextmanager
def isolated(model: nn.Module, *, train: bool) -> Iterator[None]:
    """Inside, the model is in the mode that `train` says, without gradients; afterwards it is as before."""
    contents = walk_modules(model)
    tensors = preserved_tensors(tensor for _, tensor in (*contents.parameters, *contents.buffers))
    with (
        warnings.catch_warnings(),
        preserved_state(grad=False),
        preserved_module(model, contents.modules, train=train),
        tensors,
    ):
        warnings.simplefilter("ignore")
        yield
