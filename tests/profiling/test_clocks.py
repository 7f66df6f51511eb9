"""Clocks, and the median of samples with its confidence interval."""

from __future__ import annotations

import math
import random
import statistics
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archscope.devices import backend_of
from archscope.devices.cpu import HostClock
from archscope.devices.cuda import CudaClock
from archscope.profiling.measurement import Samples

seconds = st.lists(st.integers(1, 10**9).map(lambda n: n / 2**20), min_size=1, max_size=40)


# ------------------------------------------------------------ samples
@pytest.mark.law
@given(seconds)
def test_median_and_quartiles_are_those_of_statistics(found: list[float]) -> None:
    samples = Samples(tuple(found))
    assert samples.runs == len(found)
    assert samples.median == pytest.approx(statistics.median(found))
    quartiles = statistics.quantiles(found * 2 if len(found) == 1 else found, method="inclusive")
    assert samples.iqr == pytest.approx(quartiles[2] - quartiles[0])


@pytest.mark.law
@given(seconds, st.randoms(use_true_random=False))
def test_the_order_of_runs_says_nothing(found: list[float], dice: random.Random) -> None:
    shuffled = list(found)
    dice.shuffle(shuffled)
    assert figures(shuffled) == figures(found)


@pytest.mark.law
@given(seconds, st.integers(-8, 8))
def test_samples_scale(found: list[float], power: int) -> None:
    scale = 2.0**power
    median, iqr, margin, noisy = figures(found)
    assert figures([second * scale for second in found]) == (median * scale, iqr * scale, margin * scale, noisy)


@pytest.mark.law
@given(seconds)
def test_the_median_lies_among_the_runs_and_no_width_is_negative(found: list[float]) -> None:
    median, iqr, margin, _ = figures(found)
    assert min(found) <= median <= max(found)
    assert 0 <= iqr <= max(found) - min(found)
    assert margin >= 0


def figures(found: list[float]) -> tuple[float, float, float, bool]:
    samples = Samples(tuple(found))
    return samples.median, samples.iqr, samples.margin, samples.noisy


@pytest.mark.parametrize(
    ("found", "median", "iqr", "margin", "noisy"),
    [
        ((3.0,), 3.0, 0.0, math.inf, True),
        ((1.0, 2.0), 1.5, 0.5, math.inf, True),
        ((2.0, 2.0, 2.0), 2.0, 0.0, math.inf, True),
        ((2.0, 2.0, 2.0, 2.0), 2.0, 0.0, math.inf, False),
        ((1.0, 2.0, 3.0, 4.0, 5.0), 3.0, 2.0, math.inf, True),
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 3.5, 2.5, 2.5, True),
        (tuple(map(float, range(1, 12))), 6.0, 5.0, 3.5, True),
        ((10.0, 10.0, 10.0, 11.0, 11.0), 10.0, 1.0, math.inf, False),
        ((10.0, 10.0, 10.0, 11.0625, 12.0), 10.0, 1.0625, math.inf, True),
    ],
)
def test_worked_samples(found: tuple[float, ...], median: float, iqr: float, margin: float, noisy: bool) -> None:
    assert figures(list(found)) == (median, iqr, margin, noisy)


@pytest.mark.parametrize("runs", range(6, 50))
def test_the_margin_is_that_of_a_confidence_interval(runs: int) -> None:
    """Powers of two show between which two ranks it is; the binomial distribution how often the median is there."""
    width = round(2 * Samples(tuple(2.0**rank for rank in range(runs))).margin)
    low = (width & -width).bit_length() - 1
    high = (width + 2**low).bit_length() - 1
    assert width == 2**high - 2**low
    between = sum(math.comb(runs, below) for below in range(low + 1, high + 1)) / 2**runs
    narrower = sum(math.comb(runs, below) for below in range(low + 2, high)) / 2**runs
    assert between > 0.94
    assert narrower < 0.95


def test_a_single_wild_run_moves_nothing() -> None:
    steady = [2.0] * 12
    for place in (0, 5, 11):
        assert figures([*steady[:place], 1000.0, *steady[place + 1 :]]) == figures(steady) == (2.0, 0.0, 0.0, False)


def test_every_order_of_few_runs_gives_the_same() -> None:
    assert {figures(list(order)) for order in permutations([1.0, 2.0, 4.0, 8.0])} == {(3.0, 3.25, math.inf, True)}


# ------------------------------------------------------------ clocks
def test_on_a_processor_a_clock_counts_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 10.25])
    monkeypatch.setattr(HostClock, "mark", staticmethod(lambda: next(ticks)))
    clock = backend_of("cpu").clock()
    first, second = clock.mark(), clock.mark()
    clock.synchronize()
    assert isinstance(clock, HostClock)
    assert clock.seconds_between(first, second) == 0.25


def test_a_clock_never_runs_backwards() -> None:
    clock = backend_of("cpu").clock()
    marks = [clock.mark() for _ in range(100)]
    assert all(clock.seconds_between(first, second) >= 0 for first, second in pairwise(marks))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_a_gpu_has_its_own_clock(device: str) -> None:
    assert isinstance(backend_of(device).clock(), CudaClock)


def test_what_takes_longer_to_mark_is_sampled_longer() -> None:
    assert 0 < HostClock.min_seconds < CudaClock.min_seconds


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_waits_for_its_own_work() -> None:
    clock = backend_of("cuda").clock()
    first = clock.mark()
    torch.cuda._sleep(20_000_000)
    second = clock.mark()
    torch.cuda._sleep(40_000_000)
    third = clock.mark()
    clock.synchronize()
    assert (
        0
        < clock.seconds_between(first, second)
        < clock.seconds_between(second, third)
        < clock.seconds_between(first, third)
    )
