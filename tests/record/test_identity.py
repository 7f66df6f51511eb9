"""A shared parameter or module is counted once, however often it is named, called or hidden."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archscope
from archscope.report import Report
from tests.record.operations import FunctionModule
from tests.record.runs import Holds

pytestmark = pytest.mark.moves_rng

X = torch.ones(2, 4)


def summary(model: nn.Module, x: Any = X) -> Report:
    return archscope.summarize(model, args=(x,))


def paths(report: Report) -> list[str]:
    return [row.path for row in report.trace.rows]


def ties(report: Report) -> list[tuple[str, str]]:
    return [(param.name, param.tied_to) for param in report.trace.params if param.tied_to]


def test_a_module_called_three_times_has_three_rows_and_its_weights_once() -> None:
    report = summary(Holds(lambda m, x: m.fc(m.fc(m.fc(x))), fc=nn.Linear(4, 4)))
    assert paths(report) == ["fc"] * 3
    assert [row.params for row in report.trace.rows] == [("fc.weight", "fc.bias"), (), ()]
    assert (report.total.macs, report.total.params) == (3 * 2 * 16, 20)
    assert [line.split()[4] for line in str(report).splitlines() if line.startswith("fc")] == ["4", "4", "4"]
    assert str(report).count(" shared ") == 2


def test_a_shared_module_in_two_branches() -> None:
    shared = nn.Linear(4, 4)
    left, right = nn.Sequential(shared, nn.ReLU()), nn.Sequential(nn.Tanh(), shared)
    report = summary(Holds(lambda m, x: m.left(x) + m.right(x), left=left, right=right))
    assert (report.total.params, report.total.macs) == (20, 64)
    assert paths(report) == ["left.0", "left.1", "right.0", "left.0", ""]
    assert ties(report) == [("right.1.weight", "left.0.weight"), ("right.1.bias", "left.0.bias")]


def test_a_shared_container() -> None:
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    report = summary(nn.Sequential(block, block, nn.Linear(4, 2)))
    assert (report.total.params, report.total.macs) == (20 + 10, 2 * (2 * 16) + 2 * 8)
    assert paths(report)[:4] == ["0.0", "0.1"] * 2


def test_a_module_under_two_names_has_the_first() -> None:
    fc = nn.Linear(4, 4)
    report = summary(Holds(lambda m, x: m.second(x), first=fc, second=fc))
    assert (paths(report), report.total.params, report.total.macs) == (["first"], 20, 32)
    assert ties(report) == [("second.weight", "first.weight"), ("second.bias", "first.bias")]


class Tied(nn.Module):
    """A table and a head with the same weights, in one of many ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        if how == "the same parameter":
            self.head.weight = self.table.weight
        elif how == "the same memory":
            self.head.weight = nn.Parameter(self.table.weight.data)
        elif how == "a view":
            self.head.weight = nn.Parameter(self.table.weight.data.view(4, 7).view(7, 4))
        else:
            del self.head

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        x = self.table(i)
        if self.how == "used again":
            return F.linear(x, self.table.weight)
        if self.how == "transposed":
            return x @ self.table.weight.T
        if self.how == "through views":
            return F.linear(x, self.table.weight.view(-1).view(7, 4)[:])
        return self.head(x)


TIED = ("the same parameter", "the same memory", "a view", "used again", "transposed", "through views")


@pytest.mark.parametrize("how", TIED)
def test_tied_weights_count_once(how: str) -> None:
    report = summary(Tied(how), torch.zeros(3, 5, dtype=torch.int64))
    assert (report.total.params, report.total.macs) == (28, 15 * 28)
    assert report.trace.rows[0].params == ("table.weight",)
    assert ties(report) == ([("head.weight", "table.weight")] if how in TIED[:3] else [])
    assert (" shared " in str(report)) == (how in TIED[:4])


def test_halves_of_one_memory_are_two_parameters() -> None:
    upper, lower = map(nn.Parameter, torch.zeros(8, 4).chunk(2))
    report = summary(Holds(lambda m, x: F.linear(x, m.a) + F.linear(x, m.b), a=upper, b=lower))
    assert (report.total.params, ties(report)) == (32, [])


def test_parameters_that_nobody_reads_are_named() -> None:
    model = Holds(lambda m, x: m.fc(x), fc=nn.Linear(4, 4), spare=nn.Linear(4, 3), scale=nn.Parameter(torch.ones(5)))
    report = summary(model)
    assert report.total.params == 20 + 15 + 5
    read = {name for row in report.trace.rows for name in row.params}
    assert {param.name for param in report.trace.params} - read == {"spare.weight", "spare.bias", "scale"}
    assert [line.split()[-1] for line in str(report).splitlines() if line.startswith("unread")] == ["20"]


def test_a_parameter_that_a_module_holds_itself_is_in_its_row() -> None:
    report = summary(nn.Sequential(Holds(lambda m, x: x @ m.weight, weight=nn.Parameter(torch.ones(4, 3)))))
    assert [(row.path, row.op, row.params) for row in report.trace.rows] == [("0", "matmul", ("0.weight",))]


def test_a_parameter_in_a_plain_list_is_read_and_not_counted() -> None:
    """As in `model.parameters()`: nothing trains it, nothing saves it."""
    report = summary(Holds(lambda m, x: x @ m.hidden[0], hidden=[nn.Parameter(torch.ones(4, 3))]))
    assert (report.total.params, report.total.macs) == (0, 24)
    assert [operand.source for operand in report.trace.rows[0].inputs] == ["x", "constant"]


def test_a_module_that_holds_itself() -> None:
    model = Holds(lambda m, x: m.fc(x), fc=nn.Linear(4, 4))
    model.me = model
    model.fc.above = nn.ModuleList([model])
    report = summary(model)
    assert (paths(report), report.total.params, ties(report)) == (["fc"], 20, [])


def test_a_module_that_calls_itself() -> None:
    class Down(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.depth = nn.Linear(4, 4), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.depth += 1
            return self(self.fc(x)) if self.depth < 3 else x

    model = Down()
    report = summary(model)
    assert (report.total.macs, report.total.params, model.depth) == (2 * 32, 20, 0)
    assert len(report.trace.calls) == 3 + 2


def test_three_hundred_containers_nested() -> None:
    model: nn.Module = nn.Linear(4, 4)
    for _ in range(300):
        model = nn.Sequential(model)
    report = summary(model)
    assert (paths(report), report.total.params) == ([".".join(["0"] * 300)], 20)
    assert str(report)


def test_equal_weights_are_not_tied() -> None:
    report = summary(nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))))
    assert (report.total.params, ties(report)) == (60, [])


def test_buffers_are_no_parameters() -> None:
    model = FunctionModule(lambda x: x * model.scale)
    model.register_buffer("scale", torch.ones(4))
    report = summary(model)
    assert report.total.params == 0
    assert [operand.source for operand in report.trace.rows[0].inputs][1] == "scale"


def test_parameters_of_no_size_are_not_tied() -> None:
    model = Holds(lambda m, x: x, a=nn.Parameter(torch.empty(0)), b=nn.Parameter(torch.empty(0)))
    assert ties(summary(model)) == []
