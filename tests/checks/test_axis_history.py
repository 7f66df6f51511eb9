"""Tests of axis histories: the changes of a size back to the fork, where each change begins with the size of the one
before."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random

import pytest
import torch
from torch import Tensor, nn

from archscope.conflicts.axis_history import AxisHistory
from archscope.trace import Location, Mismatch, Operand, Trace
from archscope.trace_index import TraceIndex
from tests.record.runs import traced
from tests.sketches import Sketch, conv, residual, same

pytestmark = pytest.mark.moves_rng


def chain(dice: Random, channels: int = 4) -> nn.Sequential:
    """Layers that keep, change and set sizes."""
    layers: list[nn.Module] = []
    for _ in range(dice.randint(2, 7)):
        width = dice.randint(2, 6)
        layer, channels = dice.choice(
            [
                (nn.Conv2d(channels, width, 3, stride=dice.randint(1, 2), padding=dice.randint(0, 1)), width),
                (nn.Conv2d(channels, channels, 1), channels),
                (nn.MaxPool2d(2), channels),
                (nn.AvgPool2d(3, 1, 1), channels),
                (nn.BatchNorm2d(channels), channels),
                (nn.Upsample(scale_factor=2), channels),
                (nn.ReLU(), channels),
            ]
        )
        layers.append(layer)
    return nn.Sequential(*layers)


def end(trace: Trace) -> Operand:
    return trace.outputs[0]


def run(seed: int) -> Trace:
    return traced(chain(Random(seed)), torch.zeros(2, 4, 64, 64))


SEEDS = range(25)


# ------------------------------------------------------------ changes
@pytest.mark.law
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_every_change_takes_up_where_the_one_before_it_ended(seed: int, axis: int) -> None:
    trace = run(seed)
    changes = AxisHistory(TraceIndex(trace)).changes(end(trace), [axis])
    sizes = [(before, after) for change in changes for _, before, after in change.axes]
    assert all(left[1] == right[0] for left, right in pairwise(sizes))
    if sizes:
        assert sizes[-1][1] == end(trace).value.shape[axis]
    if sizes and axis != 1:  # a convolution sets its channels, whatever came before
        assert sizes[0][0] == trace.inputs[0].value.shape[axis]


@pytest.mark.law
@pytest.mark.parametrize("seed", SEEDS)
def test_the_steps_that_changed_a_size_are_all_there_in_the_order_of_the_run(seed: int) -> None:
    trace = run(seed)
    lineage = AxisHistory(TraceIndex(trace))
    for axis in (0, 2, 3):
        changed = [change.row.index for change in lineage.changes(end(trace), [axis]) if change.changed]
        assert changed == [
            row.index for row in trace.rows if row.inputs[0].value.shape[axis] != row.outputs[0].shape[axis]
        ]


@pytest.mark.law
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_before_the_fork_is_told(seed: int) -> None:
    trace = run(seed)
    lineage = AxisHistory(TraceIndex(trace))
    everything = lineage.changes(end(trace), [1, 2, 3])
    for since in range(-1, len(trace.rows)):
        later = lineage.changes(end(trace), [1, 2, 3], since=since)
        assert [change.row.index for change in later] == [c.row.index for c in everything if c.row.index > since]


def test_windows_that_keep_a_size_are_told_and_norms_are_not() -> None:
    trace = traced(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()), torch.zeros(1, 4, 8, 8))
    (change,) = AxisHistory(TraceIndex(trace)).changes(end(trace), [2])
    assert (change.row.short_name, change.axes, change.changed, change.is_resizable) == (
        "conv2d",
        ((2, 8, 8),),
        False,
        True,
    )


class Joined(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x[:, :2], x.relu()], 1)
        return y.flatten(2).transpose(1, 2)


def test_axes_are_followed_through_joins_views_and_permutations() -> None:
    trace = traced(Joined(), torch.zeros(1, 4, 6, 8))
    lineage = AxisHistory(TraceIndex(trace))
    channels = lineage.changes(end(trace), [2])
    assert [(change.row.short_name, change.axes) for change in channels] == [
        ("getitem", ((1, 4, 2),)),
        ("cat", ((1, None, 6),)),
        ("transpose", ((2, 6, 6),)),
    ]
    pixels, moved = lineage.changes(end(trace), [1])
    assert moved.row.short_name == "transpose"
    assert (pixels.row.short_name, pixels.axes) == ("flatten", ((2, None, 48),))


# ------------------------------------------------------------ forks
class Tangled(nn.Module):
    """Random sums of earlier values."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def forward(self, x: Tensor) -> Tensor:
        dice, known = Random(self.seed), [x]
        for _ in range(8):
            one = dice.choice(known[-4:])
            known.append(one + dice.choice(known[-4:]) if dice.random() < 0.4 else one.relu())
        return known[-1]


@pytest.mark.law
@pytest.mark.parametrize("seed", SEEDS)
def test_the_fork_is_the_last_value_that_all_come_from(seed: int) -> None:
    trace = traced(Tangled(seed), torch.zeros(3))
    lineage = AxisHistory(TraceIndex(trace))
    values = [*trace.inputs, *(Operand(row.path, row.outputs[0]) for row in trace.rows)]
    for pair in combinations(values, 2):
        above = [{value.value.id for value in values if reaches(trace, value, one)} for one in pair]
        common = [at for at, value in enumerate(values) if value.value.id in above[0] & above[1]]
        assert lineage.fork(pair) == max(common) - 1


def reaches(trace: Trace, start: Operand, goal: Operand) -> bool:
    """Return whether a value goes into another, by a forward search."""
    reached = {start.value.id}
    for row in trace.rows:
        if any(operand.value.id in reached for operand in row.inputs):
            reached |= {value.id for value in row.outputs}
    return goal.value.id in reached


def test_values_without_a_common_origin_have_no_fork() -> None:
    net = Sketch("net.py:Net", x=(1, 4), y=(1, 4))
    left, right = same(net, "0", "ReLU", net["x"]), same(net, "1", "ReLU", net["y"])
    lineage = AxisHistory(TraceIndex(net.trace([left, right])))
    assert lineage.fork([left, right]) is None
    assert lineage.fork([left, net["x"]]) == -1
    assert lineage.fork([left, left]) == 0


def test_weights_do_not_flow() -> None:
    net = Sketch("net.py:Net", x=(1, 4, 8, 8))
    y = conv(net, "0", net["x"], 4, 3)
    lineage = AxisHistory(TraceIndex(net.trace([y])))
    (row,) = lineage.trace.rows
    assert len(row.inputs) == 2
    assert lineage.index.activations(row) == (net["x"],)


# ------------------------------------------------------------ what follows from what
@pytest.mark.parametrize(
    ("axes", "asked", "follows"),
    [((1,), [1], True), ((1,), [2, 3], False), ((2, 3), [1], False), ((2, 3), [3], True), ((), [1], True)],
)
def test_a_conflict_on_another_axis_is_not_the_cause(axes: tuple[int, ...], asked: list[int], follows: bool) -> None:
    net = Sketch("net.yaml", x=(1, 4, 8, 8))
    y = residual(net, "0", net["x"], 4)
    trace = net.trace([y])
    added = next(row for row in trace.rows if row.path == "0.add")
    broken = Mismatch(Location("0.add", "main + prev", "step"), "add", "add", added.inputs[:2], axes, row=added.index)
    lineage = AxisHistory(TraceIndex(trace))
    assert lineage.follows_conflict(y, asked, {added.index: broken}) is follows
    assert not lineage.follows_conflict(y, asked, {added.index: broken}, since=added.index)
    assert not lineage.follows_conflict(y, asked, {})
