"""What was measured, and on what: plain data. No torch.

Samples (seconds, run after run) → median, quartiles, how sure the median is
Machine (what it was measured on, and under which settings), MachineLoad (what else it was doing)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from archscope.device_traits import CPU_TRAITS, DeviceTraits

NOISY_IQR_SHARE = 0.1
"""An interquartile range above this share of the median is too wide to be quoted without saying so."""

DISTURBING_CORES = 0.2
"""Processor cores that others keep busy, from which on a figure may be worse than it need be."""


@dataclass(frozen=True)
class Samples:
    """Seconds of runs that are alike, in the order in which they ran. There is at least one.

    runs_per_sample: of so many runs in a row every entry is the mean, where one is too short for the clock.
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
        """The interquartile range: half of the runs lie within it."""
        return self.quantile(0.75) - self.quantile(0.25)

    @property
    def noisy(self) -> bool:
        """Whether the runs differ so much that their median says little, or there are too few to tell."""
        return self.runs < 4 or self.iqr > NOISY_IQR_SHARE * self.median

    @property
    def drift(self) -> float:
        """By how much the median of the last third of the runs is above that of the first; 0 for fewer than nine."""
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
        """Linear between the two nearest runs."""
        ordered, place = sorted(self.seconds), share * (len(self.seconds) - 1)
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Machine:
    """What measures: a device with its name and size, the software on it, and the settings that times depend on.

    device: as torch calls it (`cpu`, `cuda:0`). name: of the processor or GPU. cores: that this process may use, of a
    GPU its multiprocessors. memory: bytes of the device in all. cache: bytes of its last cache; None where that is not
    known. driver: of the GPU, empty on CPU. versions: of python, torch, and on a GPU of CUDA and cuDNN. settings:
    threads, tf32 and whatever else changes a time.
    """

    device: str
    name: str
    cores: int
    memory: int
    cache: int | None
    driver: str
    versions: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, object], ...]
    traits: DeviceTraits = field(default=CPU_TRAITS, compare=False)

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.partition(":")[0]

    def version(self, what: str) -> str:
        """Of a piece of software; empty where it is not there."""
        return dict(self.versions).get(what, "")

    def setting(self, what: str) -> object:
        return dict(self.settings).get(what)

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "name": self.name,
            "cores": self.cores,
            "memory_bytes": self.memory,
            "cache_bytes": self.cache,
            "driver": self.driver or None,
            "versions": dict(self.versions),
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class AvailableDevice:
    """A device that something could be measured on: what it is, the bytes that are free and that others hold; or, where
    it cannot be used, why, and what helps."""

    device: str
    machine: Machine | None = None
    free: int | None = None
    held_by_others: int | None = None
    why: str = ""
    help: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.machine is None:
            return {"device": self.device, "usable": False, "why": self.why, "help": self.help}
        own = {"usable": True, "free_bytes": self.free, "held_by_others_bytes": self.held_by_others}
        return {**self.machine.to_dict(), "device": self.device, **own}


@dataclass(frozen=True)
class MachineLoad:
    """What others did with a machine while it was measured; None where that cannot be known.

    cores: how many processor cores they kept busy. bytes: of the device's memory that they hold.
    """

    cores: float | None = None
    bytes: int | None = None

    def disturbs(self, machine: Machine) -> bool:
        """Whether they left the processor fewer cores than this process has threads, so that it was slower."""
        threads = machine.setting("threads")
        if machine.kind != "cpu" or self.cores is None or not isinstance(threads, int):
            return False
        return self.cores >= DISTURBING_CORES and self.cores + threads >= machine.cores + DISTURBING_CORES

    def to_dict(self) -> dict[str, Any]:
        return {"cores": self.cores, "bytes": self.bytes}


@dataclass(frozen=True)
class RowTimes:
    """Seconds of device time per forward row; None where a row was not seen. The mean over the middle half of the runs,
    so that rows sum to what a run of them takes.

    backward: what derives each forward row; empty where nothing was derived. unattributed: work of no row. method: how
    they were measured, in words. discarded_runs: runs that do not count, since they went another way.
    """

    forward: tuple[float | None, ...]
    backward: tuple[float | None, ...] = ()
    unattributed: float = 0.0
    runs: int = 0
    method: str = ""
    discarded_runs: int = 0

    @property
    def known_seconds(self) -> float:
        """The sum of all that is known."""
        return math.fsum(time for time in (*self.forward, *self.backward, self.unattributed) if time is not None)


@dataclass(frozen=True)
class Measurement:
    """What was measured of one model on one input.

    whole_run: runs that nobody watched; None where time cannot be measured (meta) or was broken off before. parts: of a
    training step, `forward`, `backward` and `optimizer`. rows: None where functions are not seen one by one. graph:
    replays of a CUDA graph, or why there are none. peak: bytes above what was held at the start, at the highest; held:
    bytes of parameters, buffers, inputs and optimizer states. compile_seconds: what torch.compile took at first.
    inputs: how many distinct ones took turns. load: what else the machine did meanwhile.
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
