"""The processor, whose work is done when its call returns; and meta, which does none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch.profiler import ProfilerActivity

from archscope.backends import processor
from archscope.backends.profiler import quiet_profile
from archscope.backends.protocol import Action, DeviceProblem, GetSetPair
from archscope.device_traits import CPU_TRAITS, DeviceTraits
from archscope.measurement import Machine

MEMORY_EVENT = "[memory]"
"""What the profiler calls an event that gives or takes memory."""


def highest_sum(sizes: Iterable[int]) -> int:
    """The largest sum of bytes that were given (above 0) and taken (below 0). What is taken and was not given here was
    there before, and does not count: the profiler mostly leaves it out, and tells it where an address is used again."""
    alive = most = 0
    for size in sizes:
        if alive + size >= 0:
            alive += size
            most = max(most, alive)
    return most


class HostClock:
    """Of work that is done when its call returns."""

    min_seconds = 1e-4
    mark = staticmethod(time.perf_counter)

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def seconds_between(self, first: float, second: float) -> float:
        return second - first


class CpuBackend:
    """The processor that this process runs on."""

    traits: ClassVar[DeviceTraits] = CPU_TRAITS
    activities: ClassVar[Sequence[ProfilerActivity]] = ()

    def __init__(self, device: str = "cpu"):
        """There is one, whatever its name."""

    @classmethod
    def is_available(cls) -> bool:
        return True

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ("cpu",)

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        """It is always used."""

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        """It is always there."""

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
        """There is nothing to wait for."""

    def unopened(self) -> DeviceProblem | None:
        """It works already."""

    def initialize(self) -> None:
        """It never sleeps."""

    def as_current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def clock(self) -> HostClock:
        return HostClock()

    def allocator_peak(self) -> None:
        """No allocator tells what a kernel needs for itself."""

    def disable_autotuning(self) -> None:
        """They try none."""

    def peak_bytes(self, run: Action) -> int | None:
        """By the sum of all that was given and taken so far. None where the profiler saw nothing at all."""
        with quiet_profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
            given = run()
        del given
        results = seen.profiler.kineto_results if seen.profiler else None
        events: list[Any] = [event for event in results.events() if event.name() == MEMORY_EVENT] if results else []
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        return highest_sum(sizes) if sizes else None

    def free_bytes(self) -> int | None:
        return processor.free_bytes()

    def bytes_held_by_others(self) -> int | None:
        """Its memory is the system's, whose free part says it."""

    def machine(self) -> Machine:
        return processor.describe_processor()

    def has_tf32(self) -> bool:
        return False

    def capture_graph(self, step: Action, forget: Action) -> None:
        """It has no graphs."""

    def repeat_call(self, call: Action, times: int) -> None:
        """Its functions are called one by one in use, too."""


class MetaBackend(CpuBackend):
    """Shapes alone: the processor works them out, and nothing has memory or takes time."""

    traits: ClassVar[DeviceTraits] = replace(CPU_TRAITS, kind="meta")

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ()

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ()

    @classmethod
    def seed(cls, seed: int) -> None:
        """It draws nothing."""

    def peak_bytes(self, run: Action) -> int | None:
        """It has no memory."""

    def free_bytes(self) -> int | None:
        """It needs none."""

    def machine(self) -> Machine:
        """The processor, by that name."""
        return replace(super().machine(), device="meta", name="meta")
