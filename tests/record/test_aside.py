"""Work that is not the model's makes no rows: making a graph of it, argument checks of a distribution. Memory that a
product does not read is no unseen work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.export
from torch import Tensor, nn
from torch.jit import trace

import archscope
from archscope.record import NEEDS_GRADIENTS_NOTE
from tests.record.operations import FunctionModule
from tests.record.runs import Holds

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]
LINEAR = 2 * 4 * 4

MAKERS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "export": lambda layer, x: torch.export.export(layer, (x,)).module()(x),
    "jit.trace": lambda layer, x: torch.jit.trace(layer, (x,))(x),
    "trace": lambda layer, x: trace(layer, (x,), check_trace=False)(x),
    "jit.script": lambda layer, x: torch.jit.script(layer)(x),
}


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("way", MAKERS)
def test_a_graph_made_in_a_forward_costs_what_it_does_when_it_is_called(way: str, *, train: bool) -> None:
    layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model = Holds(lambda own, x: MAKERS[way](own.layer, x), layer=layer).train(train)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = archscope.summarize(model, args=(torch.ones(2, 4),), train=train)
    assert (report.total.macs, report.unpriced) == (LINEAR, {})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_distribution_checks_its_arguments_without_rows() -> None:
    report = archscope.summarize(FunctionModule(lambda x: torch.distributions.Categorical(logits=x)), input=(2, 4))
    assert [row.short_name for row in report.trace.rows] == ["logsumexp", "sub"]


def test_a_sample_is_checked_without_rows() -> None:
    def forward(x: Tensor) -> Tensor:
        return torch.distributions.Normal(x, torch.ones(())).log_prob(x)

    assert "all" not in [
        row.short_name for row in archscope.summarize(FunctionModule(forward), input=(2, 4)).trace.rows
    ]


BETA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "baddbmm": lambda q, k: torch.baddbmm(q.new_empty(2, 8, 8), q, k, beta=0.0, alpha=0.5),
    "by name": lambda q, k: torch.baddbmm(input=q.new_empty(2, 8, 8), batch1=q, batch2=k, beta=0),
    "method": lambda q, k: q.new_empty(2, 8, 8).baddbmm(q, k, beta=0),
    "aten": lambda q, k: torch.ops.aten.baddbmm(q.new_empty(2, 8, 8), q, k, beta=0),
    "addmm": lambda q, k: torch.stack(
        [torch.addmm(torch.empty(8, 8), a, b, beta=0) for a, b in zip(q, k, strict=True)]
    ),
    "addmv": lambda q, k: torch.stack([torch.addmv(torch.empty(8), q[0], k[0, :, n], beta=0) for n in range(16)]),
    "addbmm": lambda q, k: torch.addbmm(torch.empty(8, 8), q, k, beta=0),
}


@pytest.mark.parametrize("way", BETA)
def test_an_operand_that_is_multiplied_by_zero_is_not_read(way: str) -> None:
    report = archscope.summarize(
        FunctionModule(BETA[way]),
        args=(torch.ones(2, 8, 4), torch.ones(2, 4, 16)[..., :8] if way != "addmv" else torch.ones(2, 4, 16)),
    )
    assert (report.total.macs, report.unpriced) == (512, {})


def test_an_operand_that_is_added_is_read() -> None:
    model = FunctionModule(lambda q, k: torch.baddbmm(q.new_empty(2, 8, 8), q, k))
    report = archscope.summarize(model, args=(torch.ones(2, 8, 4), torch.ones(2, 4, 8)))
    assert list(report.unpriced) == ["unseen"]


def retains(x: Tensor) -> Tensor:
    x.retain_grad()
    return x


def asserts(x: Tensor) -> Tensor:
    assert x.requires_grad
    return x


def complains(x: Tensor) -> Tensor:
    if x.grad_fn is None:
        raise ValueError("this needs a grad_fn")
    return x


@pytest.mark.parametrize("asks", [retains, asserts, complains])
def test_a_forward_that_needs_gradients_runs_with_them(asks: Callable[[Tensor], Tensor]) -> None:
    model = Holds(lambda own, x: asks(own.layer(x)), layer=nn.Linear(4, 4)).eval()
    report = archscope.summarize(model, input=(2, 4))
    assert (report.total.macs, report.trace.notes) == (LINEAR, (NEEDS_GRADIENTS_NOTE,))
    assert model.layer.weight.grad is None


def test_an_assertion_about_something_else_is_reported_unchanged() -> None:
    model = Holds(
        lambda own, x: asserts(own.layer(x.detach())), layer=nn.Linear(4, 4).requires_grad_(requires_grad=False)
    )
    with pytest.raises(archscope.errors.ForwardError, match="AssertionError"):
        archscope.summarize(model, input=(2, 4))
