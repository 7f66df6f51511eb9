"""Repeated runs until their time is certain: cases → warm-up → interleaved rounds → Samples of each.

A round runs every case once, so that a slower clock or other load affects all cases alike. Rounds end when the median
of the first case is certain to 1 % or the seconds are spent; slow cases run for at least three rounds.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from archscope.devices import Clock
from archscope.profiling.measurement import Samples

RunCase = Callable[[], object]
OnRound = Callable[[float], object]
"""Receives, after every round, the share of the work that is done; an exception that it raises ends the runs."""

ENOUGH_MARGIN = 0.01
"""Half the width of the confidence interval that suffices, as a share of the median."""
MIN_ROUNDS, MAX_ROUNDS = 3, 10_000
MIN_CERTAIN_ROUNDS = 11
"""The least number of rounds after which a median can be certain."""


@dataclass
class CollectedSamples:
    """The seconds of each case so far.

    warmup_runs: number of runs before the samples. runs_per_sample: number of runs that one sample is the mean of.
    interrupted: a KeyboardInterrupt ended the rounds.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    warmup_runs: dict[str, int] = field(default_factory=dict)
    runs_per_sample: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def samples(self, name: str) -> Samples | None:
        return Samples(tuple(self.seconds[name]), self.runs_per_sample[name]) if self.seconds.get(name) else None


def collect_samples(
    cases: Mapping[str, RunCase], clock: Clock, *, seconds: float, on_round: OnRound = lambda _: None
) -> CollectedSamples:
    """Return the samples of rounds of all cases. A KeyboardInterrupt ends the rounds; what is measured so far stays."""
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
            on_round(min(spent, 1.0))
            if done + 1 >= MIN_ROUNDS and (spent >= 1 or is_certain(next(iter(found.seconds.values())))):
                break
    except KeyboardInterrupt:
        found.interrupted = True
    return found


def is_certain(seconds: list[float]) -> bool:
    samples = Samples(tuple(seconds))
    return samples.runs >= MIN_CERTAIN_ROUNDS and samples.margin <= ENOUGH_MARGIN * samples.median


def time_case(case: RunCase, clock: Clock, times: int) -> float:
    """Return the seconds of one run, as the mean of `times` runs.

    Python's garbage collector is paused while the clock runs, and collects afterwards, since activations in reference
    cycles would accumulate.
    """
    start = clock.mark()
    for _ in range(times):
        case()
    end = clock.mark()
    clock.synchronize()
    gc.collect(0)
    return clock.seconds_between(start, end) / times


def warm_up(case: RunCase, clock: Clock, *, seconds: float, patience: float) -> tuple[int, float]:
    """Run until caches are filled and algorithms are chosen, at least twice unless one run takes longer than
    `patience`.

    Return the number of runs, and the seconds of the quickest.
    """
    best, start, done = math.inf, monotonic(), 0
    while done < 1 or (done < 2 and best < patience) or (done < MAX_ROUNDS and monotonic() - start < seconds):
        best = min(best, time_case(case, clock, 1))
        done += 1
    return done, best
