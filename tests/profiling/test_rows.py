"""The time of rows: each gets the time of its own operators, in every kind of model."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from archscope import targets
from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_runs import device_and_dtype, example_inputs, summarize_plan
from archscope.api.building import compile_plan
from archscope.compile import build
from archscope.profiling import rows_cpu
from archscope.profiling.benchmark import prepared_workload
from archscope.profiling.rows_cpu import (
    NO_ROW,
    CallRowMap,
    TimedRun,
    hook_cost,
    match_calls,
    middle_half,
    row_times,
    time_run,
)
from archscope.profiling.workload import Workload
from tests.profiling.models import (
    MODELS,
    Borrowing,
    Changeable,
    Deciding,
    Functional,
    Residual,
    Wrapping,
    compiled,
    scripted,
    x,
)
from tests.profiling.timed import noted, ticks, timed

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:::torch")]

WORK = {"mm": 7, "addmm": 100, "relu": 30, "tanh": 20, "mul": 5, "add": 3, "add_": 4, "sum": 2, "relu_": 31}
"""Ticks of the operators that the worked models are made of; all others take none."""


BORROWED = [("linear", 100), ("t", 0), ("relu", 30), ("getitem", 0)]
every_model = pytest.mark.parametrize("name", MODELS)
both_modes = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])


# ------------------------------------------------------------ worked by hand
@pytest.mark.parametrize(
    ("make", "args", "expected"),
    [
        (
            lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2)),
            x(),
            [("linear", 100), ("relu", 30), ("dropout", 0), ("linear", 100)],
        ),
        (Functional, x(), [("linear", 100), ("relu", 30), ("tanh", 20), ("mul", 5)]),
        (Residual, x(), [("linear", 100), ("add_", 4), ("relu", 31)]),
        (
            Borrowing,
            x(4, 4),
            [("linear", 100), ("t", 0), ("relu", 30), ("getitem", 0), ("flatten", 0), ("linear", 100)],
        ),
        (Deciding, x(), [("sum", 2), ("gt", 0), ("linear", 100), ("relu", 30)]),
        (Deciding, (-torch.ones(3, 4),), [("sum", 2), ("gt", 0), ("linear", 100), ("tanh", 20), ("mul", 5)]),
        (compiled, x(), [("linear", 100), ("linear", 100), ("relu", 30), ("mul", 5)]),
    ],
)
def test_each_row_has_the_time_of_its_own_operators(
    make: Callable[[], nn.Module], args: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = timed(make(), args, monkeypatch, laps=3, ticks=WORK)
    assert found.forward() == expected
    assert found.times is not None
    assert (found.times.backward, found.times.unattributed, found.times.runs) == ((), 0.0, 3)


def test_what_derives_a_row_is_timed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2))
    work = {"addmm": 100, "mm": 10, "sum": 3, "tanh_backward": 20, "ones_like": 5}
    found = timed(model, x(), monkeypatch, train=True, laps=2, ticks=work)
    assert found.backward() == [("linear", 13), ("tanh", 20), ("linear", 23), ("linear", 23)]
    assert found.times is not None
    assert ticks(found.times.known_seconds) == 300 + 13 + 20 + 23 + 23


# ------------------------------------------------------------ properties
@pytest.mark.law(keep=len(MODELS))
@both_modes
@every_model
def test_every_row_has_a_time_and_none_is_lost(name: str, train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tick for each operator: what does work has some, and rows sum to the run, but for calls that make no row; the
    gradients that a backward pass starts from belong to no row."""
    module, args = MODELS[name]()
    found = timed(module, args, monkeypatch, train=train, laps=2, ticks={"ones_like": 0}, otherwise=1)
    assert found.times is not None
    assert None not in found.times.forward
    assert all(time for row, time in zip(found.trace.rows, found.times.forward, strict=True) if not row.view)
    rowless = sum(spent for call, spent in enumerate(found.laps[0].nanoseconds) if found.tally.rows[call] == NO_ROW)
    assert ticks(found.times.known_seconds) == found.ticked / 2 - rowless
    if train:
        derived = {row.forward_row for row in found.trace.backward if row.forward_row >= 0 and row.kernels}
        assert derived
        assert all(found.times.backward[index] for index in derived)


SPECS = [
    *("specs/tutorials/basic_block_net.yaml", "specs/tutorials/bottleneck_1x1.yaml:bottleneck"),
    *("specs/tutorials/cnn3.yaml", "specs/tutorials/inception_mnist.yaml", "specs/tutorials/lenet.yaml"),
    *("specs/tutorials/mlp.yaml", "specs/tutorials/residual_mnist.yaml:plain", "specs/lstm_classifier.yaml"),
    "specs/mobilenet_v2.yaml",
]


