"""How much fits a device: a target at other batch sizes → its memory, predicted on meta → the largest batch that fits.

meta has kernels of its own, so what comes on top of what is held is scaled by what the device itself shows at the batch
that ran there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from archscope import units
from archscope.errors import ArchscopeError, UsageError, clear_frames
from archscope.predicted_memory import PredictedMemory, find_fitting_batch

if TYPE_CHECKING:
    from archscope.compile import Plan

PredictMemory = Callable[[int], "PredictedMemory | None"]
"""The memory on meta at a batch size; None where the target does not run there."""

PEAK_FACTOR = {False: 8, True: 64}
"""How many times the largest operation's memory a pass may hold at once, without training and with."""


def largest_batch(predict: PredictMemory, here: PredictedMemory, batch: int, available: int) -> int | None:
    """The largest batch that fits in so many bytes. here: the memory of `batch` on the device itself."""
    there = try_predict(lambda: predict(batch))
    if there is None:
        return None
    factor = here.working_bytes / there.working_bytes if there.working_bytes else 1.0

    def peak_at(size: int) -> int | None:
        memory = there if size == batch else try_predict(lambda: predict(size))
        return None if memory is None else memory.initial_bytes + round(memory.working_bytes * factor)

    return find_fitting_batch(peak_at, batch, available)


def try_predict(predict: Callable[[], PredictedMemory | None]) -> PredictedMemory | None:
    """None where the target does not run at this batch size, or not on meta."""
    try:
        return predict()
    except (ArchscopeError, SystemExit):
        return None


def refuse_large_spec(
    plan: Plan, device: str, width: int, *, train: bool, predict: Callable[[], PredictedMemory | None]
) -> None:
    """Raises UsageError for a spec whose predicted peak is above what the device has free; asked where it may be.

    width: bytes of a weight. predict: its memory on meta.
    """
    from archscope import targets

    free = targets.free_bytes(device)
    least = plan.parameter_count * width * (4 if train else 1) + PEAK_FACTOR[train] * plan.largest_bytes
    if free is None or 2 * least < free:
        return
    memory = try_predict(predict)
    if memory is not None and memory.peak > free:
        targets.check_free_memory(memory.peak, device, plan.target)


def refuse_over_free_memory(predicted: PredictedMemory | None, device: str, what: str) -> None:
    """Raises UsageError where memory does not suffice beside parameters, buffers and inputs, which are there."""
    from archscope import targets

    if predicted is not None:
        needed = predicted.peak - predicted.params - predicted.buffers - predicted.inputs
        targets.check_free_memory(needed, device, f"{what}, beside its parameters,")


def refuse_out_of_memory(error: BaseException | None, device: str, what: str) -> None:
    """Raises UsageError where memory did not suffice, without the frames that keep alive what was made until then."""
    from archscope.backends import backend_of, is_out_of_memory, leading_device, out_of_memory_text, split_devices

    if error is None or not is_out_of_memory(error):
        return
    place = leading_device(split_devices(device))
    others = backend_of(place).bytes_held_by_others()
    fact = f"{what}: {place} is out of memory: {out_of_memory_text(error)}"
    beside = f"; other processes hold {units.format_bytes(others)} of it" if others else ""
    clear_frames(error)
    raise UsageError(fact + beside, 'a smaller batch needs less memory; device="meta" needs none')
