"""Samples of laws: evenly spread, the same in every process, whole where cases are few; and only laws are sampled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.sampling import FEW, ONE_IN, law_of, sample, split, times

ROOT = Path(__file__).resolve().parent.parent
CASES = """
import pytest

@pytest.mark.law
@pytest.mark.parametrize("n", range(60))
def test_many(n): pass

@pytest.mark.law
@pytest.mark.parametrize("n", range(12))
def test_few(n): pass

@pytest.mark.law(keep=3)
@pytest.mark.parametrize("n", range(9))
def test_slow(n): pass

@pytest.mark.parametrize("n", range(30))
def test_no_law(n): pass

@pytest.mark.law
def test_alone(all_laws, pytestconfig): assert all_laws is (pytestconfig.getoption("laws") == "all")
"""
SAMPLE = {"test_many": 12, "test_few": 12, "test_slow": 3, "test_no_law": 30, "test_alone": 1}
"""Test → how many of its cases above are in the sample."""


@pytest.mark.parametrize("count", [1, 2, FEW - 1, FEW])
def test_few_cases_are_all_kept(count: int) -> None:
    assert sample("law", count) == list(range(count))


@pytest.mark.parametrize("count", [FEW + 1, 30, 71, 72, 73, 153, 306, 447])
def test_many_cases_are_kept_in_equal_distances(count: int) -> None:
    kept = sample("law", count)
    assert len(kept) == max(FEW, count // ONE_IN)
    assert kept == sorted(set(kept))
    assert kept[0] >= 0
    assert kept[-1] < count
    assert all(later - one < 2 * count / len(kept) + 1 for one, later in pairwise(kept))


@pytest.mark.parametrize(("count", "keep"), [(170, 17), (213, 71), (12, 4), (4, 2), (5, 9), (5, 0)])
def test_as_many_are_kept_as_are_asked_for(count: int, keep: int) -> None:
    assert len(sample("law", count, keep)) == min(count, keep)


def test_of_a_product_each_of_the_outer_parameters_is_kept_once() -> None:
    outer = [position // 10 for position in sample("law", 170, 17)]
    assert outer == list(range(17))


def test_inner_parameters_all_have_their_turn() -> None:
    """A sample in fixed steps would see one mode of two alone."""
    assert {position % 2 for position in sample("law", 306)} == {0, 1}


def test_laws_over_the_same_cases_draw_unlike() -> None:
    assert sample("one law", 153) != sample("another law", 153)


def test_another_process_draws_the_same() -> None:
    program = "from tests.sampling import sample; print(sample('law', 447))"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        drawn = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        assert drawn.stdout.strip() == str(sample("law", 447))


def test_the_law_of_a_case_is_its_function() -> None:
    assert law_of("tests/test_a.py::Class::test_it[a::b[0]-c]") == "tests/test_a.py::Class::test_it"


# ------------------------------------------------------------ in pytest
@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """A run of pytest in another process, on the cases above and with the hooks of this folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\nmarkers = law")
    pytester.makepyfile(test_cases=CASES)
    return lambda *arguments: pytester.runpytest_subprocess("-p", "tests.conftest", *arguments)


def test_only_laws_are_sampled_and_the_order_stays(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = law")
    items, _ = pytester.inline_genitems(pytester.makepyfile(CASES))
    kept, out = split(items)
    assert Counter(law_of(item.name) for item in kept) == SAMPLE
    assert [item for item in items if item not in out] == kept
    assert len(kept) + len(out) == len(items)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "two workers"])
def test_a_run_has_the_sample_and_says_how_long_each_law_took(
    run: Callable[..., pytest.RunResult], workers: list[str]
) -> None:
    result = run(*workers)
    assert result.parseoutcomes()["passed"] == sum(SAMPLE.values())
    found = [line.split() for line in result.outlines if re.match(r" +[\d.]+ s +\d+  test_cases.py::", line)]
    counts = {name.removeprefix("test_cases.py::"): int(cases) for _, _, cases, name in found}
    assert counts == {name: count for name, count in SAMPLE.items() if name != "test_no_law"}


def test_all_of_the_laws_and_nothing_else(run: Callable[..., pytest.RunResult]) -> None:
    result = run("-m", "law", "--laws=all")
    assert result.parseoutcomes() == {"passed": 60 + 12 + 9 + 1, "deselected": 30}


def test_few_cases_that_are_asked_for_by_name_are_all_run(run: Callable[..., pytest.RunResult]) -> None:
    result = run("-k", "test_many and (7 or 8)")
    assert result.parseoutcomes()["passed"] == len([n for n in range(60) if "7" in str(n) or "8" in str(n)])


def report(nodeid: str, when: str, duration: float, *keywords: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid,
        ("", 0, ""),
        dict.fromkeys(keywords, 1),
        "passed",
        None,
        when,
        duration=duration,  # type: ignore[arg-type]
    )


def test_the_seconds_of_a_law_are_those_of_its_cases() -> None:
    found = times(
        [
            report("a.py::test_quick[1]", "call", 1, "law"),
            report("a.py::test_slow[1]", "setup", 2, "law"),
            report("a.py::test_slow[1]", "call", 3, "law"),
            report("a.py::test_slow[2]", "call", 4, "law"),
            report("a.py::test_no_law[2]", "call", 9),
        ]
    )
    assert [(law, spent.seconds, spent.cases) for law, spent in found.items()] == [
        ("a.py::test_slow", 9, 2),
        ("a.py::test_quick", 1, 1),
    ]
