"""A module and its arguments → Recording, as the tests need it."""

from __future__ import annotations

from typing import Any

from torch import nn

from archscope.cost import Cost, price
from archscope.record import Recording, drive_module, record
from archscope.trace import Kernel, Row, Trace


def recorded(model: nn.Module, *args: Any, mode: str = "eval", **options: Any) -> Recording:
    """The model's forward pass; its inputs are called x, x1, x2 …"""
    return record(
        lambda recorder: drive_module(model, args, {}, recorder),
        target="test",
        device="cpu",
        dtype="float32",
        mode=mode,
        inputs={f"x{index or ''}": value for index, value in enumerate(args)},
        parameters=model.named_parameters(remove_duplicate=False),
        buffers=model.named_buffers(remove_duplicate=False),
        **options,
    )


def traced(model: nn.Module, *args: Any, **options: Any) -> Trace:
    """The trace of a run that must succeed."""
    recording = recorded(model, *args, **options)
    if recording.error is not None:
        raise recording.error
    return recording.trace


def total(trace: Trace) -> Cost:
    return sum((price(row) for row in trace.rows), Cost())


def priced(kernels: tuple[Kernel, ...]) -> Cost:
    return price(Row(0, "", "", "", 0, (), (), (), kernels))
