"""Prediction of peak memory from a trace with allocations, and of the largest batch that fits. No torch.

Trace with allocations → predict_memory → PredictedMemory (its parts, the peak, and the row of the peak)
peaks at several batch sizes → find_fitting_batch
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import floor
from typing import Any

from archscope.trace import Allocation, Trace


@dataclass(frozen=True)
class Optimizer:
    """The memory use of one of torch's optimizers. states: the number of state tensors per parameter, each as large
    as the parameter; step counters are negligible."""

    states: int

    @property
    def moved(self) -> int:
        """The number of times that a parameter's bytes are read or written per step: parameter, gradient and states are
        read, parameter and states written."""
        return 3 + 2 * self.states


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer(0),
    "momentum": Optimizer(1),
    "adam": Optimizer(2),
    "adamw": Optimizer(2),
}
"""Optimizers by the names of the option `optimizer`."""

MAX_TRIES, ENOUGH_SHARE, MAX_BATCH = 12, 0.97, 2**31
"""The most batches tried, the share of the available memory that is close enough, and the batch size to stop at."""

INITIAL_KINDS = "parameter", "buffer", "input"
"""The kinds of allocations that exist before a pass."""


@dataclass(frozen=True)
class PredictedMemory:
    """The bytes that a pass needs at its peak, and their parts.

    params, buffers, inputs: allocated before the pass. gradients: of the leaves; more than the parameters where one is
    a view of a larger tensor. optimizer: its states. activations: made by the forward pass and alive at its end; with a
    backward pass, the tensors saved for it. peak: the maximum of all live bytes. row: the index of the row at the peak,
    of the backward pass if `backward` is true; None in the optimizer's step, and before the first row.
    """

    params: int
    buffers: int
    inputs: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    row: int | None
    backward: bool

    @property
    def initial_bytes(self) -> int:
        """The bytes that are allocated before the pass begins."""
        return self.params + self.buffers + self.inputs + self.optimizer

    @property
    def working_bytes(self) -> int:
        """The bytes that the pass needs beyond `initial_bytes` at its peak, to compare with a measurement."""
        return self.peak - self.initial_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the bytes by part, and the row of the peak."""
        return {
            "params_bytes": self.params,
            "buffers_bytes": self.buffers,
            "inputs_bytes": self.inputs,
            "gradients_bytes": self.gradients,
            "optimizer_bytes": self.optimizer,
            "activations_bytes": self.activations,
            "peak_bytes": self.peak,
            "row": self.row,
            "backward": self.backward,
        }


def predict_memory(trace: Trace, *, optimizer: str = "") -> PredictedMemory | None:
    """Return the predicted memory of the pass; None if it failed, or allocations were not recorded.

    With a backward pass it is that of a training step other than the first: the optimizer, one of OPTIMIZERS, has its
    states, gradients were set to None before, and outputs live until the end of the backward pass. Without a backward
    pass there is no optimizer step.
    """
    if trace.failure is not None or not trace.allocations:
        return None
    lives = [
        life._replace(bytes=round_to_granule(life.bytes, trace.traits.allocator_granule)) for life in trace.allocations
    ]
    made = [life for life in lives if life.created >= 0]
    left = [life for life in made if life.freed is None]
    params, buffers, inputs = (total_bytes(life for life in lives if life.kind == kind) for kind in INITIAL_KINDS)
    gradients = total_bytes(life for life in left if life.kind == "gradient")
    learned = trained_param_sizes(trace)
    states = OPTIMIZERS[optimizer].states * sum(learned) if optimizer and trace.backward else 0
    peak, row, backward = find_peak(made, trace)
    if optimizer and trace.backward:
        step = total_bytes(life for life in left if life.kind != "output")
        step += optimizer_scratch(optimizer, learned, joint=trace.traits.joint_steps)
        if step > peak:
            peak, row, backward = step, None, False
    start = sum(not event.backward for event in trace.kernel_events)
    saved = total_bytes(life for life in made if life.created < start and (life.freed is None or life.freed > start))
    peak += params + buffers + inputs + states
    return PredictedMemory(params, buffers, inputs, gradients, states, saved, peak, row, backward)


