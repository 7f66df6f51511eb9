"""A time limit for the author's code: deadline(seconds) ─→ DeadlineExceeded, raised inside wherever the code is."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MAX_WAIT_MS = 100
"""The longest time, in milliseconds, to wait for an exception that was sent and has not arrived."""


class DeadlineExceeded(BaseException):
    """The time limit is exceeded. Not an Exception, so that the author's own handlers do not catch it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded inside after so many seconds, as soon as this thread runs Python code again."""
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
        if sent and not arrived:  # do not clear it: a cleared exception leaves the interpreter's flag set
            with suppress(DeadlineExceeded):
                for _ in range(MAX_WAIT_MS):
                    time.sleep(0.001)
