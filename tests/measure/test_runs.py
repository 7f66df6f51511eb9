"""Rounds of cases under a fake clock: warm-up, order, when they end, and what remains after an interrupt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, repeat

import pytest

from archscope.measure import sampling
from archscope.measure.sampling import MIN_CERTAIN_ROUNDS, MIN_ROUNDS, collect_samples, is_certain, time_case, warm_up


class Hours:
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
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    found = Hours()
    monkeypatch.setattr(sampling, "monotonic", found.mark)
    return found


def unsure() -> Iterator[float]:
    """Seconds whose median is never certain: one and three in turn."""
    return cycle([1.0, 3.0])


# ------------------------------------------------------------ duration
def test_what_is_sure_is_enough(hours: Hours) -> None:
    found = collect_samples({"whole": hours.case("whole", repeat(0.25))}, hours, seconds=1e6)
    assert found.seconds == {"whole": [0.25] * MIN_CERTAIN_ROUNDS}
    assert not found.interrupted


def test_what_is_never_sure_ends_with_the_budget(hours: Hours) -> None:
    found = collect_samples({"whole": hours.case("whole", unsure())}, hours, seconds=40.0)
    assert sum(found.seconds["whole"]) == 40.0


def test_slow_cases_have_three_rounds_all_the_same(hours: Hours) -> None:
    cases = {"whole": hours.case("whole", repeat(100.0)), "rows": hours.case("rows", repeat(200.0))}
    found = collect_samples(cases, hours, seconds=1.0)
    assert found.seconds == {"whole": [100.0] * MIN_ROUNDS, "rows": [200.0] * MIN_ROUNDS}
    assert found.warmup_runs == {"whole": 1, "rows": 1}


def test_the_first_case_decides_when_it_is_sure(hours: Hours) -> None:
    cases = {"whole": hours.case("whole", repeat(1.0)), "rows": hours.case("rows", unsure())}
    assert len(collect_samples(cases, hours, seconds=1e6).seconds["rows"]) == MIN_CERTAIN_ROUNDS


def test_there_is_an_end_to_rounds(hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_ROUNDS", 20)
    assert len(collect_samples({"whole": hours.case("whole", unsure())}, hours, seconds=1e9).seconds["whole"]) == 20


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
def test_what_comes_before_the_warm_up_is_over_does_not_count(hours: Hours) -> None:
    found = collect_samples({"whole": hours.case("whole", chain([64.0, 8.0], repeat(0.5)))}, hours, seconds=10.0)
    assert found.warmup_runs["whole"] == 2
    assert set(found.seconds["whole"]) == {0.5}


def test_the_warm_up_has_a_tenth_of_the_budget(hours: Hours) -> None:
    cases = {"whole": hours.case("whole", repeat(0.25)), "rows": hours.case("rows", repeat(0.5))}
    found = collect_samples(cases, hours, seconds=40.0)
    assert found.warmup_runs == {"whole": 8, "rows": 4}


def test_cases_take_turns(hours: Hours) -> None:
    cases = {name: hours.case(name, repeat(1.0)) for name in "abc"}
    found = collect_samples(cases, hours, seconds=1.0)
    warm_up = sum(found.warmup_runs.values())
    assert hours.log[:warm_up] == [name for name in "abc" for _ in range(found.warmup_runs[name])]
    assert hours.log[warm_up:] == list("abc") * MIN_ROUNDS


def test_what_is_too_short_for_the_clock_runs_several_times(hours: Hours) -> None:
    hours.min_seconds = 1.0
    found = collect_samples({"whole": hours.case("whole", chain([5.0], repeat(0.125)))}, hours, seconds=1.0)
    assert found.seconds["whole"] == [0.125] * MIN_ROUNDS
    assert len(hours.log) == found.warmup_runs["whole"] + 8 * MIN_ROUNDS


def test_what_takes_long_enough_runs_once(hours: Hours) -> None:
    hours.min_seconds = 1.0
    found = collect_samples({"whole": hours.case("whole", repeat(2.0))}, hours, seconds=1.0)
    assert len(hours.log) == found.warmup_runs["whole"] + MIN_ROUNDS


def test_what_takes_no_time_at_all_comes_to_an_end(hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MAX_ROUNDS", 50)
    found = collect_samples({"whole": hours.case("whole", repeat(0.0))}, hours, seconds=1.0)
    assert found.warmup_runs == {"whole": 50}
    assert set(found.seconds["whole"]) == {0.0}


def test_a_sample_is_the_mean_of_its_runs(hours: Hours) -> None:
    assert time_case(hours.case("whole", [1.0, 2.0, 6.0]), hours, 3) == 3.0
    assert (len(hours.log), hours.waits) == (3, 1)


def test_a_warm_up_tells_the_quickest_run(hours: Hours) -> None:
    assert warm_up(hours.case("whole", [4.0, 1.0, 2.0, 9.0]), hours, seconds=6.0, patience=9.0) == (3, 1.0)
    assert warm_up(hours.case("whole", [4.0, 1.0, 2.0, 9.0]), hours, seconds=0.0, patience=9.0) == (2, 1.0)
    assert warm_up(hours.case("whole", [4.0, 1.0, 2.0, 9.0]), hours, seconds=0.0, patience=4.0) == (1, 4.0)


# ------------------------------------------------------------ progress and interrupts
def test_whoever_asks_is_told_what_is_done(hours: Hours) -> None:
    shares: list[float] = []
    collect_samples({"whole": hours.case("whole", unsure())}, hours, seconds=40.0, on_round=shares.append)
    assert shares == sorted(shares)
    assert (min(shares) > 0, shares[-1], len(shares)) == (True, 1.0, 20)
    assert shares[:4] == [0.025, 0.1, 0.125, 0.2]


def test_more_than_all_is_never_done(hours: Hours) -> None:
    shares: list[float] = []
    collect_samples({"whole": hours.case("whole", repeat(64.0))}, hours, seconds=1.0, on_round=shares.append)
    assert shares == [1.0] * MIN_ROUNDS


def test_an_interrupt_leaves_what_is_measured(hours: Hours) -> None:
    broken = chain(repeat(1.0, 2 + 5), [KeyboardInterrupt()])  # two runs to warm up, and five rounds
    cases = {"whole": hours.case("whole", unsure()), "rows": hours.case("rows", broken)}
    found = collect_samples(cases, hours, seconds=20.0)
    assert found.interrupted
    assert found.warmup_runs == {"whole": 2, "rows": 2}
    assert found.seconds == {"whole": [1.0, 3.0] * 3, "rows": [1.0] * 5}


def test_an_interrupt_in_the_warm_up_leaves_nothing(hours: Hours) -> None:
    found = collect_samples({"whole": hours.case("whole", [1.0, KeyboardInterrupt()])}, hours, seconds=100.0)
    assert found.interrupted
    assert found.samples("whole") is None


def test_whoever_asks_may_break_off(hours: Hours) -> None:
    def ask(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    found = collect_samples({"whole": hours.case("whole", unsure())}, hours, seconds=40.0, on_round=ask)
    samples = found.samples("whole")
    assert found.interrupted
    assert samples is not None
    assert math.isclose(sum(samples.seconds), 21.0)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), RuntimeError("out of memory")])
@pytest.mark.parametrize("after", [0, 1, 2, 7])
def test_what_a_case_raises_goes_on(hours: Hours, error: BaseException, after: int) -> None:
    with pytest.raises(type(error)):
        collect_samples({"whole": hours.case("whole", chain(repeat(1.0, after), [error]))}, hours, seconds=1e6)


def test_a_case_that_nobody_asked_for_has_no_samples(hours: Hours) -> None:
    found = collect_samples({"whole": hours.case("whole", repeat(1.0))}, hours, seconds=1.0)
    assert found.samples("graph") is None
    samples = found.samples("whole")
    assert samples is not None
    assert samples.seconds == tuple(found.seconds["whole"])