def find_peak(made: Sequence[Allocation], trace: Trace) -> tuple[int, int | None, bool]:
    """Return the maximum of live bytes that the pass allocates, the index of the row at that event, and whether it
    is a row of the backward pass."""
    changes = [0] * (len(trace.kernel_events) + 1)
    for life in made:
        changes[life.created] += life.bytes
        if life.freed is not None:
            changes[life.freed] -= life.bytes
    if not trace.kernel_events:
        return 0, None, False
    alive = [
        after + (event.scratch or 0) for after, event in zip(accumulate(changes), trace.kernel_events, strict=False)
    ]
    peak = max(alive)
    row, backward, _ = trace.kernel_events[alive.index(peak)]
    last = len(trace.backward if backward else trace.rows) - 1
    return peak, min(row, last) if row >= 0 and last >= 0 else None, backward


def trained_param_sizes(trace: Trace) -> list[int]:
    """Return the bytes of each trained parameter, in order: those that a row reads and that require a gradient."""
    read = {name for row in trace.rows for name in row.params}
    return [
        round_to_granule(param.bytes, trace.traits.allocator_granule)
        for param in trace.params
        if param.trainable and param.name in read
    ]


def optimizer_scratch(optimizer: str, learned: Sequence[int], *, joint: bool) -> int:
    """Return the temporary bytes of the optimizer step.

    torch's Adam computes the square root of its second moments: with `joint` steps for all parameters together, else
    one parameter at a time, with the quotient of that root and the result for the previous parameter alive beside it.
    SGD needs none.
    """
    if not optimizer.startswith("adam"):
        return 0
    if joint:
        return sum(learned)
    return max((before + 2 * size for before, size in pairwise([0, *learned])), default=0)


def find_fitting_batch(peak_at: Callable[[int], int | None], batch: int, available: int) -> int | None:
    """Return the largest batch found whose peak, in bytes, is within `available`; None if the first batch does not fit,
    a peak is not known, or the peak does not grow with the batch.

    A peak is the maximum of several linear functions, so it is convex: a line through two batches that fit leads to or
    beyond the limit, a chord from one that fits to one that does not ends before it. The returned batch was tried.
    """
    low, high = (batch, peak_at(batch)), None
    if low[1] is None or low[1] > available:
        return None
    before, probe = low, 2 * batch
    for _ in range(MAX_TRIES):
        peak = peak_at(probe)
        if peak is None:
            return None
        if peak > available:
            high = probe, peak
        else:
            before, low = low, (probe, peak)
        grown = (low[1] or 0) > (before[1] or 0)
        if (low[1] is not None and low[1] >= ENOUGH_SHARE * available) or (high is not None and high[0] - low[0] <= 1):
            return low[0]
        probe = next_batch(low, high or (before if grown else None), available)
        if probe >= MAX_BATCH:
            return None
    return low[0] if high is not None else None


def next_batch(low: tuple[int, int | None], other: tuple[int, int | None] | None, available: int) -> int:
    """Return the batch at which the line through two batches and their peaks reaches `available`, at least one more
    than the lower batch; without a second batch, eight times the lower one."""
    if other is None:
        return 8 * low[0]
    rise = Fraction((other[1] or 0) - (low[1] or 0), other[0] - low[0])
    return max(low[0] + 1, low[0] + floor((available - (low[1] or 0)) / rise))


def round_to_granule(size: int, granularity: int) -> int:
    """Return the bytes rounded up to a multiple of the allocator's granularity."""
    return -(-size // granularity) * granularity


def total_bytes(lives: Iterable[Allocation]) -> int:
    return sum(life.bytes for life in lives)
