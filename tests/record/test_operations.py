"""Every operation costs what was worked out by hand, on every device and in every mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import archscope
from archscope.report import Report
from tests.record.operations import TABLE, Operation
from tests.record.runs import total, traced

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]

NOT_ON_META = {"cov", "corrcoef"}
"""Torch itself cannot run these on meta: they look at values."""

NOT_IN_HALF = {"cdist, few points", "cdist, many points in the city", "cdist, many points one by one", "pdist"}
"""Torch has no kernels for these in 16 bits on the CPU."""


def made(
    operation: Operation, *, device: str = "cpu", dtype: torch.dtype = torch.float32, grad: bool = False
) -> tuple[nn.Module, list[torch.Tensor]]:
    """Return the module and its arguments."""
    options: Any = {"device": device, "dtype": dtype}
    module: Any = operation.make()
    return module.to(**options), [torch.full(shape, 0.5, requires_grad=grad, **options) for shape in operation.shapes]


def summarized(operation: Operation, **options: Any) -> Report:
    run, args = made(operation, **options)
    return archscope.summarize(run, args=args)


def of(*without: set[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in TABLE if name not in set().union(*without)])


@of()
def test_an_operation_costs_its_products(name: str) -> None:
    assert summarized(TABLE[name]).total.macs == TABLE[name].macs


@pytest.mark.law
@of(NOT_ON_META)
def test_it_costs_the_same_on_meta(name: str) -> None:
    assert summarized(TABLE[name], device="meta").total.macs == TABLE[name].macs


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@of()
def test_it_costs_the_same_on_cuda(name: str) -> None:
    assert summarized(TABLE[name], device="cuda").total.macs == TABLE[name].macs


@pytest.mark.law
@of()
@pytest.mark.parametrize("grad", [True, False])
def test_it_costs_the_same_in_training(name: str, grad: bool) -> None:
    run, args = made(TABLE[name], grad=grad)
    assert total(traced(run, *args, train=True)).macs == TABLE[name].macs


@pytest.mark.law
@of()
def test_it_costs_the_same_in_inference_mode(name: str) -> None:
    with torch.inference_mode():
        assert summarized(TABLE[name]).total.macs == TABLE[name].macs


@pytest.mark.law
@of(NOT_IN_HALF)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_it_costs_the_same_in_every_precision(name: str, dtype: torch.dtype) -> None:
    assert summarized(TABLE[name], dtype=dtype).total.macs == TABLE[name].macs
