"""A model's rows under a clock that only aten operators move, so that every row has a time that can be worked out.

timed(model, args, train=True) → Timed (trace, tally, laps, times)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from archscope import targets
from archscope.profiling import rows_cpu
from archscope.profiling.benchmark import prepared_workload
from archscope.profiling.measurement import RowTimes
from archscope.profiling.rows_cpu import CallRowMap, TimedRun, row_times, time_run
from archscope.profiling.workload import Workload
from archscope.record import record_module
from archscope.trace import Trace


class Ticking(TorchDispatchMode):
    """Moves its own time by the ticks of an operator, by name; for all others by `otherwise`."""

    def __init__(self, ticks: Mapping[str, int], otherwise: int):
        super().__init__()
        self.time, self._ticks, self._otherwise = 0, ticks, otherwise

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            out = func(*args, **(kwargs or {}))
        self.time += self._ticks.get(func._schema.name.removeprefix("aten::"), self._otherwise)
        return out


@dataclass
class Timed:
    """ticked: the ticks of all runs together."""

    trace: Trace
    tally: CallRowMap
    laps: list[TimedRun]
    times: RowTimes | None
    ticked: int

    def forward(self) -> list[tuple[str, int | None]]:
        """Each row's function, and its ticks."""
        assert self.times is not None
        return [(row.short_name, ticks(time)) for row, time in zip(self.trace.rows, self.times.forward, strict=True)]

    def backward(self) -> list[tuple[str, int | None]]:
        assert self.times is not None
        return [(row.short_name, ticks(time)) for row, time in zip(self.trace.rows, self.times.backward, strict=True)]


def ticks(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)


def noted(module: nn.Module, args: tuple[Any, ...], *, train: bool = False) -> tuple[Trace, CallRowMap]:
    """A recorded run, and which call made which row."""
    tallies: list[CallRowMap] = []

    def extra_context(recorder: Any) -> CallRowMap:
        tallies.append(CallRowMap(recorder))
        return tallies[-1]

    recording = record_module(
        module,
        args,
        {},
        train=train,
        backward=train,
        target="model",
        device="cpu",
        dtype="float32",
        inputs=targets.named_inputs(module, args, {}),
        extra_context=extra_context,
    )
    assert recording.error is None
    return recording.trace, tallies[-1]


def timed(
    module: nn.Module,
    args: tuple[Any, ...],
    patch: Any,
    *,
    train: bool = False,
    laps: int = 1,
    ticks: Mapping[str, int] | None = None,
    otherwise: int = 0,
) -> Timed:
    """The module recorded, and then under the clock; `patch` is pytest's monkeypatch. ticks: by operator; None lets the
    clock stand still, so that no mode observes operators."""
    trace, tally = noted(module, args, train=train)
    work, clock = Workload(module, module, [(args, {})], "cpu", train), Ticking(ticks or {}, otherwise)
    patch.setattr(rows_cpu, "now", lambda: clock.time)
    found = []
    with prepared_workload(work, live=True):
        for _ in range(laps):
            work.drop_gradients()
            with nullcontext() if ticks is None and not otherwise else clock:
                found.append(time_run(work.forward, work.backward if train else None))
    return Timed(trace, tally, found, row_times(found, tally, len(trace.rows), backward=train), clock.time)
