"""Tests of axis origins: they explain the size, and changing an axis changes exactly the axes that come from it.

module, input → rows → axis_origins(OutputAxis(…))        a longer input axis → the output axes that come from it
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import archscope
from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.axis_origins import ORIGIN_RULES, OutputAxis, axis_groups, axis_origins
from archscope.trace import Operand, Row, Trace, Value
from archscope.trace_index import TraceIndex
from tests.record.runs import traced

pytestmark = pytest.mark.moves_rng

Function = Callable[[Tensor], Tensor]
SHAPE = (2, 6, 8, 10)

STEPS: dict[str, Function] = {
    "conv2d": nn.Conv2d(6, 4, 3, padding=1),
    "conv2d, one image": lambda x: F.conv2d(x[0], torch.zeros(4, 6, 3, 3)),
    "conv2d, stride": nn.Conv2d(6, 6, 3, stride=2),
    "conv1d": lambda x: F.conv1d(x[..., 0], torch.zeros(4, 6, 3)),
    "conv_transpose2d": nn.ConvTranspose2d(6, 3, 2, stride=2),
    "max_pool2d": nn.MaxPool2d(2),
    "avg_pool2d": nn.AvgPool2d(3, 1, 1),
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d((1, 3)),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x[0], 5),
    "batch_norm": nn.BatchNorm2d(6),
    "layer_norm": nn.LayerNorm(10),
    "relu": nn.ReLU(),
    "linear": nn.Linear(10, 7),
    "add": lambda x: x + x.relu(),
    "add, broadcast": lambda x: x.mean((2, 3), keepdim=True) + x,
    "add, number": lambda x: x + 1,
    "mul, gate": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "cat": lambda x: torch.cat([x, x.relu()], 1),
    "cat, last": lambda x: torch.cat([x, x.relu()], -1),
    "stack": lambda x: torch.stack([x, x], 2),
    "matmul": lambda x: x @ x.transpose(-2, -1),
    "matmul, vector": lambda x: x @ x[0, 0, 0],
    "attention": lambda x: F.scaled_dot_product_attention(x, x[:, :, :5], x[:, :, :5, 2:]),
    "t": lambda x: x[0, 0].t(),
    "mT": lambda x: x.mT,
    "embedding": lambda x: F.embedding(x.long(), torch.zeros(4, 5)),
    "flatten": lambda x: x.flatten(1),
    "flatten, all": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "view, split": lambda x: x.view(2, 3, 2, 80),
    "reshape, merged": lambda x: x.reshape(12, 8, 10),
    "ravel": lambda x: x.ravel(),
    "view_as": lambda x: x.view_as(torch.zeros(12, 8, 10)),
    "adjoint": lambda x: x.adjoint(),
    "tensor_split": lambda x: x.tensor_split(2, dim=1)[1],
    "expand": lambda x: x.mean(1, keepdim=True).expand(-1, 7, -1, -1),
    "transpose": lambda x: x.transpose(1, 3),
    "transpose, from the end": lambda x: x.transpose(-1, -3),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "permute, from the end": lambda x: x.permute(0, -1, 1, 2),
    "mean": lambda x: x.mean((2, 3)),
    "mean, kept": lambda x: x.mean((2, 3), keepdim=True),
    "mean, one": lambda x: x.mean(1),
    "sum, last": lambda x: x.sum(-1),
    "squeeze": lambda x: x.mean(2, keepdim=True).squeeze(2),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze, last": lambda x: x.unsqueeze(-1),
    "select": lambda x: x.select(1, 0),
    "getitem": lambda x: x[:, 0],
    "getitem, slice": lambda x: x[:, :, 1:],
    "getitem, new": lambda x: x[:, None],
    "getitem, last": lambda x: x[..., 0],
    "getitem, all sorts": lambda x: x[:, 0, None, ..., ::2],
    "getitem, tensor": lambda x: x[:, torch.tensor([0, 1])],
    "chunk": lambda x: x.chunk(2, dim=1)[1],
    "narrow": lambda x: x.narrow(3, 0, 5),
    "pad": lambda x: F.pad(x, (1, 2)),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2.0),
    "softmax": lambda x: x.softmax(1),
    "unbind": lambda x: x.unbind(1)[0],
}


class Step(nn.Module):
    def __init__(self, function: Function):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def run(name: str, shape: tuple[int, ...] = SHAPE) -> Trace:
    return traced(Step(STEPS[name]), torch.zeros(shape))


def made(trace: Trace) -> list[OutputAxis]:
    """Yield every axis of every output."""
    lineage = AxisHistory(TraceIndex(trace))
    return [
        OutputAxis(row, lineage.index.activations(row), value.shape, axis)
        for row in trace.rows
        for value in row.outputs
        for axis in range(len(value.shape))
    ]


# ------------------------------------------------------------ laws
@pytest.mark.parametrize("name", STEPS)
def test_origins_are_axes_of_what_the_row_reads(name: str) -> None:
    for one in made(run(name)):
        for operand, axis in axis_origins(one):
            assert operand in one.operands
            assert 0 <= axis < len(operand.value.shape)


KEPT = ("batch_norm", "layer_norm", "relu", "transpose", "permute", "select", "unsqueeze", "unbind", "softmax", "mean")
"""Functions that make no size: every axis is one of an operand's, or new."""


@pytest.mark.parametrize("name", STEPS)
def test_what_makes_no_size_keeps_that_of_the_origin(name: str) -> None:
    for one in made(run(name)):
        found = axis_origins(one)
        if one.row.short_name in KEPT and found:
            ((operand, axis),) = found
            assert operand.value.shape[axis] == one.shape[one.axis]
        if one.row.short_name in ("view", "reshape", "flatten", "unflatten"):
            assert prod(operand.value.shape[axis] for operand, axis in found) % one.shape[one.axis] == 0


