"""Tests of time limits: slow code is ended, fast code is not affected, and no exception remains pending."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from archscope.targets.user_code_limits import DeadlineExceeded, deadline
from tests.counting import calls_of


def loop() -> None:
    while True:
        with suppress(Exception):
            time.sleep(0.001)


def spin() -> None:
    while True:
        pass


@pytest.mark.parametrize("work", [loop, spin])
def test_what_has_no_end_ends_and_handlers_of_the_author_let_it_pass(work: Callable[[], None]) -> None:
    begun = time.perf_counter()
    with pytest.raises(DeadlineExceeded), deadline(0.05):
        work()
    assert time.perf_counter() - begun < 5


def test_what_is_in_time_is_left_alone() -> None:
    with deadline(30):
        found = sum(range(1000))
    assert found == 499500


def test_errors_inside_are_told() -> None:
    with pytest.raises(ValueError, match="inside"), deadline(30):
        raise ValueError("inside")


def test_what_comes_at_the_last_moment_does_not_come_later() -> None:
    for _ in range(20):
        with suppress(DeadlineExceeded), deadline(0.002):
            time.sleep(0.002)
    time.sleep(0.05)


def test_a_count_of_calls_ends_afterwards() -> None:
    """CPython 3.11 runs the first instructions of a function forever under a profiler if an exception was sent and
    cleared.
    """
    with deadline(30):
        pass
    assert calls_of(lambda: max(1, 2)) < 20
