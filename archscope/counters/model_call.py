"""What the witnesses are asked about: a model and the arguments of one call; how long an answer took."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as trees

from archscope.backends import synchronize_all

T = TypeVar("T")


class UnsupportedCallError(Exception):
    """A witness cannot take such a call at all."""


@dataclass(frozen=True)
class ModelCall:
    """A model and what it is called with, in training mode or not."""

    model: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    train: bool = False

    def copy(self) -> ModelCall:
        """The call for one run: a model may write into its inputs. By position, as far as its forward allows."""
        args, kwargs = trees.tree_map_only(torch.Tensor, torch.clone, (tuple(self.args), dict(self.kwargs)))
        try:
            bound = inspect.signature(self.model.forward).bind(*args, **kwargs)
        except (TypeError, ValueError):  # no signature, or a call that does not fit: the run will say so
            return ModelCall(self.model, args, kwargs, self.train)
        return ModelCall(self.model, bound.args, bound.kwargs, self.train)

    def run(self) -> Any:
        return self.model(*self.args, **self.kwargs)


def time_work(work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and the seconds that it took, until the device has finished too."""
    synchronize_all()
    start = time.perf_counter()
    result = work()
    synchronize_all()
    return result, time.perf_counter() - start
