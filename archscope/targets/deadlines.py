"""A limit for how long the author's code may run: deadline(seconds) ─→ Overdue raised inside, wherever it is."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Overdue(BaseException):
    """The time is up. No Exception, so that the author's own handlers let it pass."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises Overdue inside after so many seconds, as soon as this thread runs Python again."""
    thread, lock, over = threading.get_ident(), threading.Lock(), False

    def end() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Overdue))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)  # what was not raised in time
