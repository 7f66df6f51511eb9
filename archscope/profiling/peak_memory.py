"""Peak memory of a run beyond what was allocated before, by the allocator's own figures."""

from __future__ import annotations

import gc
from collections.abc import Callable

from archscope.devices import backend_of, is_profiler_active


def peak_bytes(run: Callable[[], object], device: str) -> int | None:
    """Return the highest number of bytes allocated during one run, beyond those at its start; None if unknown.

    The result of `run` is alive until the end. Memory that libraries (oneDNN, MKL) take from the system is not
    included.
    """
    gc.collect()
    return None if is_profiler_active() else backend_of(device).peak_bytes(run)
