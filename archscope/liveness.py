"""What memory lives when: a trace → the memory that it needs at its highest, and what it is made of. No torch.

Trace with lives → memory_of → Memory (parts, peak, the row where it stands)
Memory at two batch sizes → largest_batch
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from math import floor
from typing import Any

from archscope.trace import Life, Trace

GRANULE = 512
"""CUDA's caching allocator hands out multiples of so many bytes."""

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

HELD = "parameter", "buffer", "input"
"""The kinds of what is there before a pass."""


@dataclass(frozen=True)
class Memory:
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
    def held(self) -> int:
        """What is there before the pass begins; a measurement shows what comes on top."""
        return self.params + self.buffers + self.inputs + self.optimizer

    @property
    def work(self) -> int:
        """What the pass needs on top, at its highest: to compare with what was measured."""
        return self.peak - self.held

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


def memory_of(trace: Trace, *, optimizer: str = "") -> Memory | None:
    """The memory of the pass; None where it failed, or what lived when was not recorded.

    With a backward pass it is that of a step of training which is not the first: the optimizer, one of OPTIMIZERS, has
    its states, gradients were set to None before, and outputs live until the backward pass is over. Without a backward
    pass there is no step.
    """
    if trace.failure is not None or not trace.lives:
        return None
    lives = [life._replace(bytes=on(trace.device, life.bytes)) for life in trace.lives]
    made = [life for life in lives if life.born >= 0]
    left = [life for life in made if life.died is None]
    params, buffers, inputs = (total(life for life in lives if life.kind == kind) for kind in HELD)
    gradients = total(life for life in left if life.kind == "gradient")
    learned = learned_sizes(trace)
    states = OPTIMIZERS[optimizer].states * sum(learned) if optimizer and trace.backward else 0
    peak, row, backward = highest(made, trace)
    if optimizer and trace.backward:
        step = total(life for life in left if life.kind != "output") + scratch(optimizer, trace.device, learned)
        if step > peak:
            peak, row, backward = step, None, False
    start = sum(not moment.backward for moment in trace.moments)
    saved = total(life for life in made if life.born < start and (life.died is None or life.died > start))
    peak += params + buffers + inputs + states
    return Memory(params, buffers, inputs, gradients, states, saved, peak, row, backward)


def highest(made: Sequence[Life], trace: Trace) -> tuple[int, int | None, bool]:
    """The most that is alive of what the pass makes, with the row that is at work then, and whether it derives."""
    changes = [0] * (len(trace.moments) + 1)
    for life in made:
        changes[life.born] += life.bytes
        if life.died is not None:
            changes[life.died] -= life.bytes
    if not trace.moments:
        return 0, None, False
    alive = [after + (moment.scratch or 0) for after, moment in zip(accumulate(changes), trace.moments, strict=False)]
    peak = max(alive)
    row, backward, _ = trace.moments[alive.index(peak)]
    last = len(trace.backward if backward else trace.rows) - 1
    return peak, min(row, last) if row >= 0 and last >= 0 else None, backward


def learned_sizes(trace: Trace) -> list[int]:
    """The bytes of every parameter that is trained, in their order: a row reads it, and it is not frozen."""
    read = {name for row in trace.rows for name in row.params}
    return [on(trace.device, param.bytes) for param in trace.params if param.trainable and param.name in read]


def scratch(optimizer: str, device: str, learned: Sequence[int]) -> int:
    """What the optimizer needs on top in its step: torch's Adam makes the root of its second moments, on CUDA those of
    all parameters together. On CPU it goes from one to the next, and the quotient of that root, and what it made of
    the parameter before, live beside it. SGD makes nothing."""
    if not optimizer.startswith("adam"):
        return 0
    if device.startswith("cuda"):
        return sum(learned)
    return max((before + 2 * size for before, size in pairwise([0, *learned])), default=0)


def largest_batch(small: tuple[int, int], large: tuple[int, int], available: int) -> int | None:
    """The largest batch that needs no more than the available bytes, from the peaks at two batch sizes, each a pair of
    batch and bytes, on the line through both: 0 where not even one example fits; None where the peak does not grow
    with the batch, so that nothing can be said."""
    (few, low), (many, high) = sorted((small, large))
    if many == few or high <= low:
        return None
    each = Fraction(high - low, many - few)
    return max(0, floor(few + (available - low) / each))


def on(device: str, size: int) -> int:
    """The bytes that a piece of memory takes there."""
    return allocated(size, GRANULE) if device.startswith("cuda") else size


def allocated(size: int, granularity: int) -> int:
    """Bytes as an allocator hands them out, in whole multiples."""
    return -(-size // granularity) * granularity


def total(lives: Iterable[Life]) -> int:
    return sum(life.bytes for life in lives)