WRITTEN = ("unflatten", "view_as", "view, split", "reshape, merged", "narrow")
"""Steps whose sizes are written, so that a longer input is another number of elements."""


def reached(trace: Trace) -> set[tuple[int, int]]:
    """Return the pairs (input axis, output axis) that the origins connect."""
    lineage, (start,), (end,) = AxisHistory(TraceIndex(trace)), trace.inputs, trace.outputs
    found = set()
    for axis in range(len(end.value.shape)):
        steps = list(lineage.steps(end, [axis]))
        ends = {(source.value.id, where) for _, _, _, sources in steps for source, where in sources}
        found |= {(where, axis) for value, where in ends if value == start.value.id}
    return found


@pytest.mark.parametrize("name", [name for name in STEPS if name not in WRITTEN])
@pytest.mark.parametrize("axis", range(len(SHAPE)))
def test_a_longer_axis_makes_those_longer_that_come_from_it(name: str, axis: int) -> None:
    """No others, and each of them; where the layer does not fit any more, the run goes on as it was meant."""
    trace = run(name)
    before = trace.outputs[0].value.shape
    after = run(name, tuple(2 * size if at == axis else size for at, size in enumerate(SHAPE))).outputs[0].value.shape
    grown = {at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
    assert grown == {out for inner, out in reached(trace) if inner == axis}


def test_every_rule_is_tried() -> None:
    """But for those that are like another."""
    names = {row.short_name for name in STEPS for row in run(name).rows}
    rules: dict[str, set[str]] = {}
    for name, rule in ORIGIN_RULES.items():
        rules.setdefault(getattr(rule, "__qualname__", ""), set()).add(name)
    assert [name for name in rules.values() if not name & names] == []


# ------------------------------------------------------------ views
FACTORS = st.lists(st.sampled_from([1, 2, 3, 5]), min_size=1, max_size=6)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of one size: the same factors, put together in two ways."""
    factors = draw(FACTORS)
    return tuple(regrouped(draw, factors)), tuple(regrouped(draw, factors))


def regrouped(draw: st.DrawFn, factors: list[int]) -> list[int]:
    made = [factors[0]]
    for factor in factors[1:]:
        if draw(st.booleans()):
            made[-1] *= factor
        else:
            made.append(factor)
    return made


@pytest.mark.law
@given(cuts())
def test_groups_hold_every_axis_once_and_have_equal_products(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    old, new = pair
    found = axis_groups(old, new)
    assert [axis for before, _ in found for axis in before] == list(range(len(old)))
    assert [axis for _, after in found for axis in after] == list(range(len(new)))
    for before, after in found:
        assert prod(old[axis] for axis in before) == prod(new[axis] for axis in after)


@pytest.mark.law
@given(cuts())
def test_groups_are_as_small_as_can_be(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """No beginning of a group on one side is as large as one on the other, but for sizes of 1."""
    old, new = pair
    for before, after in axis_groups(old, new):
        left, right = (
            [prod(s[axis] for axis in g[:n]) for n in range(1, len(g))] for s, g in ((old, before), (new, after))
        )
        assert not {n for n in left if n > 1} & {n for n in right if n > 1} - {prod(old[axis] for axis in before)}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ((1, 16, 5, 5), (1, 400), [([0], [0]), ([1, 2, 3], [1])]),
        ((2, 6, 10), (2, 2, 3, 10), [([0], [0]), ([1], [1, 2]), ([2], [3])]),
        ((4, 6), (6, 4), [([0, 1], [0, 1])]),
        ((3,), (3, 1), [([0], [0]), ([], [1])]),
        ((), (1,), [([], [0])]),
    ],
)
def test_groups(old: tuple[int, ...], new: tuple[int, ...], found: list[tuple[list[int], list[int]]]) -> None:
    assert axis_groups(old, new) == found


# ------------------------------------------------------------ what is not known
def test_an_unknown_function_follows_the_operand_of_that_size() -> None:
    x, table = (Operand(name, torch_value(number, shape)) for number, (name, shape) in enumerate(DOORS.items()))
    row = Row(0, "0", "odd", "torch.odd", -1, (x, table), (torch_value(2, (4, 5)),), short_name="odd")
    assert axis_origins(OutputAxis(row, (x, table), (4, 5), 0)) == [(x, 0)]
    assert axis_origins(OutputAxis(row, (x, table), (4, 5), 1)) == [(table, 0)]
    assert axis_origins(OutputAxis(row, (x, table), (4, 9), 1)) == []
    assert axis_origins(OutputAxis(row, (), (4, 5), 0)) == ()


DOORS = {"x": (4, 7), "table": (5,)}


def torch_value(number: int, shape: tuple[int, ...]) -> Value:
    return Value(number, shape, "float32", 4 * prod(shape))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv1d(4, 4, (2, 2)), nn.ReLU()],  # the kernel has two sizes
        [nn.Conv2d(8, 4, 2), nn.AvgPool1d(3), nn.ZeroPad3d(2)],
        [nn.LayerNorm((2, 2)), nn.ReLU()],
    ],
    ids=str,
)
def test_a_layer_makes_a_rank_without_axis_names(layers: list[nn.Module]) -> None:
    shape = () if isinstance(layers[0], nn.LayerNorm) else (2, 8)
    report = archscope.summarize(nn.Sequential(*layers), input=shape)
    assert next(finding.path for finding in report.findings if finding.level == "error") == "0"
