"""The backend of the CPU, whose work is done when its call returns, and of the meta device, which does none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch.profiler import ProfilerActivity

from archscope.devices import processor
from archscope.devices.profiler import quiet_profile
from archscope.devices.protocol import Action, DeviceProblem, GetSetPair
from archscope.machine import CPU_TRAITS, DeviceTraits, Machine

MEMORY_EVENT = "[memory]"
"""The profiler's name of an event that allocates or frees memory."""


def highest_sum(sizes: Iterable[int]) -> int:
    """Return the largest running sum of bytes that were allocated (above 0) and freed (below 0).

    Memory that is freed but was not allocated here was there before and does not count: the profiler mostly leaves it
    out, and reports it only where an address is used again.
    """
    allocated = peak = 0
    for size in sizes:
        if allocated + size >= 0:
            allocated += size
            peak = max(peak, allocated)
    return peak


class HostClock:
    """A clock for work that is done when its call returns."""

    min_seconds = 1e-4
    mark = staticmethod(time.perf_counter)

    def synchronize(self) -> None:
        """Return at once: there is nothing to wait for."""

    def seconds_between(self, first: float, second: float) -> float:
        return second - first


class CpuBackend:
    """The CPU that this process runs on."""

    traits: ClassVar[DeviceTraits] = CPU_TRAITS
    activities: ClassVar[Sequence[ProfilerActivity]] = ()

    def __init__(self, device: str = "cpu"):
        """There is only one CPU, whatever its name."""

    @classmethod
    def is_available(cls) -> bool:
        return True

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ("cpu",)

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        """Return None: the CPU is always used."""

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        """Return None: the CPU is always available."""

    @classmethod
    def is_initialized(cls) -> bool:
        return True

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ((torch.get_rng_state, torch.set_rng_state),)

    @classmethod
    def settings(cls) -> Sequence[GetSetPair]:
        return ()

    @classmethod
    def seed(cls, seed: int) -> None:
        torch.default_generator.manual_seed(seed)

    @classmethod
    def synchronize_all(cls) -> None:
        """Return at once: there is nothing to wait for."""

    def unopened(self) -> DeviceProblem | None:
        """Return None: the CPU always works."""

    def initialize(self) -> None:
        """Do nothing: the CPU needs no initialization."""

    def as_current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def synchronize(self) -> None:
        """Return at once: there is nothing to wait for."""

    def clock(self) -> HostClock:
        return HostClock()

    def allocator_peak(self) -> None:
        """Return None: no allocator reports a kernel's scratch memory."""

    def disable_autotuning(self) -> None:
        """Do nothing: CPU libraries do not try algorithms."""

    def peak_bytes(self, run: Action) -> int | None:
        """Return the peak of the running sum of all allocations; None if the profiler recorded none."""
        with quiet_profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
            result = run()
        del result
        results = profiled.profiler.kineto_results if profiled.profiler else None
        events: list[Any] = [event for event in results.events() if event.name() == MEMORY_EVENT] if results else []
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        return highest_sum(sizes) if sizes else None

    def free_bytes(self) -> int | None:
        return processor.free_bytes()

    def bytes_held_by_others(self) -> int | None:
        """Return None: CPU memory is the system's, and `free_bytes` already excludes what others hold."""

    def machine(self) -> Machine:
        return processor.describe_processor()

    def has_tf32(self) -> bool:
        return False

    def capture_graph(self, step: Action, forget: Action) -> None:
        """Return None: the CPU has no graphs."""

    def repeat_call(self, call: Action, times: int) -> None:
        """Return None: functions on the CPU are called one by one in real use, too."""


class MetaBackend(CpuBackend):
    """The meta device: the CPU computes shapes only; tensors have no memory, and work takes no time."""

    traits: ClassVar[DeviceTraits] = replace(CPU_TRAITS, kind="meta")

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ()

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ()

    @classmethod
    def seed(cls, seed: int) -> None:
        """Do nothing: no random numbers are drawn."""

    def peak_bytes(self, run: Action) -> int | None:
        """Return None: meta tensors have no memory."""

    def free_bytes(self) -> int | None:
        """Return None: meta tensors need no memory."""

    def machine(self) -> Machine:
        """Return the CPU's description under the name `meta`."""
        return replace(super().machine(), device="meta", name="meta")
