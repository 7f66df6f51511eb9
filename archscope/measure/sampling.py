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

RunCase = Callable[[], object]
OnRound = Callable[[float], object]
"""Is told which share of the work is done, after every round; what it raises ends the runs."""

ENOUGH_MARGIN = 0.01
"""Half the width of the confidence interval, as a share of the median, at which it is enough."""
MIN_ROUNDS, MAX_ROUNDS = 3, 10_000
MIN_CERTAIN_ROUNDS = 11
"""Rounds without which no median is called sure."""


@dataclass
class CollectedSamples:
    """The seconds of each case so far, and whether somebody broke off. warmup_runs: how many runs of each went before.
    each: how many runs one entry is the mean of."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    warmup_runs: dict[str, int] = field(default_factory=dict)
    runs_per_sample: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def samples(self, name: str) -> Samples | None:
        return Samples(tuple(self.seconds[name]), self.runs_per_sample[name]) if self.seconds.get(name) else None


def collect_samples(
    cases: Mapping[str, RunCase], clock: Clock, *, seconds: float, ask: OnRound = lambda _: None
) -> CollectedSamples:
    """Rounds of all cases. A KeyboardInterrupt ends them, and what is measured so far stays."""
    found = CollectedSamples({name: [] for name in cases})
    try:
        for name, case in cases.items():
            found.warmup_runs[name], quickest = warm_up(
                case, clock, seconds=seconds / 10 / len(cases), patience=10 * seconds
            )
            found.runs_per_sample[name] = max(1, math.ceil(clock.min_seconds / max(quickest, 1e-9)))
        start = monotonic()
        for done in range(MAX_ROUNDS):
            for name, case in cases.items():
                found.seconds[name].append(time_case(case, clock, found.runs_per_sample[name]))
            spent = (monotonic() - start) / seconds
            ask(min(spent, 1.0))
            if done + 1 >= MIN_ROUNDS and (spent >= 1 or is_certain(next(iter(found.seconds.values())))):
                break
    except KeyboardInterrupt:
        found.interrupted = True
    return found


def is_certain(seconds: list[float]) -> bool:
    samples = Samples(tuple(seconds))
    return samples.runs >= MIN_CERTAIN_ROUNDS and samples.margin <= ENOUGH_MARGIN * samples.median


def time_case(case: RunCase, clock: Clock, times: int) -> float:
    """Seconds of one run, the mean of so many in a row. Python's collector, which rests meanwhile, goes through what
    they have made when the clock has stopped: activations that hold each other in a cycle would pile up."""
    start = clock.mark()
    for _ in range(times):
        case()
    end = clock.mark()
    clock.synchronize()
    gc.collect(0)
    return clock.seconds_between(start, end) / times


def warm_up(case: RunCase, clock: Clock, *, seconds: float, patience: float) -> tuple[int, float]:
    """Runs until the caches, allocators and algorithms are chosen; twice at least, if one takes no longer than we have
    patience. How often, and the quickest."""
    best, start, done = math.inf, monotonic(), 0
    while done < 1 or (done < 2 and best < patience) or (done < MAX_ROUNDS and monotonic() - start < seconds):
        best = min(best, time_case(case, clock, 1))
        done += 1
    return done, best
