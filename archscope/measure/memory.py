"""How much memory a run holds at its highest, on top of what was there: the allocator's own figures.

cuda → the caching allocator's high-water mark          cpu → torch's profiler, allocation by allocation
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from archscope.measure.profiler import busy, quiet_profile

ALLOCATION = "[memory]"
"""What the profiler calls an event that gives or takes memory."""


def peak_of(run: Callable[[], object], device: str) -> int | None:
    """The bytes on top of what was allocated when it began, at the highest moment of the run, which runs once; None on
    a device where they cannot be told. What `run` gives is alive to the end.

    On CUDA it must have run before, so that what libraries keep for good is there already. What libraries take from
    the system by themselves (oneDNN, MKL) is not seen.
    """
    gc.collect()
    if busy():
        return None
    if device == "cpu":
        return on_cpu(run)
    return on_cuda(run, device) if device.startswith("cuda") else None


def on_cuda(run: Callable[[], object], device: str) -> int:
    """By the allocator's high-water mark, which this begins anew."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    given = run()
    torch.cuda.synchronize(device)
    del given
    return torch.cuda.max_memory_allocated(device) - before


def on_cpu(run: Callable[[], object]) -> int | None:
    """By the sum of all that was given and taken so far. The profiler does not know what was there before, so that
    taking it away does not count. None where it saw nothing at all."""
    with quiet_profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        given = run()
    del given
    results = seen.profiler.kineto_results if seen.profiler else None
    events: list[Any] = [event for event in results.events() if event.name() == ALLOCATION] if results else []
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes, initial=0)) if sizes else None
