"""`ops.axis_map` against torch: an input that counts along one axis gives an output that varies along its image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.checks.lint import lint
from archscope.ops.axis_map import AXIS_RULES, axis_map
from archscope.trace import Row

SHAPE = (2, 6, 4, 5)
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "permute": lambda x: x.permute(0, 2, -1, 1),
    "permute all": lambda x: torch.permute(x, (3, 2, 1, 0)),
    "transpose": lambda x: x.transpose(1, -1),
    "swapaxes": lambda x: x.swapaxes(0, 2),
    "swapdims": lambda x: torch.swapdims(x, 2, 3),
    "mT": lambda x: x.mT,
    "adjoint": lambda x: x.adjoint(),
    "flatten": lambda x: x.flatten(1),
    "flatten some": lambda x: x.flatten(1, 2),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "view": lambda x: x.view(2, 6, 20),
    "view across": lambda x: x.view(4, 3, 20),
    "reshape": lambda x: x.reshape(12, 2, 2, 5),
    "ravel": lambda x: x.ravel(),
    "view_as": lambda x: x.view_as(torch.zeros(2, 6, 20)),
    "reshape_as": lambda x: x.reshape_as(torch.zeros(12, 4, 5)),
    "expand_as": lambda x: x.expand_as(torch.zeros(3, *SHAPE)),
    "select": lambda x: x.select(-2, 1),
    "narrow": lambda x: x.narrow(1, 2, 3),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split(2, -1)[0],
    "tensor_split": lambda x: x.tensor_split(3, 1)[2],
    "unbind": lambda x: x.unbind(2)[3],
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "unsqueeze between": lambda x: x.unsqueeze(2),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "squeeze all": lambda x: x[:, None, :, None].squeeze(),
    "squeeze some": lambda x: x[:, None, :, None].squeeze((1, -3)),
    "stack": lambda x: torch.stack([x, x], 1),
    "stack last": lambda x: torch.stack([x, x], -1),
    "stack last but one": lambda x: torch.stack([x, x], -2),
    "cat": lambda x: torch.cat([x, x], 2),
    "expand": lambda x: x.expand(3, *SHAPE),
    "broadcast_to": lambda x: torch.broadcast_to(x, (3, 2, *SHAPE)),
    "an integer": lambda x: x[:, 2],
    "slices": lambda x: x[:, ::2, 1:],
    "an ellipsis": lambda x: x[..., None, 1],
    "a new axis": lambda x: x[:, None, :, -1],
    "a negative integer": lambda x: x[-1, 1:, ..., :3],
}


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def last_row(function: Callable[[Tensor], Tensor]) -> Row:
    return archscope.summarize(Function(function), SHAPE).trace.rows[-1]


def varying_axes(values: Tensor) -> set[int]:
    """Return the axes along which values differ."""
    return {axis for axis in range(values.dim()) if bool((values != values.narrow(axis, 0, 1)).any())}


@pytest.mark.parametrize("name", CALLS)
def test_an_axis_goes_where_its_values_go(name: str) -> None:
    function = CALLS[name]
    row = last_row(function)
    shape, out = row.inputs[0].value.shape, tuple(function(torch.zeros(SHAPE)).shape)
    where = axis_map(row, shape, out)
    assert where is not None
    before = [axis for axis, size in enumerate(shape) if size > 1]  # axes of size 1 were inserted by the test
    for axis, size in enumerate(SHAPE):
        counted = torch.arange(size).view(*(size if axis == one else 1 for one in range(4))).expand(SHAPE).clone()
        image = {one for one in where.get(before[axis], ()) if out[one] > 1}
        assert varying_axes(function(counted)) <= image
        assert image == varying_axes(function(counted)) or name == "view across"  # known together only


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, torch.tensor([0, 2])],
        lambda x: x[x > 0],
        lambda x: x.relu(),
        partial(torch.movedim, source=1, destination=-1),
        lambda x: x.mean(1),
    ],
)
def test_what_does_not_say_where_axes_go_has_no_map(function: Callable[[Tensor], Tensor]) -> None:
    row = last_row(function)
    assert axis_map(row, SHAPE, row.outputs[0].shape) is None


def test_a_transpose_of_fewer_than_two_axes_moves_nothing() -> None:
    class Scalar(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.sum().t()

    report = archscope.summarize(Scalar(), SHAPE)
    row = next(row for row in report.trace.rows if row.short_name == "t")
    assert axis_map(row, (), ()) == {}
    assert lint(report) == ()


def test_every_function_of_the_table_is_a_function_of_torch() -> None:
    known = {*dir(torch.Tensor), *dir(torch), "pad", "getitem"}
    assert [name for name in AXIS_RULES if name not in known] == []
