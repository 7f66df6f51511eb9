"""Tests of budgets: no finding at the limit, one below it; the largest layers; unknown figures exceed every budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archscope import units
from archscope.checks.budgets import CostBudget, find_over_budget
from archscope.errors import UsageError
from archscope.report import Report
from archscope.trace import Failure, Location
from tests.sketches import awkward, residual_mnist, stages

MNIST = residual_mnist()


@pytest.mark.parametrize("report", [residual_mnist(), stages(), stages((1, 4))], ids=lambda report: report.target)
@pytest.mark.parametrize("quantity", ["params", "macs"])
def test_a_budget_holds_to_the_last_one(report: Report, quantity: str) -> None:
    count = getattr(report.total, quantity)
    for most, codes in ((count + 1, []), (count, []), (count - 1, [f"budget-{quantity}"]), (0, [f"budget-{quantity}"])):
        budget = CostBudget.of(**{"max_params": None, "max_macs": None, f"max_{quantity}": most})
        found = find_over_budget(report, budget)
        assert [finding.rule for finding in found] == codes
        for finding in found:
            assert finding.message.startswith(f"{units.format_count(count)} ")
            assert (
                f"{units.format_count(count - most)} more than the budget of {units.format_count(most)}"
                in finding.message
            )


def test_without_a_limit_nothing_is_said() -> None:
    assert find_over_budget(MNIST, CostBudget()) == ()


def test_the_largest_layers_are_named() -> None:
    params, macs = find_over_budget(MNIST, CostBudget.of("40k", "1M"))
    assert params.message == "41,514 parameters, 1,514 more than the budget of 40k"
    assert params.details == (
        "4         Conv2d 32, 5×5         12,832  30.9 %",
        "7.main.0  Conv2d 32, 3×3, pad 1   9,248  22.3 %",
        "7.main.2  Conv2d 32, 3×3, pad 1   9,248  22.3 %",
    )
    assert macs.message == "2,013,184 MACs, 1,013,184 more than the budget of 1M"
    assert macs.details[0].split()[:1] == ["4"]
    assert "max-macs" in macs.help


def test_parameters_that_nothing_reads_are_spent_too() -> None:
    (finding,) = find_over_budget(awkward(), CostBudget.of(0, None))
    assert finding.details[0].split() == ["rnn", "LSTM", "32", "6,144", "74.2", "%"]
    alone = replace(awkward(), trace=replace(awkward().trace, rows=()), costs=())
    (finding,) = find_over_budget(alone, CostBudget.of(0, None))
    assert finding.details == ("unread  parameters that nothing reads  8,277  100.0 %",)


def test_what_is_not_known_is_never_within_a_budget() -> None:
    (finding,) = find_over_budget(awkward(), CostBudget.of(None, "1G"))
    assert (finding.rule, finding.level) == ("budget-macs", "error")
    assert finding.message == ("the MACs are not known, so the budget of 1G cannot be judged: 1 operation has no price")
    assert finding.details == ("aten.mkldnn_rnn_layer at rnn",)
    (finding,) = find_over_budget(awkward(), CostBudget.of(None, "1k"))
    assert finding.message == "at least 33,600 MACs, 32,600 more than the budget of 1k"


def test_a_run_that_broke_off_is_judged_by_what_is_certain() -> None:
    failure = Failure(Location("9", "Linear", "layer"), "linear", (), "no")
    failed = replace(MNIST, trace=replace(MNIST.trace, failure=failure))
    assert find_over_budget(failed, CostBudget.of("1M", "1G")) == ()
    assert [finding.rule for finding in find_over_budget(failed, CostBudget.of("1k", "1M"))] == [
        "budget-params",
        "budget-macs",
    ]


@pytest.mark.parametrize("limit", ["5 apples", -1, 1.5, True, "-3M", ""])
def test_what_is_no_budget_is_refused(limit: object) -> None:
    with pytest.raises(UsageError, match="max_macs: "):
        CostBudget.of(None, limit)