@pytest.mark.law(keep=len(SPECS))
@both_modes
@pytest.mark.parametrize("spec", SPECS)
def test_every_row_of_a_spec_has_a_time(spec: str, train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded run walks the plan, the timed one calls the built module. The clock goes on when it is read."""
    monkeypatch.setattr(rows_cpu, "now", count().__next__)
    monkeypatch.setattr(rows_cpu, "timer_overhead", lambda: 0)
    monkeypatch.setattr(rows_cpu, "hook_cost", lambda: 0.0)
    tallies: list[CallRowMap] = []

    def extra_context(recorder: Any) -> CallRowMap:
        tallies.append(CallRowMap(recorder))
        return tallies[-1]

    plan = compile_plan(spec, train=train)
    report = summarize_plan(plan, RunOptions(device="cpu", train=train), extra_context=extra_context)
    place, kind = device_and_dtype(plan, "cpu", None)
    module, call = build(plan, device=place, dtype=kind).train(train), tuple(example_inputs(plan, place, kind).values())
    work = Workload(module, module, [(call, {})], "cpu", train)
    with prepared_workload(work, live=False), targets.seeded(0):
        found = time_run(work.forward, work.backward if train else None)
    times = row_times([found], tallies[-1], len(report.rows), backward=train)
    assert times is not None
    assert all(time for row, time in zip(report.rows, times.forward, strict=True) if row.row.kernels)
    assert None not in times.forward
    assert times.known_seconds == pytest.approx(sum(times.forward) + sum(times.backward) + times.unattributed)
    if train:
        assert {row.row.forward_row for row in report.backward if row.row.kernels} - {-1} <= {
            index for index, time in enumerate(times.backward) if time
        }


def test_what_a_scripted_module_does_is_not_seen_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timed(scripted(), x(), monkeypatch, ticks=WORK)
    assert found.forward() == [("linear", 100), ("t", None), ("addmm", None), ("relu", None), ("mul", 5)]


def test_a_call_that_makes_several_rows_is_put_down_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(timed(Wrapping(), x(), monkeypatch, ticks=WORK).forward())
    assert (found["linear"], found["tanh"], found["sum"], found["mul"]) == (100, None, None, 5)


# ------------------------------------------------------------ runs with other calls
def test_only_runs_with_the_same_calls_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found = timed(Changeable(1, 1, 0, 1, 2, 1), x(), monkeypatch, laps=5, ticks=WORK)
    assert found.times is not None
    assert found.times.runs == 3
    assert found.forward() == [("linear", 100), ("relu", 30), ("linear", 100), ("relu", 30)]


@pytest.mark.parametrize(("first", "then"), [(1, 0), (1, 2), (2, 1), (2, 0), (0, 1)])
@both_modes
def test_a_run_that_goes_another_way_than_the_recorded_one_times_no_row(
    first: int, then: int, train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its functions are some of those that were recorded, in the same order."""
    found = timed(Changeable(first, then), x(), monkeypatch, train=train, ticks=WORK)
    assert found.times is None


def test_a_run_that_shows_no_row_gives_no_times() -> None:
    assert row_times([lap()], Notes((KERNEL, 0), (KERNEL, 1)), 2, backward=False) is None


def test_without_runs_there_are_no_times() -> None:
    assert row_times([], noted(nn.Linear(4, 4), x())[1], 1, backward=False) is None


# ------------------------------------------------------------ parts of the measurement
def test_the_recorded_run_knows_which_call_made_which_row() -> None:
    trace, tally = noted(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()), x(), train=True)
    made = [row for row in tally.rows if row != NO_ROW]
    assert made == list(range(len(trace.rows)))
    assert [trace.rows[row].short_name for row in made] == ["linear", "batch_norm", "relu"]
    assert len(tally.functions) == len(tally.rows)


class Notes(CallRowMap):
    """A call map with given calls."""

    def __init__(self, *calls: tuple[Any, int]):
        self.functions, self.rows = [func for func, _ in calls], [row for _, row in calls]


KERNEL = torch.ops.aten.relu.default


@pytest.mark.parametrize(
    ("functions", "rows"),
    [
        ([torch.add, torch.relu, torch.add], [0, NO_ROW, 2]),
        ([torch.add, torch.relu, torch.add, torch.add], None),
        ([torch.add, torch.relu], None),
        ([torch.relu, torch.add], None),
        ([torch.add, torch.relu, KERNEL, torch.add], [0, NO_ROW, 1, 2]),
        ([torch.add, KERNEL, torch.relu, torch.add], None),
        ([], None),
    ],
)
def test_calls_find_their_rows(functions: list[Any], rows: list[int] | None) -> None:
    tally = Notes((torch.add, 0), (torch.relu, NO_ROW), (KERNEL, 1), (torch.add, 2))
    assert match_calls(tally, functions) == rows


