"""The call of a model that the reference counters count, and the time that a count takes."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as trees

from archscope.devices import synchronize_all

T = TypeVar("T")


class UnsupportedCallError(Exception):
    """The counter does not support such a call at all."""


@dataclass(frozen=True)
class ModelCall:
    """A model and the arguments of one call, in training mode or not."""

    model: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    train: bool = False

    def copy(self) -> ModelCall:
        """Return the call for one run, with cloned tensors, since a model may write into its inputs.

        Arguments are passed by position where the signature of `forward` allows that.
        """
        args, kwargs = trees.tree_map_only(torch.Tensor, torch.clone, (tuple(self.args), dict(self.kwargs)))
        try:
            bound = inspect.signature(self.model.forward).bind(*args, **kwargs)
        except (TypeError, ValueError):  # no signature, or a call that does not fit: the run will raise
            return ModelCall(self.model, args, kwargs, self.train)
        return ModelCall(self.model, bound.args, bound.kwargs, self.train)

    def run(self) -> Any:
        return self.model(*self.args, **self.kwargs)


def time_work(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `work`, and the seconds that it took until the device had finished too."""
    synchronize_all()
    start = time.perf_counter()
    result = work()
    synchronize_all()
    return result, time.perf_counter() - start
