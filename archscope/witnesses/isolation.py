"""Nothing that a witness does to a model stays: what hangs on it, flags, weights, modes, random states, warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from archscope.record.modules import walk
from archscope.record.originals import kept_tensors
from archscope.record.state import kept_module, kept_state


@contextmanager
def isolated(model: nn.Module, *, train: bool) -> Iterator[None]:
    """Inside, the model is in the mode that `train` says, without gradients; afterwards it is as it was."""
    held = walk(model)
    tensors = kept_tensors(tensor for _, tensor in (*held.parameters, *held.buffers))
    with warnings.catch_warnings(), kept_state(grad=False), kept_module(model, held.modules, train=train), tensors:
        warnings.simplefilter("ignore")
        yield
