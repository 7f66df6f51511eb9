"""Handling of Ctrl-C in the program `archscope`: it ends with exit code 130 and prints nothing.

    SIGINT → during an import, or at the end of the program: the process ends at once
           → while the interpreter shuts down: nothing, everything has been written
           → else KeyboardInterrupt, again after RETRY_SECONDS seconds, in case that the author's code swallowed it
                                   → after GRACE_SECONDS seconds the process ends in any case

An interrupted import may turn the exception into another one or swallow it, and needs no cleanup. A thread waits for
the signal too, since Python does not handle signals while a torch kernel runs.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes long to import, and Ctrl-C is not handled yet
import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPT_EXIT_CODE = 130
RETRY_SECONDS, GRACE_SECONDS = 0.5, 2.0
IMPORTLIB_FILE = "<frozen importlib._bootstrap>"
INSTALL_FOLDERS = frozenset(["site-packages", "dist-packages"])


class InterruptHandler:
    """The handler of SIGINT in the program.

    signals_seen: the number of signals so far. is_awaited: a command prints its partial results on KeyboardInterrupt,
    so that only a second signal ends the process. is_ending: the work is done.
    """

    def __init__(self) -> None:
        self.signals_seen = 0
        self.is_awaited = self.is_ending = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        """End the process, or raise KeyboardInterrupt."""
        self.signals_seen += 1
        if self.is_ending or is_importing(frame):
            os._exit(INTERRUPT_EXIT_CODE)
        raise KeyboardInterrupt

    @property
    def pending(self) -> bool:
        """True if a signal has arrived that should have ended the work."""
        return self.signals_seen > self.is_awaited

    def start_watcher(self) -> None:
        """Start the thread that ends the process if KeyboardInterrupt does not."""
        import threading

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._force_exit, args=(reader,), daemon=True, name="archscope Ctrl-C").start()

    def _force_exit(self, reader: int) -> None:
        import _thread
        import time

        signals = 0
        while signals <= self.is_awaited:
            signals += os.read(reader, 1) == bytes([signal.SIGINT])
        time.sleep(RETRY_SECONDS)
        _thread.interrupt_main()
        time.sleep(GRACE_SECONDS - RETRY_SECONDS)
        os._exit(INTERRUPT_EXIT_CODE)


def is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTLIB_FILE:
        frame = frame.f_back
    return frame is not None


def install_handler() -> InterruptHandler:
    """Install and return the SIGINT handler, unless SIGINT is ignored (as by a shell for background jobs)."""
    interrupts = current_handler()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last of those that are called at the end
    return interrupts


def current_handler() -> InterruptHandler:
    """Return the installed InterruptHandler; a new one if another handler is installed."""
    handler = signal.getsignal(signal.SIGINT)
    return handler if isinstance(handler, InterruptHandler) else InterruptHandler()


def comes_from_outside(error: BaseException) -> bool:
    """Return True for an exception that must end more than the author's code: Ctrl-C, a deadline of ours, one of a test
    runner or a scheduler. Any other was raised by the author's code itself.
    """
    if isinstance(error, (Exception, SystemExit, GeneratorExit)) or type(error) is BaseException:
        return False
    if isinstance(error, KeyboardInterrupt):
        handler = signal.getsignal(signal.SIGINT)
        return not isinstance(handler, InterruptHandler) or handler.signals_seen > 0
    package = type(error).__module__.partition(".")[0]
    file = getattr(sys.modules.get(type(error).__module__), "__file__", None) or ""
    installed = not INSTALL_FOLDERS.isdisjoint(file.split(os.sep))
    return installed or package == "archscope" or package in sys.stdlib_module_names
