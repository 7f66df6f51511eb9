"""How much fits a device: a target at other batch sizes → its memory, predicted on meta → the largest batch that fits.

meta has kernels of its own, so what comes on top of what is held is scaled by what the device itself shows at the batch
that ran there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from archscope import units
from archscope.errors import ArchscopeError, UsageError, without_frames
from archscope.liveness import Memory, fitting

if TYPE_CHECKING:
    from archscope.compile import Plan

Predict = Callable[[int], "Memory | None"]
"""The memory on meta at a batch size; None where the target does not run there."""

HEAVY = {False: 8, True: 64}
"""How many times the largest operation's memory a pass may hold at once, without training and with."""


def largest_batch(predict: Predict, here: Memory, batch: int, available: int) -> int | None:
    """The largest batch that fits in so many bytes. here: the memory of `batch` on the device itself."""
    there = quietly(lambda: predict(batch))
    if there is None:
        return None
    factor = here.work / there.work if there.work else 1.0

    def peak_at(size: int) -> int | None:
        memory = there if size == batch else quietly(lambda: predict(size))
        return None if memory is None else memory.held + round(memory.work * factor)

    return fitting(peak_at, batch, available)


def quietly(predict: Callable[[], Memory | None]) -> Memory | None:
    """None where the target does not run at this batch size, or not on meta."""
    try:
        return predict()
    except (ArchscopeError, SystemExit):
        return None


def refuse_by_prediction(
    plan: Plan, device: str, width: int, *, train: bool, predict: Callable[[], Memory | None]
) -> None:
    """Raises UsageError for a spec whose predicted peak is above what the device has free; asked where it may be.

    width: bytes of a weight. predict: its memory on meta.
    """
    from archscope import targets

    free = targets.free_bytes(device)
    least = plan.parameter_count * width * (4 if train else 1) + HEAVY[train] * plan.largest_bytes
    if free is None or 2 * least < free:
        return
    memory = quietly(predict)
    if memory is not None and memory.peak > free:
        targets.refuse_too_big(memory.peak, device, plan.target)


def refuse_too_big(predicted: Memory | None, device: str, what: str) -> None:
    """Raises UsageError where memory does not suffice beside parameters, buffers and inputs, which are there."""
    from archscope import targets

    if predicted is not None:
        needed = predicted.peak - predicted.params - predicted.buffers - predicted.inputs
        targets.refuse_too_big(needed, device, f"{what}, beside its parameters,")


def refuse_out_of_memory(error: BaseException | None, device: str, what: str) -> None:
    """Raises UsageError where memory did not suffice, without the frames that keep alive what was made until then."""
    from archscope.backends import backend_of, devices_in, leading, out_of_memory

    if error is None or not out_of_memory(error):
        return
    place = leading(devices_in(device))
    others = backend_of(place).held_by_others()
    fact = f"{what}: {place} is out of memory: {' '.join(str(error).split())[:200] or type(error).__name__}"
    beside = f"; other processes hold {units.size(others)} of it" if others else ""
    without_frames(error)
    raise UsageError(fact + beside, 'a smaller batch needs less memory; device="meta" needs none')
