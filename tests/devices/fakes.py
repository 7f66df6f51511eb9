"""A fake GPU: a backend with the traits of one, with an asynchronous clock and a known amount of memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
from torch.profiler import ProfilerActivity

from archscope import devices
from archscope.devices.cpu import CpuBackend
from archscope.devices.cuda import CUDA_TRAITS
from archscope.devices.protocol import Action
from archscope.machine import DeviceTraits, Machine


class Moment:
    """An event that the device has passed or not."""

    def __init__(self) -> None:
        self.time, self.passed = time.perf_counter(), False


class QueuedClock:
    """A clock whose marks cannot be read before `synchronize`."""

    min_seconds = 3e-3

    def __init__(self) -> None:
        self.ahead: list[Moment] = []

    def mark(self) -> Moment:
        self.ahead.append(Moment())
        return self.ahead[-1]

    def synchronize(self) -> None:
        for moment in self.ahead:
            moment.passed = True
        self.ahead.clear()

    def seconds_between(self, first: Moment, second: Moment) -> float:
        if not (first.passed and second.passed):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return second.time - first.time


class Scratch:
    """Every kernel needs a hundred bytes for itself."""

    def start(self) -> None: ...

    def scratch_bytes(self) -> int:
        return 100


class FakeGpu(CpuBackend):
    """The CPU as if it were a GPU. graph: what a capture does."""

    traits: ClassVar[DeviceTraits] = CUDA_TRAITS
    activities: ClassVar[Sequence[ProfilerActivity]] = (ProfilerActivity.CPU,)
    free: ClassVar[int] = 2**34
    others: ClassVar[int] = 0

    def __init__(self, device: str = "cpu"):
        self._device = device

    def clock(self) -> QueuedClock:  # type: ignore[override]  # another clock
        return QueuedClock()

    def allocator_peak(self) -> Scratch:  # type: ignore[override]  # the processor has none
        return Scratch()

    def peak_bytes(self, run: Action) -> int:
        run()
        return 1000

    def free_bytes(self) -> int:
        return self.free

    def bytes_held_by_others(self) -> int:
        return self.others

    def machine(self) -> Machine:
        settings = (("threads", 1), ("tf32", False), ("tf32_conv", True))
        return replace(super().machine(), device=self._device, settings=settings, traits=CUDA_TRAITS)

    def capture_graph(self, step: Action, forget: Action) -> Action:  # type: ignore[override]  # the processor has none
        step()
        return step

    def repeat_call(self, call: Action, times: int) -> Action:  # type: ignore[override]  # the processor has none
        def several() -> None:
            for _ in range(times):
                call()

        return several


@contextmanager
def pretending(monkeypatch: pytest.MonkeyPatch, kind: str, gpu: type[FakeGpu] = FakeGpu) -> Iterator[type[FakeGpu]]:
    """Inside, devices of a kind are fake GPUs."""
    with monkeypatch.context() as patch:
        patch.setitem(devices.BACKENDS, kind, gpu)  # type: ignore[arg-type]  # a mapping that nobody else changes
        yield gpu
