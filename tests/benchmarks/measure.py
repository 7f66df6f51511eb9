"""Ratios of times: cases → interleaved rounds → medians → one table with its targets, the machine and the versions.

Rounds are interleaved, so that what else the machine does falls on every case alike; a ratio travels between machines,
a time does not. These scripts are run by hand (`make bench`), they are no tests.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from tabulate import tabulate


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its target; `seconds` is the time that it came from."""

    name: str
    seconds: float
    value: float
    target: float
    unit: str = "×"

    def row(self) -> list[str]:
        verdict = "ok" if self.value <= self.target else "MISSED"
        figures = f"{self.value:.2f} {self.unit}", f"≤ {self.target:.2f} {self.unit}"
        return [self.name, f"{self.seconds:.3f}", *figures, verdict]


def medians(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each case over interleaved rounds, after one round that is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            samples[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in samples.items()}


def machine() -> str:
    """The machine and the versions, in one line."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    return f"{system}, torch {version('torch')}"


def show(title: str, figures: list[Figure]) -> None:
    print(f"\n{title}\n{machine()}\n")
    print(tabulate([figure.row() for figure in figures], headers=["case", "seconds", "measured", "target", ""]))
