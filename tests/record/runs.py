"""A module and its arguments → Recording, as the tests need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from archscope.cost import Cost, price_row
from archscope.record import Recording, record_module
from archscope.trace import Kernel, Row, Trace


class Holds(nn.Module):
    """Holds what it is given, by name, and runs a function of itself and x."""

    def __init__(self, forward: Callable[[Any, Any], Any], **held: Any):
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)
        self._forward = forward

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


def recorded(model: nn.Module, *args: Any, train: bool = False, **options: Any) -> Recording:
    """The model's forward pass; its inputs are called x, x1, x2 …"""
    return record_module(
        model,
        args,
        {},
        train=train,
        target="test",
        device="cpu",
        dtype="float32",
        inputs={f"x{index or ''}": value for index, value in enumerate(args)},
        **options,
    )


def traced(model: nn.Module, *args: Any, **options: Any) -> Trace:
    """The trace of a run that must succeed."""
    recording = recorded(model, *args, **options)
    if recording.error is not None:
        raise recording.error
    return recording.trace


def total(trace: Trace) -> Cost:
    return sum((price_row(row) for row in trace.rows), Cost())


def priced(kernels: tuple[Kernel, ...]) -> Cost:
    return price_row(Row(0, "", "", "", 0, (), (), (), kernels))
