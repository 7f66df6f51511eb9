"""Limits for the author's code: its time, and the tensors that it makes against the free memory.

    deadline(seconds) → DeadlineExceeded, raised inside, wherever the code is

    torch.empty(200_000, 200_000) in a constructor → 149 GiB, more than is free → UsageError, nothing is allocated
    200 tensors of 1 GiB that stay alive           → more than was free in all  → UsageError at the first one too many

The operating system often grants more memory than there is, and ends the process when it is used.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from archscope import units
from archscope.targets.device_options import check_free_memory, free_bytes

SIZED_FACTORIES = frozenset([torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn])
"""Functions that make a tensor of a given size."""
COPY_FUNCTIONS = frozenset([torch.Tensor.repeat, torch.Tensor.tile])
"""Functions that make copies of a tensor along each of its dimensions."""
UNCHECKED_BYTES = 2**26
"""Tensors up to this size are not checked."""


class MemoryLimit(TorchFunctionMode):
    """A function mode that raises UsageError if a tensor does not fit beside those that were made and are alive: before
    the call, or after it if its size is not known before. target: the model that is constructed.
    """

    def __init__(self, target: str):
        super().__init__()
        self.target = target
        self.free: dict[str, int | None] = {}
        self.held: dict[int, tuple[StorageWeakRef, str, int]] = {}
        self.bytes = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        needed, device, size = tensor_request(func, args, kwargs or {})
        if needed > UNCHECKED_BYTES and device != "meta":
            what = f"a tensor of {units.format_shape(size)} that {self.target} makes"
            check_free_memory(needed, device, what, free=self.free_on(device))
        made = func(*args, **(kwargs or {}))
        if type(made) in (torch.Tensor, torch.nn.Parameter) and made.layout is torch.strided:
            self.add(made)
        return made

    def free_on(self, device: str) -> int | None:
        """Return the bytes that were free there at the first call; None if that is not known."""
        if device not in self.free:
            self.free[device] = free_bytes(device)
        return self.free[device]

    def add(self, made: torch.Tensor) -> None:
        """Count a tensor's memory. Raise UsageError if all tensors that are alive take more than was free."""
        device, storage = str(made.device), made.untyped_storage()
        if device == "meta" or storage._cdata in self.held:
            return
        self.held[storage._cdata] = StorageWeakRef(storage), device, storage.nbytes()
        self.bytes += storage.nbytes()
        free = self.free_on(device) if self.bytes > UNCHECKED_BYTES else None
        if free is None or self.bytes <= free:
            return
        self.held = {key: one for key, one in self.held.items() if not one[0].expired()}
        self.bytes = sum(size for _, _, size in self.held.values())
        there = sum(size for _, place, size in self.held.values() if place == device)
        check_free_memory(there, device, f"all that {self.target} makes", free=free)


def tensor_request(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[int, str, tuple[int, ...]]:
    """Return the bytes, the device and the size of the tensor that a call will make; 0 bytes if they are not known, or
    if torch itself reports what is wrong."""
    size, like = request_size(func, args, kwargs), args[0] if func in COPY_FUNCTIONS else None
    if not size or not all(type(n) is int for n in size):
        return 0, "", ()
    dtype = kwargs.get("dtype") or (like.dtype if like is not None else torch.get_default_dtype())
    # not torch.get_default_device(): before torch 2.9 it raises after set_default_device(None)
    device = torch.device(kwargs.get("device") or (like if like is not None else torch.empty(0)).device)
    return math.prod(size) * dtype.itemsize, str(device), tuple(size)


def request_size(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the size of the tensor that a call will make; empty if that is not known."""
    numbers = args[0] if args and isinstance(args[0], (tuple, list)) else args
    if func in SIZED_FACTORIES:
        return tuple(kwargs.get("size", numbers))
    if func is torch.eye:
        return tuple(numbers) * (3 - len(numbers)) if len(numbers) in (1, 2) else ()
    if func in (torch.linspace, torch.logspace):
        return (kwargs.get("steps", args[2] if len(args) > 2 else None),)
    if func is torch.arange and args and all(isinstance(n, (int, float)) for n in args):
        start, end, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
        return (math.ceil((end - start) / step),) if step and math.isfinite((end - start) / step) else ()
    if func in COPY_FUNCTIONS and len(args) > 1 and isinstance(args[0], torch.Tensor):
        times = args[1] if isinstance(args[1], (tuple, list)) else args[1:]
        return (args[0].numel(), *times)
    return ()


# ------------------------------------------------------------ a limit of time
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
