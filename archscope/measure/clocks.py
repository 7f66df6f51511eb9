"""What tells the time: on CPU the process's clock, on CUDA events in the stream of the device's own work.

mark() … mark() → wait() → between(first, second), in seconds
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch


class Clock(Protocol):
    """mark: a moment, in the order of the device's work. wait: until all work is done. least: seconds that a sample
    should last, so that marking costs nothing beside it."""

    least: float

    def mark(self) -> Any: ...

    def wait(self) -> None: ...

    def between(self, first: Any, second: Any) -> float: ...


class HostClock:
    """Of work that is done when its call returns."""

    least = 1e-4
    mark = staticmethod(time.perf_counter)

    def wait(self) -> None:
        """There is nothing to wait for."""

    def between(self, first: float, second: float) -> float:
        return second - first


class CudaClock:
    """Events in the current stream: between two of them lies what the GPU did meanwhile, its waiting included. A sample
    begins with a GPU that waits for its first kernel, so it lasts long beside that."""

    least = 5e-3

    def __init__(self, device: str):
        self._device = torch.device(device)

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)

    def between(self, first: torch.cuda.Event, second: torch.cuda.Event) -> float:
        return first.elapsed_time(second) / 1000


def clock_of(device: str) -> Clock:
    return CudaClock(device) if torch.device(device).type == "cuda" else HostClock()
