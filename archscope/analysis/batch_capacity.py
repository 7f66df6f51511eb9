"""The largest batch size of which a target fits into a device's memory, and refusals of targets that do not fit.

The memory at other batch sizes is predicted on the meta device. Meta runs other kernels than the device, so the
working memory (all but parameters, buffers and inputs) is scaled by the ratio of both at the batch size that ran on
the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from archscope import targets
from archscope.errors import ArchscopeError
from archscope.profiling.predicted_memory import PredictedMemory, find_fitting_batch

if TYPE_CHECKING:
    from archscope.compile import Plan

PredictMemory = Callable[[int], "PredictedMemory | None"]
"""Returns the memory on meta at a batch size; None if the target does not run there."""

PEAK_FACTOR = {False: 8, True: 64}
"""An upper estimate of a pass's working memory, in units of the largest operation's memory, by training mode."""


def largest_batch(predict: PredictMemory, here: PredictedMemory, batch: int, available: int) -> int | None:
    """Return the largest batch size that fits into `available` bytes; None if it cannot be predicted.

    here: the memory of a run with `batch` on the device itself.
    """
    there = try_predict(lambda: predict(batch))
    if there is None:
        return None
    factor = here.working_bytes / there.working_bytes if there.working_bytes else 1.0

    def peak_at(size: int) -> int | None:
        memory = there if size == batch else try_predict(lambda: predict(size))
        return None if memory is None else memory.initial_bytes + round(memory.working_bytes * factor)

    return find_fitting_batch(peak_at, batch, available)


def try_predict(predict: Callable[[], PredictedMemory | None]) -> PredictedMemory | None:
    """Return the predicted memory; None if the target does not run at this batch size, or not on meta."""
    try:
        return predict()
    except (ArchscopeError, SystemExit):
        return None


def refuse_large_spec(
    plan: Plan, device: str, width: int, *, train: bool, predict: Callable[[], PredictedMemory | None]
) -> None:
    """Raise UsageError if the predicted peak of a spec exceeds the free memory; it is predicted only if a rough
    estimate is near that.

    width: bytes of a weight. predict: returns the memory on meta.
    """
    free = targets.free_bytes(device)
    least = plan.parameter_count * width * (4 if train else 1) + PEAK_FACTOR[train] * plan.largest_bytes
    if free is None or 2 * least < free:
        return
    memory = try_predict(predict)
    if memory is not None and memory.peak > free:
        targets.check_free_memory(memory.peak, device, plan.target)


def refuse_over_free_memory(predicted: PredictedMemory | None, device: str, what: str) -> None:
    """Raise UsageError if the predicted peak, without the allocated parameters, buffers and inputs, exceeds the free
    memory.
    """
    if predicted is not None:
        needed = predicted.peak - predicted.params - predicted.buffers - predicted.inputs
        targets.check_free_memory(needed, device, f"{what}, beside its parameters,")
