"""How much memory a run holds at its highest, on top of what was there: the allocator's own figures."""

from __future__ import annotations

import gc
from collections.abc import Callable

from archscope.backends import backend_of, is_profiler_active


def peak_bytes(run: Callable[[], object], device: str) -> int | None:
    """The bytes on top of what was allocated when it began, at the highest moment of the run, which runs once; None on
    a device where they cannot be told. What `run` gives is alive to the end.

    What libraries take from the system by themselves (oneDNN, MKL) is not seen.
    """
    gc.collect()
    return None if is_profiler_active() else backend_of(device).peak_bytes(run)
