"""The time that fusion would save: chains, additions, and rows that cannot be fused, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.profiling.fusion import FUSIBLE_ELEMENTWISE, FUSIBLE_NORMS, FusibleRows, find_fusible, fusion_savings
from archscope.report import Report
from tests.profiling.timing_reports import CEILINGS, Net, timing
from tests.sketches import residual_mnist

IMAGE = (1, 2, 4, 4)
"""128 bytes."""


def saved(report: Report, *seconds: float | None) -> dict[int, float]:
    return dict(fusion_savings(report, seconds))


def chain(*names: str, outputs: tuple[int, ...] = ()) -> Report:
    """A convolution, and functions one after the other."""
    net = Net(x=IMAGE)
    made = [net.op("conv2d", [net["x"]], IMAGE, macs=100)]
    for name in names:
        made.append(net.op(name, [made[-1]], IMAGE))
    return net.report([made[-1], *(made[at] for at in outputs)])


# ------------------------------------------------------------ fusible rows
def test_a_norm_and_an_activation_go_with_the_convolution() -> None:
    report = chain("batch_norm", "relu")
    assert saved(report, 10.0, 4.0, 2.0) == {1: 4.0, 2: 2.0}
    assert find_fusible(report, [10.0, 4.0, 2.0]) == (
        FusibleRows("norms", 4.0, (1,)),
        FusibleRows("element-wise operations", 2.0, (2,)),
    )


def test_kinds_stand_by_what_would_go() -> None:
    found = find_fusible(chain("batch_norm", "relu", "mul", "layer_norm"), [10.0, 1.0, 2.0, 3.0, 0.5])
    assert [(one.kind, one.seconds, one.rows) for one in found] == [
        ("element-wise operations", 5.0, (2, 3)),
        ("norms", 1.5, (1, 4)),
    ]


def test_reading_the_weights_of_a_norm_stays() -> None:
    """128 bytes in, 128 out, 2 × 32 of weights: a fifth is left."""
    net = Net(x=IMAGE)
    names = [net.param(name, (8,)) for name in ("weight", "bias")]
    y = net.op("batch_norm", [net.op("conv2d", [net["x"]], IMAGE)], IMAGE, params=names)
    assert saved(net.report([y]), 10.0, 5.0) == {1: pytest.approx(4.0)}


def test_of_a_residual_addition_two_thirds_go() -> None:
    net = Net(x=IMAGE)
    y = net.op("add", [net.op("conv2d", [net["x"]], IMAGE), net["x"]], IMAGE)
    assert saved(net.report([y]), 10.0, 3.0) == {1: pytest.approx(2.0)}


def test_an_addition_goes_with_what_was_made_last() -> None:
    """The shortcut was made first, and is read again: the addition goes with the convolution."""
    net = Net(x=IMAGE)
    shortcut = net.op("conv2d", [net["x"]], IMAGE)
    main = net.op("conv2d", [shortcut], IMAGE)
    assert saved(net.report([net.op("add", [shortcut, main], IMAGE)]), 1.0, 1.0, 3.0) == {2: pytest.approx(2.0)}


def test_a_broadcast_operand_is_read_all_the_same() -> None:
    """128 bytes in and out, 8 of a scale."""
    net = Net(x=IMAGE, scale=(1, 2, 1, 1))
    y = net.op("mul", [net.op("conv2d", [net["x"]], IMAGE), net["scale"]], IMAGE)
    assert saved(net.report([y]), 1.0, 26.4) == {1: pytest.approx(25.6)}


def test_a_function_that_writes_its_operand_goes_too() -> None:
    assert saved(chain("relu_", "add_"), 1.0, 2.0, 3.0) == {1: 2.0, 2: 3.0}


def test_squaring_reads_one_value() -> None:
    """A price counts what is read twice once."""
    net = Net(x=IMAGE)
    y = net.op("conv2d", [net["x"]], IMAGE)
    z = net.op("mul", [y, y], IMAGE)
    net.costs[-1] = replace(net.costs[-1], read=128)
    assert saved(net.report([z]), 1.0, 3.0) == {1: 3.0}


@pytest.mark.parametrize("name", sorted(FUSIBLE_NORMS | FUSIBLE_ELEMENTWISE))
def test_every_norm_and_element_wise_operation_may_be_fused(name: str) -> None:
    assert saved(chain(name), 1.0, 2.0) == {1: 2.0}
    (group,) = find_fusible(chain(name), [1.0, 2.0])
    assert group.kind == ("norms" if name in FUSIBLE_NORMS else "element-wise operations")


# ------------------------------------------------------------ other rows
@pytest.mark.parametrize("name", ["conv2d", "linear", "softmax", "max_pool2d", "cat", "sum", "embedding"])
def test_all_else_stays(name: str) -> None:
    assert saved(chain(name), 1.0, 2.0) == {}
    assert find_fusible(chain(name), [1.0, 2.0]) == ()


def test_a_value_that_is_read_twice_must_be_written() -> None:
    net = Net(x=IMAGE)
    y = net.op("conv2d", [net["x"]], IMAGE)
    z = net.op("relu", [y], IMAGE)
    report = net.report([net.op("cat", [y, z], (1, 4, 4, 4))])
    assert saved(report, 1.0, 2.0, 3.0) == {}


def test_a_value_that_is_given_must_be_written() -> None:
    assert saved(chain("batch_norm", "relu", outputs=(1,)), 1.0, 2.0, 3.0) == {1: 2.0}


def test_an_input_was_made_by_nobody() -> None:
    net = Net(x=IMAGE)
    assert saved(net.report([net.op("relu", [net["x"]], IMAGE)]), 1.0) == {}


def test_nothing_is_fused_with_a_view() -> None:
    net = Net(x=IMAGE)
    y = net.op("view", [net.op("conv2d", [net["x"]], IMAGE)], (1, 32), view=True)
    assert saved(net.report([net.op("layer_norm", [y], (1, 32))]), 1.0, 0.0, 2.0) == {}


def test_a_view_is_not_fused_itself() -> None:
    net = Net(x=IMAGE)
    y = net.op("dropout", [net.op("conv2d", [net["x"]], IMAGE)], IMAGE, view=True)
    assert saved(net.report([y]), 1.0, 0.5) == {}


def test_what_is_larger_than_its_operand_is_not_fused_with_it() -> None:
    net = Net(x=IMAGE, scale=(1, 2, 1, 1))
    gate = net.op("linear", [net["scale"]], (1, 2, 1, 1))
    assert saved(net.report([net.op("mul", [net["x"], gate], IMAGE)]), 1.0, 2.0) == {}


def test_a_row_without_a_time_saves_nothing_that_is_known() -> None:
    assert saved(chain("batch_norm", "relu"), 1.0, None, 2.0) == {2: 2.0}


def test_a_timing_asks_for_the_forward_pass() -> None:
    report = chain("relu")
    assert timing([1.0, 2.0], report).fusible == (FusibleRows("element-wise operations", 2.0, (1,)),)
    assert timing(None, report, ceilings=CEILINGS).fusible == ()


# ------------------------------------------------------------ properties
def renamed(report: Report) -> Report:
    """The tutorial's net, with short names as a run gives them."""
    for row in report.trace.rows:
        assert row.short_name == ""
    rows = tuple(row._replace(short_name=row.op.lower()) for row in report.trace.rows)
    return replace(report, trace=replace(report.trace, rows=rows))


NET = renamed(residual_mnist())


@pytest.mark.law
@given(st.lists(st.none() | st.floats(0, 1e3), min_size=len(NET.rows), max_size=len(NET.rows)))
def test_no_row_saves_more_than_it_took(seconds: list[float | None]) -> None:
    found = saved(NET, *seconds)
    for index, gone in found.items():
        took = seconds[index]
        assert took is not None
        assert 0 <= gone <= took
    groups = find_fusible(NET, seconds)
    assert sum(group.seconds for group in groups) == pytest.approx(sum(found.values()))
    assert sorted(index for group in groups for index in group.rows) == sorted(found)
    assert [group.seconds for group in groups] == sorted((group.seconds for group in groups), reverse=True)
