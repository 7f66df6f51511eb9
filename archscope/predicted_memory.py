"""What memory lives when: a trace → the memory that it needs at its highest, and what it is made of. No torch.

Trace with lives → memory_of → PredictedMemory (parts, peak, the row where it stands)
peaks at batch sizes that are tried → fitting
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
    """What torch's does with each parameter in a step. states: how many tensors it keeps, as large as that; its
    counters of steps are negligible. moved: how often that many bytes are read or written: parameter, gradient and
    states are read, all but the gradient written."""

    states: int

    @property
    def moved(self) -> int:
        return 3 + 2 * self.states


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer(0),
    "momentum": Optimizer(1),
    "adam": Optimizer(2),
    "adamw": Optimizer(2),
}
"""By the names that a user asks for."""

MAX_TRIES, ENOUGH_SHARE, MAX_BATCH = 12, 0.97, 2**31
"""How many batches are tried at most; the share of what is available that is enough; a batch that is no batch."""

INITIAL_KINDS = "parameter", "buffer", "input"
"""The kinds of what is there before a pass."""


@dataclass(frozen=True)
class PredictedMemory:
    """Bytes that a pass needs at its highest, and what they are made of.

    params, buffers, inputs: what is there before. gradients: what the leaves are left with: more than the parameters
    where one is a part of a larger tensor. optimizer: what it keeps from step to step. activations: what the forward
    pass has made and is alive at its end: with a backward pass, what was saved for it. peak: all that is alive at the
    highest moment; row: the index of the row at work then, of the backward pass where `backward` says so; None in the
    optimizer's step, and before the first row.
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
        """What is there before the pass begins; a measurement shows what comes on top."""
        return self.params + self.buffers + self.inputs + self.optimizer

    @property
    def working_bytes(self) -> int:
        """What the pass needs on top, at its highest: to compare with what was measured."""
        return self.peak - self.initial_bytes

    def to_dict(self) -> dict[str, Any]:
        """Bytes by part, and where the peak stands."""
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
    """The memory of the pass; None where it failed, or what lived when was not recorded.

    With a backward pass it is that of a step of training which is not the first: the optimizer, one of OPTIMIZERS, has
    its states, gradients were set to None before, and outputs live until the backward pass is over. Without a backward
    pass there is no step.
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
    start = sum(not moment.backward for moment in trace.kernel_events)
    saved = total_bytes(life for life in made if life.created < start and (life.freed is None or life.freed > start))
    peak += params + buffers + inputs + states
    return PredictedMemory(params, buffers, inputs, gradients, states, saved, peak, row, backward)


def find_peak(made: Sequence[Allocation], trace: Trace) -> tuple[int, int | None, bool]:
    """The most that is alive of what the pass makes, with the row that is at work then, and whether it derives."""
    changes = [0] * (len(trace.kernel_events) + 1)
    for life in made:
        changes[life.created] += life.bytes
        if life.freed is not None:
            changes[life.freed] -= life.bytes
    if not trace.kernel_events:
        return 0, None, False
    alive = [
        after + (moment.scratch or 0) for after, moment in zip(accumulate(changes), trace.kernel_events, strict=False)
    ]
    peak = max(alive)
    row, backward, _ = trace.kernel_events[alive.index(peak)]
    last = len(trace.backward if backward else trace.rows) - 1
    return peak, min(row, last) if row >= 0 and last >= 0 else None, backward


def trained_param_sizes(trace: Trace) -> list[int]:
    """The bytes of every parameter that is trained, in their order: a row reads it, and it is not frozen."""
    read = {name for row in trace.rows for name in row.params}
    return [
        round_to_granule(param.bytes, trace.traits.allocator_granule)
        for param in trace.params
        if param.trainable and param.name in read
    ]


def optimizer_scratch(optimizer: str, learned: Sequence[int], *, joint: bool) -> int:
    """What the optimizer needs on top in its step: torch's Adam makes the root of its second moments, where steps are
    `joint` those of all parameters together. Else it goes from one to the next, and the quotient of that root, and what
    it made of the parameter before, live beside it. SGD makes nothing."""
    if not optimizer.startswith("adam"):
        return 0
    if joint:
        return sum(learned)
    return max((before + 2 * size for before, size in pairwise([0, *learned])), default=0)


def find_fitting_batch(peak_at: Callable[[int], int | None], batch: int, available: int) -> int | None:
    """The largest batch found whose peak, in bytes, is not above what is available; None where the first does not fit,
    a peak is not known, or it does not grow.

    A peak is the highest of several lines, so it bends upwards: a line through two batches that fit leads to or beyond
    the limit, a chord from one that fits to one that does not ends before it. What is returned was tried.
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
    """Where the line through two batches and their peaks meets what is available, but beyond the lower one; without a
    second one, eight times as far."""
    if other is None:
        return 8 * low[0]
    rise = Fraction((other[1] or 0) - (low[1] or 0), other[0] - low[0])
    return max(low[0] + 1, low[0] + floor((available - (low[1] or 0)) / rise))


def round_to_granule(size: int, granularity: int) -> int:
    """Bytes as an allocator hands them out, in whole multiples."""
    return -(-size // granularity) * granularity


def total_bytes(lives: Iterable[Allocation]) -> int:
    return sum(life.bytes for life in lives)
