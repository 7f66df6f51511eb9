"""Measurements as plain data without torch: Samples (seconds of repeated runs) → median, quartiles, its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archscope.machine import Machine, MachineLoad

NOISY_IQR_SHARE = 0.1
"""An interquartile range above this share of the median marks a measurement as noisy."""


@dataclass(frozen=True)
class Samples:
    """Seconds of repeated equal runs, in the order of the runs; at least one.

    runs_per_sample: how many consecutive runs each entry is the mean of, if one run is too short for the clock.
    """

    seconds: tuple[float, ...]
    runs_per_sample: int = 1

    @property
    def runs(self) -> int:
        return len(self.seconds)

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def iqr(self) -> float:
        """The interquartile range."""
        return self.quantile(0.75) - self.quantile(0.25)

    @property
    def noisy(self) -> bool:
        """True if the runs differ too much, or are too few, for the median to be reliable."""
        return self.runs < 4 or self.iqr > NOISY_IQR_SHARE * self.median

    @property
    def drift(self) -> float:
        """The relative difference of the median of the last third of the runs to that of the first third; 0 for
        fewer than nine runs."""
        third = self.runs // 3
        if third < 3:
            return 0.0
        return Samples(self.seconds[-third:]).median / Samples(self.seconds[:third]).median - 1

    @property
    def margin(self) -> float:
        """Half the width of the 95 % confidence interval of the median, by order statistics (normal approximation of
        the binomial ranks); infinite for fewer than six runs."""
        if self.runs < 6:
            return math.inf
        ordered, reach = sorted(self.seconds), 0.98 * math.sqrt(self.runs)
        low, high = math.floor(self.runs / 2 - reach), math.ceil(self.runs / 2 + reach)
        return (ordered[min(high, self.runs - 1)] - ordered[max(low, 0)]) / 2

    def quantile(self, share: float) -> float:
        """Return a quantile, linearly interpolated between the two nearest runs."""
        ordered, place = sorted(self.seconds), share * (len(self.seconds) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class RowTimes:
    """Seconds of device time per forward row; None for a row that was not seen. Each is the mean over the middle half
    of the runs, so that the rows sum to the time of a run.

    backward: the times of the backward operations of each forward row; empty without a backward pass. unattributed:
    time that belongs to no row. method: a description of how the rows were measured. discarded_runs: runs that do not
    count, since they executed other rows.
    """

    forward: tuple[float | None, ...]
    backward: tuple[float | None, ...] = ()
    unattributed: float = 0.0
    runs: int = 0
    method: str = ""
    discarded_runs: int = 0

    @property
    def known_seconds(self) -> float:
        """The sum of all known times."""
        return math.fsum(time for time in (*self.forward, *self.backward, self.unattributed) if time is not None)


@dataclass(frozen=True)
class Measurement:
    """All measurements of one model on one input.

    whole_run: runs without instrumentation; None where time cannot be measured (meta) or the measurement was
    interrupted before. parts: of a training step, `forward`, `backward` and `optimizer`. rows: None where functions are
    not measured one by one. graph_replays: replays of a CUDA graph; no_graph_reason: why there are none. peak: the
    maximum of bytes allocated above those at the start. held: bytes of parameters, buffers, inputs and optimizer
    states. compile_seconds: the time of the first call with torch.compile. inputs: the number of distinct inputs used
    in turn. load: the load of the machine by other processes. interrupted: whether Ctrl-C ended the measurement early.
    """

    machine: Machine
    whole_run: Samples | None = None
    parts: tuple[tuple[str, Samples], ...] = ()
    rows: RowTimes | None = None
    graph_replays: Samples | None = None
    no_graph_reason: str = ""
    peak: int | None = None
    held: int | None = None
    compile_seconds: float | None = None
    inputs: int = 1
    load: MachineLoad | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()
