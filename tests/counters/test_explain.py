"""Explanations without torch: a difference without a known cause is unexplained."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archscope.counters.differences import Account
from archscope.counters.explain import cross_check
from archscope.counters.result import CountedOp, CounterResult
from archscope.report import Report
from tests.sketches import awkward, residual_mnist

OURS = residual_mnist()
PATHS = ["", *dict.fromkeys(row.path for row in OURS.rows)]
SEEN = CounterResult(
    "fvcore",
    "fvcore",
    params=OURS.total.params,
    macs=OURS.total.macs,
    seconds=0.5,
    counts=tuple(CountedOp(row.path, "conv", row.macs or 0) for row in OURS.rows if row.macs),
)


def account_of(statement: CounterResult, report: Report = OURS) -> Account:
    return cross_check(report, 0.25, [statement], PATHS).accounts[0]


def test_equal_figures_have_no_differences() -> None:
    account = account_of(SEEN)
    assert (account.macs_differences, account.params_differences, account.macs_off, account.unexplained) == (
        (),
        (),
        0,
        0,
    )
    assert account.relative_time(0.25) == 2.0


def test_a_wrong_figure_without_a_cause_is_unexplained() -> None:
    first, *others = SEEN.counts
    counts = (replace(first, macs=first.macs + 7), *others)
    account = account_of(replace(SEEN, macs=OURS.total.known + 7, counts=counts))
    (difference,) = account.macs_differences
    assert (difference.cause, difference.amount, account.unexplained) == ("unexplained", 7, 7)
    assert difference.sentence == "unexplained: 1 × Conv2d, at 0: theirs 230,407, ours 230,400"


def test_many_without_a_cause_are_one_line_with_the_first() -> None:
    counts = tuple(replace(count, macs=3 * count.macs) for count in SEEN.counts)
    account = account_of(replace(SEEN, macs=3 * OURS.total.known, counts=counts))
    assert account.unexplained == 2 * OURS.total.known
    assert {difference.subject: difference.times for difference in account.macs_differences} == {
        "Conv2d": 6,
        "Linear": 1,
    }
    assert account.macs_differences[0].sentence == "unexplained: 6 × Conv2d, first at 0: theirs 691,200, ours 230,400"


def test_what_no_count_says_is_unexplained() -> None:
    account = account_of(replace(SEEN, macs=OURS.total.known + 5))
    assert (account.macs_differences, account.unattributed, account.unexplained) == ((), 5, 5)


def test_parameters_without_a_cause_are_unexplained() -> None:
    account = account_of(replace(SEEN, params=OURS.total.params + 1))
    assert (account.params_off, account.params_unexplained) == (1, 1)
    assert account.params_differences[0].sentence == "unexplained: parameters"


@pytest.mark.parametrize("status", ["crashed", "unable", "missing"])
def test_a_counter_without_a_count_has_no_figures(status: str) -> None:
    check = cross_check(OURS, 0.25, [CounterResult("fvcore", "fvcore", status=status, error="why")], PATHS)
    document = json.loads(json.dumps(check.to_dict()))
    assert document["schema"] == "archscope.crosscheck/1"
    (witness,) = document["witnesses"]
    unknown = ("params", "macs", "flops", "seconds", "times_ours", "macs_off", "params_off", "unexplained")
    assert all(witness[name] is None for name in unknown)
    assert (witness["status"], witness["error"], witness["differences"]) == (status, "why", [])


def test_what_is_unpriced_here_is_held_against_what_is_known() -> None:
    report = awkward()
    unknown = next(row for row in report.rows if row.cost.unpriced)
    priced = tuple(CountedOp(row.path, "mm", row.cost.known) for row in report.rows if row.cost.known)
    counts = (*priced, CountedOp(unknown.path, "mm", 100))
    statement = CounterResult("counter", "torch", macs=report.total.known + 100, counts=counts)
    account = cross_check(report, 1.0, [statement], ["", *(row.path for row in report.rows)]).accounts[0]
    (difference,) = account.macs_differences
    assert (difference.cause, difference.amount, difference.rows) == ("unpriced", 100, (unknown.index,))
    assert (account.macs_off, account.unexplained) == (100, 0)
    assert cross_check(report, 1.0, [statement], [""]).to_dict()["totals"]["macs"] is None


def test_a_row_below_what_the_model_holds_counts_for_the_nearest_module() -> None:
    counts = (CountedOp("", "conv", OURS.total.known),)
    check = cross_check(OURS, 1.0, [replace(SEEN, counts=counts)], [""])
    assert check.accounts[0].macs_differences == ()
