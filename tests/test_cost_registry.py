"""Costs that users register, for what archscope has no formula of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import archscope
from archscope.analysis import cost_registry
from archscope.errors import UsageError
from archscope.trace import Kernel


@torch.library.custom_op("archscope_tests::mixed", mutates_args=())
def mixed(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x @ x.transpose(-1, -2)


class Mixing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.inv(mixed(mixed(x, 2), heads=4))


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_registry.COST_REGISTRY, "_formulas", {})


def total(x: torch.Tensor) -> tuple[int | None, int, int]:
    report = archscope.summarize(Mixing(), args=(x,))
    return report.total.macs, report.total.known, report.total.unpriced


def by_heads(kernel: Kernel) -> int:
    heads = kernel.get("heads")
    assert isinstance(heads, int)
    return heads * kernel.inputs[0][0] * kernel.outputs[0][1]


@pytest.mark.parametrize(
    "op",
    [
        *("archscope_tests::mixed", "archscope_tests.mixed", "torch.ops.archscope_tests.mixed.default"),
        torch.ops.archscope_tests.mixed,
        torch.ops.archscope_tests.mixed.default,
    ],
)
def test_an_operator_of_the_user_has_a_price(op: object) -> None:
    x = torch.eye(3)
    assert total(x) == (None, 0, 3)
    archscope.register_cost(op, by_heads)
    assert total(x) == (None, (2 + 4) * 9, 1)
    archscope.register_cost("aten::linalg_inv_ex", lambda kernel: 1000)
    assert total(x) == ((2 + 4) * 9 + 1000, (2 + 4) * 9 + 1000, 0)


def test_a_formula_is_a_decorator_and_replaces_the_one_before() -> None:
    @archscope.register_cost("archscope_tests::mixed")
    def constant_cost(kernel: Kernel) -> int:
        return 1

    assert total(torch.eye(3)) == (None, 2, 1)
    archscope.register_cost("archscope_tests::mixed", lambda kernel: 5)
    assert total(torch.eye(3)) == (None, 10, 1)
    assert constant_cost(Kernel("", (), ())) == 1


@pytest.mark.moves_rng
def test_registered_prices_replace_formulas() -> None:
    archscope.register_cost(torch.ops.aten.mm, lambda kernel: 7)
    assert archscope.summarize(nn.Linear(3, 4), args=(torch.zeros(2, 3),)).total.macs == 7


@pytest.mark.moves_rng
def test_a_function_has_its_own_price() -> None:
    archscope.register_cost(torch.nn.functional.linear, lambda kernel: kernel.inputs[1][0] * 1000)
    assert archscope.summarize(nn.Linear(3, 4), args=(torch.zeros(2, 3),)).total.macs == 4000


def test_a_formula_may_return_none() -> None:
    archscope.register_cost("archscope_tests::mixed", lambda kernel: None)
    assert total(torch.eye(3)) == (None, 0, 3)


@pytest.mark.parametrize(
    ("op", "said"),
    [(3, "3 is not an operation"), ("mixed", "'mixed' is not the name of an operation"), (None, "None is")],
)
def test_what_is_no_operation_is_refused(op: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        archscope.register_cost(op, by_heads)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (lambda kernel: 1.5, "gives 1.5"),
        (lambda kernel: -1, "gives -1"),
        (lambda kernel: True, "gives True"),
        (lambda kernel: kernel.inputs[7], "fails: IndexError"),
    ],
)
def test_a_formula_that_gives_no_number_is_named(formula: object, said: str) -> None:
    archscope.register_cost("archscope_tests::mixed", formula)  # type: ignore[arg-type]  # that is the case
    with pytest.raises(UsageError, match=said):
        total(torch.eye(3))


def test_a_price_is_a_function() -> None:
    with pytest.raises(UsageError, match="not 12"):
        archscope.register_cost("archscope_tests::mixed", 12)  # type: ignore[arg-type]  # that is the case


class Sums(nn.Module):
    """Runs a function that adds a tensor to itself."""

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(x)


def in_place(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y += x
    return y


FORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "function": lambda x: torch.add(x, x),
    "operator": lambda x: x + x,
    "of a number": lambda x: 1 + x,
    "method": lambda x: x.add(x),
    "in place": in_place,
    "method in place": lambda x: x.clone().add_(x),
    "aten": lambda x: torch.ops.aten.add(x, x),
    "overload": lambda x: torch.ops.aten.add.Tensor(x, x),
}


def name_of(op: object) -> str:
    """Return a name without the address of the object."""
    return str(getattr(op, "__qualname__", op))


NAMES = [torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.ops.aten.add, torch.ops.aten.add.Tensor, "torch.add"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", [*NAMES, "aten::add"], ids=name_of)
def test_a_free_operator_has_a_price_in_every_form(op: object, form: str) -> None:
    archscope.register_cost(op, lambda kernel: 1000)
    assert archscope.summarize(Sums(FORMS[form]), input=(2, 4)).total.macs == 1000


@pytest.mark.parametrize("op", [torch.relu, torch.nn.functional.relu, torch.Tensor.relu_, "aten::relu"], ids=name_of)
@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.ReLU(inplace=True), Sums(torch.relu), Sums(lambda x: x.relu())], ids=str
)
def test_a_function_is_found_by_all_its_names(op: object, layer: nn.Module) -> None:
    archscope.register_cost(op, lambda kernel: 1000)
    assert archscope.summarize(nn.Sequential(nn.Identity(), layer), input=(2, 4)).total.macs == 1000


def test_a_function_of_linear_algebra_has_a_price() -> None:
    archscope.register_cost(torch.linalg.norm, lambda kernel: 1000)
    assert archscope.summarize(Sums(torch.linalg.norm), input=(2, 4)).total.macs == 1000


def test_the_price_of_a_function_excludes_the_backward_pass() -> None:
    archscope.register_cost(torch.add, lambda kernel: 1000)
    report = archscope.summarize(Sums(lambda x: x + x), args=(torch.ones(2, 4, requires_grad=True),), train=True)
    assert report.total.macs == 1000


def test_of_the_names_of_one_operation_the_last_counts() -> None:
    archscope.register_cost(torch.add, lambda kernel: 1000)
    archscope.register_cost("aten::add", lambda kernel: 7)
    archscope.register_cost(torch.Tensor.add, lambda kernel: 70)
    assert archscope.summarize(Sums(lambda x: x + x), input=(2, 4)).total.macs == 70


def test_a_custom_operator_is_an_operator() -> None:
    archscope.register_cost(mixed, by_heads)
    assert total(torch.eye(3)) == (None, (2 + 4) * 9, 1)


@pytest.mark.parametrize(
    "op", [by_heads, nn.Linear, "torch.nn.functional.nope", "aten::nope", torch.manual_seed], ids=name_of
)
def test_a_price_without_effect_is_refused(op: object) -> None:
    with pytest.raises(UsageError, match="has no effect"):
        archscope.register_cost(op, lambda kernel: 1000)
