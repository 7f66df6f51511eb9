"""Rows and their sums: times, least times, what limits them, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.graph import outline
from archscope.graph.outline_lines import leaf_lines
from archscope.profiling.measurement import Samples
from archscope.profiling.timing import TimeSum, Timing, sum_times
from archscope.report import Report
from tests.profiling.timing_reports import CEILINGS, TF32_CEILINGS, Net, timing
from tests.sketches import awkward, residual_mnist, stages, trained

REPORTS = {"mnist": residual_mnist(), "stages": stages(), "awkward": awkward(), "trained": trained()}


def product(macs: int = 1000, *, of: int = 5, batch: int = 2, **more: Any) -> Report:
    """One row: batch × of × 4 bytes in, as many out."""
    net = Net(x=(batch, of))
    return net.report([net.op("mm", [net["x"]], (batch, of), macs=macs, **more)])


# ------------------------------------------------------------ one row
def test_a_row_that_is_held_by_its_products() -> None:
    """2000 FLOPs take 2 s, 80 bytes 0.8 s, a kernel 0.25 s; it took 8."""
    (row,) = timing([8.0], product(), ceilings=CEILINGS).rows
    assert (row.spent.least, row.spent.bound, row.spent.exact) == (2.0, "compute", True)
    assert (row.spent.of_roofline, row.spent.intensity) == (0.25, 25.0)
    assert (row.spent.flops_per_second, row.spent.bytes_per_second) == (250.0, 10.0)
    assert [(one.compute, one.memory, one.launch) for one in row.bounds] == [(2.0, 0.8, 0.25)]


@pytest.mark.parametrize(
    ("macs", "of", "kernels", "least", "kind"),
    [
        (1000, 5, 1, 2.0, "compute"),
        (100, 5, 1, 0.8, "memory"),
        (100, 5, 2, 0.8, "memory"),
        (100, 5, 4, 1.0, "launch"),
        (0, 5, 0, 0.8, "memory"),
        (0, 1, 0, 0.25, "launch"),
        (1000, 5, 12, 3.0, "launch"),
        (400, 5, 1, 0.8, "compute"),
    ],
)
def test_the_longest_of_three_holds_a_row(macs: int, of: int, kernels: int, least: float, kind: str) -> None:
    """A row without known kernels starts one all the same; products are named first where two are alike."""
    (row,) = timing([8.0], product(macs, of=of, kernels=kernels), ceilings=CEILINGS).rows
    assert (row.spent.least, row.spent.bound) == (pytest.approx(least), kind)
    assert row.spent.of_roofline == pytest.approx(least / 8)


def test_where_tf32_is_on_its_peak_counts() -> None:
    (row,) = timing([8.0], product(8000), ceilings=TF32_CEILINGS).rows
    assert row.spent.least == 2.0
    (row,) = timing([8.0], product(8000), ceilings=CEILINGS).rows
    assert row.spent.least == 16.0


def test_a_view_takes_nothing_at_best() -> None:
    (row,) = timing([0.5], product(0, view=True), ceilings=CEILINGS).rows
    assert row.bounds == ()
    assert (row.spent.least, row.spent.bound, row.spent.of_roofline, row.spent.exact) == (0.0, None, None, True)
    assert row.spent.seconds == 0.5


@pytest.mark.parametrize(("more", "least"), [({"unpriced": "aten.mystery"}, 0.8), ({"dtype": "float16"}, 0.8)])
def test_where_products_are_not_known_the_least_is_a_lower_bound(more: dict[str, Any], least: float) -> None:
    """The row has no price, or the device no peak for its dtype."""
    found = timing([8.0], product(**more), ceilings=CEILINGS)
    (row,) = found.rows
    assert (row.spent.least, row.spent.bound, row.spent.exact) == (least, "unknown", False)
    assert (row.spent.of_roofline, found.of_roofline) == (None, None)
    assert found.least == least


def test_what_has_no_price_has_no_flops() -> None:
    found = timing([8.0], product(unpriced="aten.mystery"), ceilings=CEILINGS)
    assert (found.rows[0].spent.flops, found.rows[0].spent.flops_per_second, found.flops_per_second) == (None,) * 3
    assert found.rows[0].spent.intensity is None
    assert found.rows[0].spent.bytes_per_second == 10.0


def test_a_row_of_a_dtype_without_a_peak_has_flops_all_the_same() -> None:
    (row,) = timing([8.0], product(dtype="float16"), ceilings=CEILINGS).rows
    assert (row.spent.flops, row.spent.flops_per_second) == (2000, 250.0)


def test_without_ceilings_nothing_is_said_of_the_least() -> None:
    found = timing([8.0], product())
    assert (found.least, found.of_roofline, found.rows[0].spent.bound, found.rows[0].spent.of_roofline) == (None,) * 4
    assert found.rows[0].spent.flops_per_second == 250.0
    assert found.points() == ()


@pytest.mark.parametrize("rows", [None, [None]])
def test_a_row_that_was_not_timed_has_no_time(rows: Any) -> None:
    (row,) = timing(rows, product(), ceilings=CEILINGS).rows
    figures = row.spent
    assert (figures.seconds, figures.total_seconds, figures.of_roofline, figures.flops_per_second) == (None,) * 4
    assert figures.bytes_per_second is None
    assert (figures.least, figures.bound) == (2.0, "compute")


def test_a_row_that_took_no_time_has_no_rate() -> None:
    (row,) = timing([0.0], product(), ceilings=CEILINGS).rows
    assert row.spent.total_seconds == 0.0
    assert (row.spent.of_roofline, row.spent.flops_per_second, row.spent.bytes_per_second) == (None, None, None)


# ------------------------------------------------------------ both passes
def derived(*, macs: int = 500) -> Report:
    """A product with a backward pass (48 bytes, no kernels known), and a function that is not."""
    net = Net(x=(2, 5))
    y = net.op("mm", [net["x"]], (2, 5), macs=1000)
    z = net.op("argmax", [y], (2, 5))
    net.derive(0, macs=macs)
    return net.report([z])


def test_a_row_has_what_derives_it() -> None:
    found = timing([8.0, 1.0], derived(), backward=[4.0, None], ceilings=CEILINGS)
    first, second = found.rows
    assert (first.spent.seconds, first.spent.backward, first.spent.total_seconds) == (8.0, 4.0, 12.0)
    assert (first.spent.flops, first.spent.moved) == (3000, 128)
    assert first.spent.least == 2.0 + 1.0
    assert len(first.bounds) == 2
    assert (second.spent.backward, second.spent.total_seconds) == (0.0, 1.0)


@pytest.mark.parametrize("backward", [(), (None, None)])
def test_where_deriving_was_not_timed_a_row_has_no_whole_time(backward: Any) -> None:
    first, second = timing([8.0, 1.0], derived(), backward=backward, ceilings=CEILINGS).rows
    assert (first.spent.seconds, first.spent.backward, first.spent.total_seconds) == (8.0, None, None)
    assert first.spent.of_roofline is None
    assert second.spent.total_seconds == 1.0


def test_rates_are_those_of_both_passes() -> None:
    found = timing([8.0, 1.0], derived(), backward=[4.0, 0.0], whole=(10.0,) * 4)
    assert found.flops_per_second == 300.0
    assert found.rows[0].spent.flops_per_second == 250.0


# ------------------------------------------------------------ sums
@pytest.mark.law
@given(st.sampled_from(sorted(REPORTS)), st.data())
def test_lines_of_any_outline_sum_to_the_same_time(name: str, data: st.DataObject) -> None:
    """Whatever is folded into ×N or cut off. Seconds and peaks are powers of two, so that sums are exact."""
    report = REPORTS[name]
    count = len(report.rows)
    seconds = [part / 2**20 for part in data.draw(st.lists(st.integers(0, 2**20), min_size=count, max_size=count))]
    backward = [second * 2 for second in seconds] if report.backward_total else []
    found = timing(seconds, report, backward=backward, ceilings=replace(CEILINGS, bandwidths=((1, 2.0**10),)))
    lines = outline(report, expand=data.draw(st.booleans()), depth=data.draw(st.sampled_from([None, 1, 2, 3])))
    for cut in (lines, [line for _, line in leaf_lines(lines)]):
        parts = [found.sum_rows(line.rows) for line in cut]
        assert sum(part.seconds or 0 for part in parts) == found.all_rows.seconds == sum(seconds)
        assert sum(part.total_seconds or 0 for part in parts) == found.all_rows.total_seconds
        assert sum(part.moved for part in parts) == found.all_rows.moved
        assert sum(part.least for part in parts) == pytest.approx(found.all_rows.least)
        assert all(part.exact for part in parts) is found.all_rows.exact
    for _, line in leaf_lines(lines):
        assert sum(share for _, share in found.sum_rows(line.rows).least_by_kind) == pytest.approx(
            found.sum_rows(line.rows).least
        )


FIRST = TimeSum(1.0, 2.0, 0.5, True, 10, 100, (("compute", 0.5),))
SECOND = TimeSum(4.0, 8.0, 3.0, True, 20, 200, (("memory", 2.0), ("compute", 1.0)))


def test_sums_by_hand() -> None:
    both = sum_times([FIRST, SECOND])
    assert both == TimeSum(5.0, 10.0, 3.5, True, 30, 300, (("compute", 1.5), ("memory", 2.0)))
    assert (both.total_seconds, both.bound, both.intensity) == (15.0, "memory", 0.1)
    assert both.of_roofline == pytest.approx(3.5 / 15)


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        ({"seconds": None}, ["seconds", "total_seconds", "of_roofline", "flops_per_second", "bytes_per_second"]),
        ({"backward": None}, ["backward", "total_seconds", "of_roofline", "flops_per_second", "bytes_per_second"]),
        ({"flops": None}, ["flops", "flops_per_second", "intensity"]),
        ({"exact": False}, ["of_roofline"]),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_sum_with_an_unknown_part_is_not_known(change: dict[str, Any], unknown: list[str], first: bool) -> None:
    other = replace(SECOND, **change)
    both = sum_times([other, FIRST] if first else [FIRST, other])
    names = ["seconds", "backward", "total_seconds", "of_roofline", "flops", "flops_per_second", "bytes_per_second"]
    assert [name for name in [*names, "intensity"] if getattr(both, name) is None] == unknown
    assert both.least == 3.5


def test_the_sum_of_nothing_is_nothing() -> None:
    assert sum_times([]) == TimeSum()
    assert (TimeSum().bound, TimeSum().of_roofline, TimeSum().flops_per_second, TimeSum().intensity) == (None,) * 4


# ------------------------------------------------------------ the whole
def test_a_timing_by_hand() -> None:
    """Two rows of 2 and 0.8 s at best, which took 8 and 1 of 10."""
    net = Net(x=(2, 5))
    y = net.op("relu", [net.op("mm", [net["x"]], (2, 5), macs=1000)], (2, 5))
    found = timing([8.0, 1.0], net.report([y]), whole=(9.0, 10.0, 10.0, 11.0), ceilings=CEILINGS)
    assert (found.seconds, found.throughput, found.flops_per_second) == (10.0, 0.2, 200.0)
    assert found.least == pytest.approx(2.8)
    assert found.of_roofline == pytest.approx(0.28)
    assert found.accounted == pytest.approx(0.9)
    assert found.between_rows == pytest.approx(1.0)
    assert (found.optimizer_seconds, found.optimizer_least) == (0.0, 0.0)


def test_what_was_not_timed_is_not_accounted_for() -> None:
    net = Net(x=(2, 5))
    y = net.op("relu", [net.op("mm", [net["x"]], (2, 5), macs=1000)], (2, 5))
    found = timing([8.0, None], net.report([y]), ceilings=CEILINGS)
    assert found.all_rows.seconds is None
    assert found.accounted == pytest.approx(0.8)


def test_the_time_of_no_row_is_accounted_for() -> None:
    found = timing([4.0, 1.0], derived(), backward=[2.0, 0.0], ownerless=1.0)
    assert found.accounted == pytest.approx(0.8)
    assert found.between_rows == pytest.approx(2.0)


def test_rows_may_take_longer_than_the_run_that_nobody_watches() -> None:
    found = timing([12.0], product())
    assert found.accounted == pytest.approx(1.2)
    assert found.between_rows == pytest.approx(-2.0)


@pytest.mark.parametrize("rows", [None, [8.0]])
def test_where_the_whole_is_not_known_its_shares_are_not(rows: Any) -> None:
    found = timing(rows, product(), whole=None, ceilings=CEILINGS)
    assert (found.seconds, found.throughput, found.flops_per_second, found.of_roofline) == (None,) * 4
    assert (found.accounted, found.between_rows) == (None, None)
    assert found.least == 2.0


def test_without_rows_the_whole_is_held_against_the_least_all_the_same() -> None:
    found = timing(None, product(), ceilings=CEILINGS)
    assert (found.accounted, found.between_rows, found.fusible) == (None, None, ())
    assert found.of_roofline == pytest.approx(0.2)


@pytest.mark.parametrize(("batch", "throughput"), [(1, 0.1), (2, 0.2), (64, 6.4)])
def test_throughput_counts_examples(batch: int, throughput: float) -> None:
    assert timing(None, product(batch=batch)).throughput == pytest.approx(throughput)


def test_where_inputs_disagree_on_the_batch_runs_are_counted() -> None:
    net = Net(x=(2, 5), y=(3, 5))
    report = net.report([net.op("mm", [net["x"], net["y"]], (2, 5))])
    assert report.batch is None
    assert timing(None, report).throughput == pytest.approx(0.1)


# ------------------------------------------------------------ an optimizer
def stepped(optimizer: str | None) -> Timing:
    """100 bytes to train: 25 parameters, 5 tied ones, 10 frozen ones."""
    net = Net(x=(2, 5))
    net.param("weight", (5, 5))
    net.param("again", (5,), tied_to="weight")
    net.param("frozen", (10,), trainable=False)
    y = net.op("mm", [net["x"]], (2, 5), macs=1000, params=["weight"])
    net.derive(0)
    parts = (("forward", Samples((1.0,))), ("optimizer", Samples((2.0, 4.0, 3.0))))
    options = (("optimizer", optimizer),)
    return timing([4.0], net.report([y]), backward=[1.0], parts=parts, options=options, ceilings=CEILINGS)


@pytest.mark.parametrize(
    ("optimizer", "least"), [("sgd", 3.0), ("momentum", 5.0), ("adam", 7.0), ("adamw", 7.0), (None, 0.0)]
)
def test_an_optimizer_moves_parameters_gradients_and_states(optimizer: str | None, least: float) -> None:
    found = stepped(optimizer)
    assert found.optimizer_least == pytest.approx(least)
    assert found.least == pytest.approx(found.all_rows.least + least)


def test_an_optimizer_is_accounted_for() -> None:
    found = stepped("adamw")
    assert found.optimizer_seconds == 3.0
    assert found.accounted == pytest.approx((4.0 + 1.0 + 3.0) / 10)
    assert found.between_rows == pytest.approx(2.0)


# ------------------------------------------------------------ the picture
def test_points_are_rows_with_time_and_flops() -> None:
    net = Net(x=(2, 5))
    y = net.op("mm", [net["x"]], (2, 5), macs=1000)
    y = net.op("relu", [y], (2, 5))
    y = net.op("view", [y], (10,), view=True)
    y = net.op("untimed", [y], (10,))
    y = net.op("mystery", [y], (10,), unpriced="aten.mystery")
    points = timing([8.0, 2.0, 1.0, None, 4.0], net.report([y]), ceilings=CEILINGS).points()
    named = [(point.name, point.bound, point.seconds) for point in points]
    assert named == [("0 mm", "compute", 8.0), ("1 relu", "memory", 2.0)]
    assert [(point.intensity, point.flops_per_second, point.bytes_per_second) for point in points] == [
        (25.0, 250.0, 10.0),
        (0.0, 0.0, 40.0),
    ]
    assert {point.dtype for point in points} == {"float32"}
