"""A limit for how long the author's code may run: deadline(seconds) ─→ DeadlineExceeded raised inside, wherever it
is."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MAX_WAIT_MS = 100
"""How many milliseconds are waited at most for what was sent and has not arrived."""


class DeadlineExceeded(BaseException):
    """The time is up. No Exception, so that the author's own handlers let it pass."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises Overdue inside after so many seconds, as soon as this thread runs Python again."""
    thread, lock = threading.get_ident(), threading.Lock()
    over = sent = arrived = False

    def end() -> None:
        nonlocal sent
        with lock:
            if not over:
                sent = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(DeadlineExceeded))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except DeadlineExceeded:
        arrived = True
        raise
    finally:
        with lock:
            over = True
        timer.cancel()
        if sent and not arrived:  # it may not be taken back: a cleared one leaves the interpreter's flag set
            with suppress(DeadlineExceeded):
                for _ in range(MAX_WAIT_MS):
                    time.sleep(0.001)
