"""What was measured, and on what: plain data. No torch.

Samples (seconds, run after run) → median, quartiles, how sure the median is
Machine (what it was measured on, and under which settings), Load (what else it was doing)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NOISY = 0.1
"""An interquartile range above this share of the median is too wide to be quoted without saying so."""


@dataclass(frozen=True)
class Samples:
    """Seconds of runs that are alike, in the order in which they ran. There is at least one."""

    seconds: tuple[float, ...]

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
        return self.runs < 4 or self.iqr > NOISY * self.median

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
class Load:
    """What others did with a machine while it was measured; None where that cannot be known.

    cores: how many processor cores they kept busy. bytes: of the device's memory that they hold.
    """

    cores: float | None = None
    bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"cores": self.cores, "bytes": self.bytes}
