"""Architectures of timm, without weights, on the meta device: no crash, and the multiply-adds of an independent count.

`timm_models.txt` names the smallest model of every module of timm, and of every first word of a name in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.truth.building import built
from tests.truth.laws import report_of
from tests.truth.packages import package
from tests.truth.purity import leaves_no_trace
from tests.truth.witness import counted

timm = package("timm")
pytestmark = pytest.mark.filterwarnings("ignore")  # what timm warns about is its own

ALL = (Path(__file__).parent / "timm_models.txt").read_text(encoding="utf-8").split()
WATCHED = ("mobilenetv3_small_050", "xcit_nano_12_p8_224", "levit_128s")


def model(name: str, device: str = "meta") -> nn.Module:
    return built(lambda: timm.create_model(name, pretrained=False), device)


def image(net: nn.Module, device: str = "meta") -> Tensor:
    """A batch of one of the size that the model is published for."""
    return torch.zeros(1, *net.default_cfg["input_size"], device=device)


def test_every_module_of_timm_is_there() -> None:
    modules = {name: set(timm.list_models(module=name)) for name in timm.list_modules()}
    assert [name for name, models in modules.items() if models and not models & {*ALL}] == []
    assert len(ALL) == len({*ALL}) >= 120


@pytest.mark.law
@pytest.mark.parametrize("name", ALL)
def test_an_independent_count_agrees(name: str) -> None:
    net = model(name)
    report = report_of(net, (image(net),))
    assert report.unpriced == {}
    assert report.total.macs == counted(net, (image(net),))


@pytest.mark.law
@pytest.mark.parametrize("name", WATCHED)
def test_a_model_is_left_as_it_was(name: str) -> None:
    leaves_no_trace(lambda: model(name, "cpu"), (image(model(name), "cpu"),), {})
