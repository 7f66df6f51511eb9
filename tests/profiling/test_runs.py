"""Rounds of cases under a fake clock: warm-up, order, when they end, and what remains after an interrupt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, repeat

import pytest

from archscope.profiling import sampling
from archscope.profiling.sampling import MIN_CERTAIN_ROUNDS, MIN_ROUNDS, collect_samples, is_certain, time_case, warm_up


class FakeClock:
    """A clock, and the time of day: cases pass it. log: who ran."""

    def __init__(self, least: float = 0.0):
        self.time, self.min_seconds, self.log, self.waits = 0.0, least, list[str](), 0

    def mark(self) -> float:
        return self.time

    def synchronize(self) -> None:
        self.waits += 1

    def seconds_between(self, first: float, second: float) -> float:
        return second - first

    def case(self, name: str, seconds: Iterable[float | BaseException]) -> Callable[[], None]:
        """Takes the next of these seconds whenever it is called, or raises."""
        ahead: Iterator[float | BaseException] = iter(seconds)

        def run() -> None:
            self.log.append(name)
            spent = next(ahead)
            if isinstance(spent, BaseException):
                raise spent
            self.time += spent

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    found = FakeClock()
    monkeypatch.setattr(sampling, "monotonic", found.mark)
    return found


def uncertain_seconds() -> Iterator[float]:
    """Seconds whose median is never certain: one and three in turn."""
    return cycle([1.0, 3.0])


# ------------------------------------------------------------ duration
def test_a_certain_median_ends_the_rounds(clock: FakeClock) -> None:
    found = collect_samples({"whole": clock.case("whole", repeat(0.25))}, clock, seconds=1e6)
    assert found.seconds == {"whole": [0.25] * MIN_CERTAIN_ROUNDS}
    assert not found.interrupted


def test_an_uncertain_median_ends_with_the_budget(clock: FakeClock) -> None:
    found = collect_samples({"whole": clock.case("whole", uncertain_seconds())}, clock, seconds=40.0)
    assert sum(found.seconds["whole"]) == 40.0


def test_slow_cases_have_three_rounds_all_the_same(clock: FakeClock) -> None:
    cases = {"whole": clock.case("whole", repeat(100.0)), "rows": clock.case("rows", repeat(200.0))}
    found = collect_samples(cases, clock, seconds=1.0)
    assert found.seconds == {"whole": [100.0] * MIN_ROUNDS, "rows": [200.0] * MIN_ROUNDS}
    assert found.warmup_runs == {"whole": 1, "rows": 1}


def test_the_first_case_decides_when_it_is_sure(clock: FakeClock) -> None:
    cases = {"whole": clock.case("whole", repeat(1.0)), "rows": clock.case("rows", uncertain_seconds())}
    assert len(collect_samples(cases, clock, seconds=1e6).seconds["rows"]) == MIN_CERTAIN_ROUNDS


def test_there_is_an_end_to_rounds(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_ROUNDS", 20)
    assert (
        len(collect_samples({"whole": clock.case("whole", uncertain_seconds())}, clock, seconds=1e9).seconds["whole"])
        == 20
    )


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        ([1.0] * 10, False),
        ([1.0] * 11, True),
        ([1.0, 2.0] * 10, False),
        ([1.0] * 20 + [9.0], True),
        ([1.0, 1.015] * 20, True),
        ([1.0, 1.03] * 20, False),
    ],
)
def test_sure_is_one_in_a_hundred_and_eleven_runs(found: list[float], enough: bool) -> None:
    assert is_certain(found) is enough


# ------------------------------------------------------------ warm-up and order
def test_what_comes_before_the_warm_up_is_over_does_not_count(clock: FakeClock) -> None:
    found = collect_samples({"whole": clock.case("whole", chain([64.0, 8.0], repeat(0.5)))}, clock, seconds=10.0)
    assert found.warmup_runs["whole"] == 2
    assert set(found.seconds["whole"]) == {0.5}


def test_the_warm_up_has_a_tenth_of_the_budget(clock: FakeClock) -> None:
    cases = {"whole": clock.case("whole", repeat(0.25)), "rows": clock.case("rows", repeat(0.5))}
    found = collect_samples(cases, clock, seconds=40.0)
    assert found.warmup_runs == {"whole": 8, "rows": 4}


def test_cases_take_turns(clock: FakeClock) -> None:
    cases = {name: clock.case(name, repeat(1.0)) for name in "abc"}
    found = collect_samples(cases, clock, seconds=1.0)
    warm_up = sum(found.warmup_runs.values())
    assert clock.log[:warm_up] == [name for name in "abc" for _ in range(found.warmup_runs[name])]
    assert clock.log[warm_up:] == list("abc") * MIN_ROUNDS


def test_what_is_too_short_for_the_clock_runs_several_times(clock: FakeClock) -> None:
    clock.min_seconds = 1.0
    found = collect_samples({"whole": clock.case("whole", chain([5.0], repeat(0.125)))}, clock, seconds=1.0)
    assert found.seconds["whole"] == [0.125] * MIN_ROUNDS
    assert len(clock.log) == found.warmup_runs["whole"] + 8 * MIN_ROUNDS


def test_what_takes_long_enough_runs_once(clock: FakeClock) -> None:
    clock.min_seconds = 1.0
    found = collect_samples({"whole": clock.case("whole", repeat(2.0))}, clock, seconds=1.0)
    assert len(clock.log) == found.warmup_runs["whole"] + MIN_ROUNDS


def test_what_takes_no_time_at_all_comes_to_an_end(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_ROUNDS", 50)
    found = collect_samples({"whole": clock.case("whole", repeat(0.0))}, clock, seconds=1.0)
    assert found.warmup_runs == {"whole": 50}
    assert set(found.seconds["whole"]) == {0.0}


def test_a_sample_is_the_mean_of_its_runs(clock: FakeClock) -> None:
    assert time_case(clock.case("whole", [1.0, 2.0, 6.0]), clock, 3) == 3.0
    assert (len(clock.log), clock.waits) == (3, 1)


def test_a_warm_up_returns_the_quickest_run(clock: FakeClock) -> None:
    assert warm_up(clock.case("whole", [4.0, 1.0, 2.0, 9.0]), clock, seconds=6.0, patience=9.0) == (3, 1.0)
    assert warm_up(clock.case("whole", [4.0, 1.0, 2.0, 9.0]), clock, seconds=0.0, patience=9.0) == (2, 1.0)
    assert warm_up(clock.case("whole", [4.0, 1.0, 2.0, 9.0]), clock, seconds=0.0, patience=4.0) == (1, 4.0)


# ------------------------------------------------------------ progress and interrupts
def test_on_round_gets_the_share_that_is_done(clock: FakeClock) -> None:
    shares: list[float] = []
    collect_samples({"whole": clock.case("whole", uncertain_seconds())}, clock, seconds=40.0, on_round=shares.append)
    assert shares == sorted(shares)
    assert (min(shares) > 0, shares[-1], len(shares)) == (True, 1.0, 20)
    assert shares[:4] == [0.025, 0.1, 0.125, 0.2]


def test_more_than_all_is_never_done(clock: FakeClock) -> None:
    shares: list[float] = []
    collect_samples({"whole": clock.case("whole", repeat(64.0))}, clock, seconds=1.0, on_round=shares.append)
    assert shares == [1.0] * MIN_ROUNDS


def test_an_interrupt_leaves_what_is_measured(clock: FakeClock) -> None:
    broken = chain(repeat(1.0, 2 + 5), [KeyboardInterrupt()])  # two runs to warm up, and five rounds
    cases = {"whole": clock.case("whole", uncertain_seconds()), "rows": clock.case("rows", broken)}
    found = collect_samples(cases, clock, seconds=20.0)
    assert found.interrupted
    assert found.warmup_runs == {"whole": 2, "rows": 2}
    assert found.seconds == {"whole": [1.0, 3.0] * 3, "rows": [1.0] * 5}


def test_an_interrupt_in_the_warm_up_leaves_nothing(clock: FakeClock) -> None:
    found = collect_samples({"whole": clock.case("whole", [1.0, KeyboardInterrupt()])}, clock, seconds=100.0)
    assert found.interrupted
    assert found.samples("whole") is None


def test_on_round_may_end_the_rounds(clock: FakeClock) -> None:
    def ask(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    found = collect_samples({"whole": clock.case("whole", uncertain_seconds())}, clock, seconds=40.0, on_round=ask)
    samples = found.samples("whole")
    assert found.interrupted
    assert samples is not None
    assert math.isclose(sum(samples.seconds), 21.0)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), RuntimeError("out of memory")])
@pytest.mark.parametrize("after", [0, 1, 2, 7])
def test_what_a_case_raises_goes_on(clock: FakeClock, error: BaseException, after: int) -> None:
    with pytest.raises(type(error)):
        collect_samples({"whole": clock.case("whole", chain(repeat(1.0, after), [error]))}, clock, seconds=1e6)


def test_a_case_that_nobody_asked_for_has_no_samples(clock: FakeClock) -> None:
    found = collect_samples({"whole": clock.case("whole", repeat(1.0))}, clock, seconds=1.0)
    assert found.samples("graph") is None
    samples = found.samples("whole")
    assert samples is not None
    assert samples.seconds == tuple(found.seconds["whole"])
