"""Ctrl-C in the program `archscope`: whatever is at work ends, with exit code 130, and nothing is said of it.

    SIGINT → while something is imported, or where the program is at its end: the process ends at once
           → else KeyboardInterrupt, where Python is → again after RETRY_SECONDS seconds, for somebody may have
           swallowed it
                                                     → after GRACE_SECONDS seconds the process ends, wherever it is

An import that is broken off may turn the exception into another one, or lose it, and has nothing to put in order. A
thread listens for the signal too, since Python does not run while a kernel of torch does.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # Ctrl-C is heeded only when these lines have run, so they import little
    from types import FrameType

INTERRUPT_EXIT_CODE = 130
RETRY_SECONDS, GRACE_SECONDS = 0.5, 2.0
IMPORTLIB_FILE = "<frozen importlib._bootstrap>"


class InterruptHandler:
    """The handler of SIGINT in the program.

    signals_seen: how many signals came. is_awaited: a command tells what it has when the exception arrives, so that
    only a second signal ends the process. is_ending: the work is done.
    """

    def __init__(self) -> None:
        self.signals_seen = 0
        self.is_awaited = self.is_ending = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        """Ends the process, or raises KeyboardInterrupt."""
        self.signals_seen += 1
        if self.is_ending or is_importing(frame):
            os._exit(INTERRUPT_EXIT_CODE)
        raise KeyboardInterrupt

    @property
    def pending(self) -> bool:
        """Whether a signal came that should have ended the work."""
        return self.signals_seen > self.is_awaited

    def start_watcher(self) -> None:
        """Starts the thread that ends the process where the exception does not."""
        import threading

        heard, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        threading.Thread(target=self._force_exit, args=(heard,), daemon=True, name="archscope Ctrl-C").start()

    def _force_exit(self, heard: int) -> None:
        import _thread
        import time

        signals = 0
        while signals <= self.is_awaited:
            signals += os.read(heard, 1) == bytes([signal.SIGINT])
        time.sleep(RETRY_SECONDS)
        _thread.interrupt_main()
        time.sleep(GRACE_SECONDS - RETRY_SECONDS)
        os._exit(INTERRUPT_EXIT_CODE)


def is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTLIB_FILE:
        frame = frame.f_back
    return frame is not None


def install_handler() -> InterruptHandler:
    """What handles SIGINT from now on, unless it is ignored: a shell starts what runs in the background so."""
    interrupts = current_handler()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)
    return interrupts


def current_handler() -> InterruptHandler:
    """The handler that is in charge; one that has seen nothing where there is none."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, InterruptHandler) else InterruptHandler()