def test_the_last_operators_may_be_unseen_too() -> None:
    assert match_calls(Notes((torch.add, 0), (KERNEL, 1)), [torch.add]) == [0]
    assert match_calls(Notes((KERNEL, 0)), []) == []


def lap(*spent: int, derived: dict[int, int] | None = None, ownerless: int = 0) -> TimedRun:
    functions = [torch.add, torch.relu, torch.add][: len(spent)]
    nodes = {call: (time, 1) for call, time in {**(derived or {}), **({None: ownerless} if ownerless else {})}.items()}
    return TimedRun(functions, array("q", spent), [], nodes)


@pytest.fixture
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that shows the same whenever it is read."""
    monkeypatch.setattr(rows_cpu, "now", lambda: 0)


@pytest.mark.usefixtures("_still")
def test_rows_are_the_mean_of_the_middle_half() -> None:
    tally = Notes((torch.add, 0), (torch.relu, NO_ROW), (torch.add, 1))
    laps = [lap(1, 0, 1), lap(10, 5, 20), lap(30, 5, 40), lap(900, 900, 900)]
    times = row_times(laps, tally, 3, backward=False)
    assert times is not None
    assert [ticks(time) for time in times.forward] == [20, 30, None]
    assert (times.backward, times.runs, times.unattributed) == ((), 2, 0.0)


@pytest.mark.usefixtures("_still")
def test_a_row_that_nothing_derives_took_no_time_to_derive() -> None:
    tally = Notes((torch.add, 0), (torch.relu, 1), (torch.add, 2))
    times = row_times([lap(1, 2, 3, derived={0: 7, 2: 9}, ownerless=4)], tally, 4, backward=True)
    assert times is not None
    assert [ticks(time) for time in times.backward] == [7, 0, 9, None]
    assert ticks(times.unattributed) == 4
    assert ticks(times.known_seconds) == 1 + 2 + 3 + 7 + 9 + 4


def test_the_cost_of_reading_a_clock_is_subtracted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_cpu, "now", count(step=5).__next__)
    tally = Notes((torch.add, 0), (torch.relu, 1), (torch.add, 2))
    times = row_times([lap(5, 12, 3)], tally, 3, backward=False)
    assert times is not None
    assert [ticks(time) for time in times.forward] == [0, 7, 0]


@pytest.mark.law
@given(st.lists(st.tuples(*[st.integers(0, 100)] * 3), min_size=1, max_size=20))
def test_the_middle_half_is_neither_the_quickest_nor_the_slowest_quarter(found: list[tuple[int, int, int]]) -> None:
    laps = [lap(*spent) for spent in found]
    wholes = sorted(run.total for run in laps)
    off = len(laps) // 4
    assert [run.total for run in middle_half(laps)] == wholes[off : len(wholes) - off]


@pytest.mark.parametrize(("laps", "kept"), [(1, 1), (2, 2), (3, 3), (4, 2), (7, 5), (8, 4)])
def test_all_of_few_runs_count(laps: int, kept: int) -> None:
    assert len(middle_half([lap(index) for index in range(laps)])) == kept


def test_the_total_of_a_run() -> None:
    assert lap(1, 2, derived={0: 10, 1: 20}, ownerless=100).total == 133


def test_each_call_gets_its_own_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one whenever it is read: between two readings of one call nobody else reads it."""
    monkeypatch.setattr(rows_cpu, "now", count().__next__)
    model, (given,) = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), x()
    found = time_run(lambda: model(given), lambda out: out.sum().backward())
    assert list(found.nanoseconds) == [1, 1, 1]
    assert set(found.backward_times) == {0, 1, 2, None}
    assert found.total == 3 + sum(time for time, _ in found.backward_times.values())


def test_the_cost_of_hooks_is_subtracted_for_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_cpu, "hook_cost", lambda: 2.0)
    found = lap(1, 2, derived={0: 10, 1: 1}, ownerless=7)
    assert [found.backward_nanoseconds(call, 2.0) for call in (0, 1, None, 5)] == [8.0, 0.0, 5.0, 0.0]
    monkeypatch.undo()
    monkeypatch.setattr(rows_cpu, "now", count().__next__)
    assert 1.9 < hook_cost() < 2.1
    monkeypatch.setattr(rows_cpu, "now", lambda: 7)
    assert hook_cost() == 0
