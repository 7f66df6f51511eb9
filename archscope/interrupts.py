"""Ctrl-C in the program `archscope`: whatever is at work ends, with exit code 130, and nothing is said of it.

    SIGINT → while something is imported, or where the program is at its end: the process ends at once
           → else KeyboardInterrupt, where Python is → again after RETRY seconds, for somebody may have swallowed it
                                                     → after GRACE seconds the process ends, wherever it is

An import that is broken off may turn the exception into another one, or lose it, and has nothing to put in order. A
thread listens for the signal too, since Python does not run while a kernel of torch does.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # Ctrl-C is heeded only when these lines have run, so they import little
    from types import FrameType

INTERRUPTED = 130
RETRY, GRACE = 0.5, 2.0
IMPORTING = "<frozen importlib._bootstrap>"


class Interrupts:
    """The handler of SIGINT in the program.

    seen: how many signals came. awaited: a command tells what it has when the exception arrives, so that only a second
    signal ends the process. ending: the work is done.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.awaited = self.ending = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        """Ends the process, or raises KeyboardInterrupt."""
        self.seen += 1
        if self.ending or is_importing(frame):
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    @property
    def pending(self) -> bool:
        """Whether a signal came that should have ended the work."""
        return self.seen > self.awaited

    def watch(self) -> None:
        """Starts the thread that ends the process where the exception does not."""
        import threading

        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        threading.Thread(target=self._insist, args=(heard,), daemon=True, name="archscope Ctrl-C").start()

    def _insist(self, heard: int) -> None:
        import _thread
        import time

        signals = 0
        while signals <= self.awaited:
            signals += os.read(heard, 1) == bytes([signal.SIGINT])
        time.sleep(RETRY)
        _thread.interrupt_main()
        time.sleep(GRACE - RETRY)
        os._exit(INTERRUPTED)


def is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTING:
        frame = frame.f_back
    return frame is not None


def heeded() -> Interrupts:
    """What handles SIGINT from now on, unless it is ignored: a shell starts what runs in the background so."""
    interrupts = current()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)
    return interrupts


def current() -> Interrupts:
    """The handler that is in charge; one that has seen nothing where there is none."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, Interrupts) else Interrupts()
