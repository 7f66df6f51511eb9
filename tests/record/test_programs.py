"""Programs of every kind cost what their products do, in every setting; and what cannot be seen is named."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import archscope
from archscope.report import Report
from archscope.trace import Trace
from tests.record.custom_cases import CUSTOM_CASES, Scaled
from tests.record.program_cases import IMAGE, PROGRAM_CASES, A, Runs, exported, linear, net, squared

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

TABLE = PROGRAM_CASES | CUSTOM_CASES

NOT_IN_TRAINING = {"exported", "exported submodule", "exported, decomposed", "frozen", "frozen submodule"}
"""Models without a training mode."""


@contextmanager
def plainly() -> Iterator[None]:
    yield


SETTINGS = {"plainly": plainly, "with gradients": torch.enable_grad, "without gradients": torch.no_grad}


def found(report: Report) -> tuple[int | None, tuple[str, ...]]:
    return report.total.macs, tuple(report.unpriced)


@pytest.mark.law(keep=len(TABLE))
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TABLE)
def test_a_program_costs_its_products(name: str, setting: str) -> None:
    model = TABLE[name].make()
    with SETTINGS[setting]():
        report = archscope.summarize(model, args=TABLE[name].args)
    assert found(report) == (TABLE[name].macs, TABLE[name].unpriced)


@pytest.mark.law
@pytest.mark.parametrize("name", TABLE)
def test_it_costs_the_same_in_training(name: str) -> None:
    report = archscope.summarize(TABLE[name].make(), args=TABLE[name].args, train=True, backward=False)
    assert found(report) == (TABLE[name].macs, TABLE[name].unpriced)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].meta])
def test_it_costs_the_same_on_cuda(name: str) -> None:
    model = TABLE[name].make().to("cuda")
    report = archscope.summarize(model, args=tuple(arg.to("cuda") for arg in TABLE[name].args))
    assert found(report) == (TABLE[name].macs, TABLE[name].unpriced)


@pytest.mark.law
@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].meta])
def test_it_costs_the_same_on_meta(name: str) -> None:
    if name == "traced" and torch.__version__ < "2.13":
        pytest.skip("before torch 2.13 a traced convolution does not run on meta")
    model = TABLE[name].make().to("meta")
    report = archscope.summarize(model, args=tuple(arg.to("meta") for arg in TABLE[name].args))
    assert found(report) == (TABLE[name].macs, TABLE[name].unpriced)


@pytest.mark.law(keep=10)  # not the one that inductor compiles, which takes half a minute
@pytest.mark.parametrize("name", TABLE)
def test_a_second_analysis_has_the_same_rows(name: str) -> None:
    """Its second analysis is the first, and the model still runs."""
    model = TABLE[name].make().eval() if name not in NOT_IN_TRAINING else TABLE[name].make()
    first, second = (archscope.summarize(model, args=TABLE[name].args).trace for _ in range(2))
    assert [(row.path, row.op) for row in first.rows] == [(row.path, row.op) for row in second.rows]
    model(*TABLE[name].args)


# ------------------------------------------------------------ rows
def edges(trace: Trace) -> list[tuple[str, str, list[str]]]:
    return [(row.path, row.op, [operand.source for operand in row.inputs]) for row in trace.rows]


CONVOLUTION = ("0", "Conv2d", ["x", "0.weight", "0.bias"])
NORM = ("1", "BatchNorm2d", ["0", "1.running_mean", "1.running_var", "1.weight", "1.bias"])
REST = [("2", "ReLU", ["1"]), ("3", "Flatten", ["2"]), ("4", "Linear", ["3", "4.weight", "4.bias"])]


def rows_of(model: nn.Module, *args: torch.Tensor) -> list[tuple[str, str, list[str]]]:
    return edges(archscope.summarize(model, args=args).trace)


@pytest.mark.parametrize("name", ["compiled, warmed up", "compiled itself", "a part compiled itself"])
def test_compiled_modules_have_their_authors_rows(name: str) -> None:
    found = rows_of(TABLE[name].make(), IMAGE)
    assert [(path, op) for path, op, _ in found] == [(path, op) for path, op, _ in (CONVOLUTION, NORM, *REST)]


def test_a_scripted_function_has_rows_where_it_is_called() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Runs(lambda m, x: squared(x) + 1))
    assert rows_of(model, A) == [
        ("0", "Linear", ["input", "0.weight", "0.bias"]),
        ("1", "t", ["0"]),
        ("1", "mm", ["0", "1"]),
        ("1", "relu", ["1"]),
        ("1", "add", ["1"]),
    ]


def test_a_layer_that_runs_beside_its_call_is_its_callers() -> None:
    model = Runs(lambda m, x: m.fc.forward(x), fc=linear())
    assert rows_of(model, A) == [("", "linear", ["args.0", "fc.weight", "fc.bias"])]


def test_a_subclass_of_a_layer_shows_what_it_does() -> None:
    found = rows_of(nn.Sequential(Scaled(3, 4)), A)
    assert [(path, op) for path, op, _ in found] == [("0", op) for op in ("mul", "linear", "new_ones", "matmul")]


def test_an_exported_program_is_analysed_as_the_module_that_it_runs() -> None:
    program = torch.export.export(net(), (IMAGE,))
    assert rows_of(program, IMAGE) == rows_of(exported(), IMAGE)


# ------------------------------------------------------------ what cannot be seen
@torch.library.custom_op("archscope_ways::opaque", mutates_args=())
def opaque(x: torch.Tensor) -> torch.Tensor:
    return x @ x.t()


@torch.library.custom_op("archscope_ways::into", mutates_args=("out",))
def into(x: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(x @ x.t())


def written_into(m: Any, x: torch.Tensor) -> torch.Tensor:
    out = x.new_empty(2, 2)
    into(x, out)
    return out


def outside(m: Any, x: torch.Tensor) -> torch.Tensor:
    y = x.detach().numpy()
    return torch.from_numpy(y @ y.T) + 1


def threaded(m: Any, x: torch.Tensor) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(m.fc, x).result() * 2


UNSEEN = {
    "archscope_ways.opaque": lambda m, x: opaque(x),
    "archscope_ways.into": written_into,
    "torch.Tensor.numpy": outside,
    "torch.ops.higher_order.cond": lambda m, x: torch.cond(
        x.sum() > 0, lambda x: x @ x.t(), lambda x: x @ x.t() * 2, (x,)
    ),
    "unseen": threaded,
}


@pytest.mark.parametrize("kernel", UNSEEN)
def test_what_cannot_be_seen_is_named_and_no_zero(kernel: str) -> None:
    report = archscope.summarize(Runs(UNSEEN[kernel], fc=linear()), args=(A,))
    assert found(report) == (None, (kernel,))
    assert kernel in str(report)


def test_products_of_what_the_model_holds_are_work_also_in_place() -> None:
    model = Runs(lambda m, x: x @ m.table.addmm_(m.weight, m.weight))
    model.weight = nn.Parameter(torch.ones(3, 3), requires_grad=False)
    model.register_buffer("table", torch.zeros(3, 3))
    report = archscope.summarize(model, args=(A,))
    assert [(row.row.short_name, row.macs) for row in report.rows] == [("addmm_", 27), ("matmul", 18)]


def test_data_from_outside_is_no_work() -> None:
    model = Runs(lambda m, x: x + torch.from_numpy(np.ones((2, 3), "f")) + torch.Tensor([1.0, 2.0, 3.0]))
    assert found(archscope.summarize(model, args=(A,))) == (0, ())


def test_what_another_thread_drops_is_not_seen() -> None:
    """The limit that the documentation names."""

    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(m.fc, x).result()
        return x * 2

    assert found(archscope.summarize(Runs(forward, fc=linear()), args=(A,))) == (0, ())
