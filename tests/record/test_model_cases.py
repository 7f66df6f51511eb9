"""Layers and programs cost what their products do, however they reach them."""

from __future__ import annotations

import pytest
import torch

import archscope
from archscope.report import Report
from tests.record.model_cases import MODEL_CASES, ModelCase
from tests.record.programs import PROGRAMS
from tests.record.runs import total, traced

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

TABLE = MODEL_CASES | PROGRAMS

NO_INFERENCE = {"linear with sparse weight"}
"""Torch itself refuses these tensors under inference mode."""

ITERATED = 2 * 5 * 4
"""In training a spectral norm finds its vectors anew: two products of the matrix with a vector."""


@pytest.fixture(autouse=True)
def there(request: pytest.FixtureRequest) -> None:
    if "[grouped_mm" in request.node.name and not hasattr(torch.nn.functional, "grouped_mm"):
        pytest.skip("this torch has no grouped products in its functions")


def summarized(case: ModelCase) -> Report:
    module, args = case.make()
    return archscope.summarize(module, args=args)


def found(report: Report) -> tuple[int | None, tuple[str, ...]]:
    return report.total.macs, tuple(report.unpriced)


@pytest.mark.parametrize("name", TABLE)
def test_a_model_costs_its_products(name: str) -> None:
    assert found(summarized(TABLE[name])) == (TABLE[name].macs, TABLE[name].unpriced)


@pytest.mark.law
@pytest.mark.parametrize("name", TABLE)
def test_it_costs_the_same_in_training(name: str) -> None:
    module, args = TABLE[name].make()
    cost = total(traced(module, *args, train=True))
    extra = ITERATED if name == "spectral norm" else 0
    assert cost.unpriced == TABLE[name].unpriced
    assert cost.macs == (None if TABLE[name].macs is None else TABLE[name].macs + extra)


@pytest.mark.law
@pytest.mark.parametrize("name", [name for name in TABLE if name not in NO_INFERENCE])
def test_it_costs_the_same_in_inference_mode(name: str) -> None:
    with torch.inference_mode():
        assert found(summarized(TABLE[name])) == (TABLE[name].macs, TABLE[name].unpriced)


def test_factors_of_one_shape_that_store_unequally_cost_unequally() -> None:
    sparse, full = torch.eye(4, 5).to_sparse(), torch.ones(4, 5).to_sparse()

    class Both(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sparse @ x + full @ x

    report = archscope.summarize(Both(), args=(torch.ones(5, 3),))
    assert [row.cost.known for row in report.rows] == [4 * 3, 20 * 3, 0]
