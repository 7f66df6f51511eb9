"""Runs until their time is known: cases → warm-up → interleaved rounds → Samples of each.

A round runs every case once, so that a clock that slows down, or other work, falls on all alike. It goes on until the
median of the first case is sure to 1 % or the seconds are spent; slow cases have three rounds all the same.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from archscope.backends import Clock
from archscope.measurement import Samples

Case = Callable[[], object]
Ask = Callable[[float], object]
"""Is told which share of the work is done, after every round; what it raises ends the runs."""

SURE = 0.01
"""Half the width of the confidence interval, as a share of the median, at which it is enough."""
FEWEST, MOST = 3, 10_000
STEADY = 11
"""Rounds without which no median is called sure."""


@dataclass
class Collected:
    """The seconds of each case so far, and whether somebody broke off. warm: how many runs of each went before. each:
    how many runs one entry is the mean of."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    warm: dict[str, int] = field(default_factory=dict)
    each: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def samples(self, name: str) -> Samples | None:
        return Samples(tuple(self.seconds[name]), self.each[name]) if self.seconds.get(name) else None


def collect(cases: Mapping[str, Case], clock: Clock, *, seconds: float, ask: Ask = lambda _: None) -> Collected:
    """Rounds of all cases. A KeyboardInterrupt ends them, and what is measured so far stays."""
    found = Collected({name: [] for name in cases})
    try:
        for name, case in cases.items():
            found.warm[name], quickest = warm(case, clock, seconds=seconds / 10 / len(cases), patience=10 * seconds)
            found.each[name] = max(1, math.ceil(clock.least / max(quickest, 1e-9)))
        start = monotonic()
        for done in range(MOST):
            for name, case in cases.items():
                found.seconds[name].append(timed(case, clock, found.each[name]))
            spent = (monotonic() - start) / seconds
            ask(min(spent, 1.0))
            if done + 1 >= FEWEST and (spent >= 1 or sure(next(iter(found.seconds.values())))):
                break
    except KeyboardInterrupt:
        found.interrupted = True
    return found


def sure(seconds: list[float]) -> bool:
    samples = Samples(tuple(seconds))
    return samples.runs >= STEADY and samples.margin <= SURE * samples.median


def timed(case: Case, clock: Clock, times: int) -> float:
    """Seconds of one run, the mean of so many in a row. Python's collector, which rests meanwhile, goes through what
    they have made when the clock has stopped: activations that hold each other in a cycle would pile up."""
    start = clock.mark()
    for _ in range(times):
        case()
    end = clock.mark()
    clock.wait()
    gc.collect(0)
    return clock.between(start, end) / times


def warm(case: Case, clock: Clock, *, seconds: float, patience: float) -> tuple[int, float]:
    """Runs until the caches, allocators and algorithms are chosen; twice at least, if one takes no longer than we have
    patience. How often, and the quickest."""
    best, start, done = math.inf, monotonic(), 0
    while done < 1 or (done < 2 and best < patience) or (done < MOST and monotonic() - start < seconds):
        best = min(best, timed(case, clock, 1))
        done += 1
    return done, best
