"""Restores state step by step: every step runs, whatever the others raise, and one warning lists those that failed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ReferenceType

import torch

from archscope.errors import first_line
from archscope.units import format_shape

RestoreStep = tuple[Callable[..., object], tuple[Any, ...]]
"""A function and its arguments."""

MAX_QUOTED = 3
"""The largest number of failures that a message quotes."""


class NotGivenBack(UserWarning):
    """Something that a run has changed could not be restored."""


def run_steps(steps: Iterable[RestoreStep]) -> None:
    """Run all steps. Warn of those that raised."""
    failed = []
    for step, arguments in steps:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 — an author's object may raise anything
            failed.append(f"{describe_object(arguments[0])}: {first_line(error)}")
    if failed:
        distinct = list(dict.fromkeys(failed))
        more = f" (and {len(distinct) - MAX_QUOTED} more)" * (len(distinct) > MAX_QUOTED)
        text = f"the run has changed state that could not be restored: {'; '.join(distinct[:MAX_QUOTED])}{more}"
        warnings.warn(text, NotGivenBack, stacklevel=2)


def describe_object(thing: Any) -> str:
    """Return the name of a step's object in a message: its class, and of a tensor its shape."""
    tensor = getattr(thing, "tensor", thing)
    tensor = tensor() if isinstance(tensor, ReferenceType) else tensor
    if isinstance(tensor, torch.Tensor):
        return f"{type(tensor).__name__} of {format_shape(tuple(tensor.shape))}"
    return type(thing).__name__
