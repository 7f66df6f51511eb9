"""A pause of Python's cyclic garbage collector, which would traverse all of torch again and again."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

analysis_lock = threading.RLock()
"""The lock of the analysis that is running: process-wide state is changed, so there is one at a time."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Inside, the garbage collector is paused. Another thread's analysis waits until this one is over."""
    with analysis_lock:
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            (gc.enable if collecting else gc.disable)()
