"""How much fits a device: a target at other batch sizes → its memory, predicted on meta → the largest batch that fits.

meta has kernels of its own, so what comes on top of what is held is scaled by what the device itself shows at the batch
that ran there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from archscope.errors import ArchscopeError, UsageError
from archscope.liveness import Memory, fitting

if TYPE_CHECKING:
    from archscope.compile import Plan

Predict = Callable[[int], "Memory | None"]
"""The memory on meta at a batch size; None where the target does not run there."""

HEAVY = {False: 8, True: 64}
"""How many times the largest operation's memory a pass may hold at once, without training and with."""


def largest_batch(predict: Predict, here: Memory, batch: int, available: int) -> int | None:
    """The largest batch that fits in so many bytes. here: the memory of `batch` on the device itself."""
    there = quietly(predict, batch)
    if there is None:
        return None
    factor = here.work / there.work if there.work else 1.0

    def peak_at(size: int) -> int | None:
        memory = there if size == batch else quietly(predict, size)
        return None if memory is None else memory.held + round(memory.work * factor)

    return fitting(peak_at, batch, available)


def quietly(predict: Predict, batch: int) -> Memory | None:
    """None where the target does not run at this batch size, or not on meta."""
    try:
        return predict(batch)
    except (ArchscopeError, SystemExit):
        return None


def refuse_by_prediction(plan: Plan, device: str, width: int, *, train: bool, predict: Predict) -> None:
    """Raises UsageError for a spec whose predicted peak is above what the device has free; asked where it may be."""
    from archscope import targets

    free = targets.free_bytes(device)
    least = plan.parameter_count * width * (4 if train else 1) + HEAVY[train] * plan.largest_bytes
    if free is None or 2 * least < free:
        return
    memory = quietly(predict, plan.inputs[0].shape[0] if plan.inputs and plan.inputs[0].shape else 1)
    if memory is not None and memory.peak > free:
        targets.refuse_too_big(memory.peak, device, plan.target)


def cure_of(error: BaseException | None) -> str:
    """What helps where memory did not suffice."""
    full = type(error).__name__ in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in str(error)
    return "a smaller batch needs less memory; --device meta needs none" if full else ""


def refuse_many_threads(threads: int | None) -> None:
    """Raises UsageError."""
    most = 16 * (os.cpu_count() or 1)
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= most):
        raise UsageError(f"{threads!r} threads on {os.cpu_count()} cores", f"from 1 to {most}")
