"""Every torchvision model with published figures: the same parameters, the same 10⁹ multiply-adds to the last digit.

`torchvision_published.csv` holds the `num_params` and `_ops` of each IMAGENET1K_V1 weights entry: batch 1, eval mode.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import click.testing
import pytest
import torch
from torch import nn

import archscope
from archscope.cli import cli
from tests.truth.building import built
from tests.truth.laws import report_of
from tests.truth.packages import package
from tests.truth.witness import counted

torchvision = package("torchvision")
pytestmark = pytest.mark.filterwarnings("ignore")  # what torchvision warns about is its own


@dataclass(frozen=True)
class Published:
    model: str
    size: int
    params: int
    gmacs: float


def published() -> list[Published]:
    with (Path(__file__).parent / "torchvision_published.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [
            Published(row["model"], int(row["input_size"]), int(row["params"]), float(row["gmacs"])) for row in rows
        ]


ALL = published()
WITHOUT: dict[str, dict[str, object]] = {"googlenet": {"aux_logits": False}}
"""Published without the heads that are there for training only."""
ON_CPU = ("regnet",)
"""Families that read the weights they are made with."""
REALLY_RUN = ("mobilenet_v2", "resnet18", "swin_t", "vit_b_16")


def model(name: str) -> nn.Module:
    """The model on the meta device."""
    device = "cpu" if name.startswith(ON_CPU) else "meta"
    made = built(lambda: torchvision.models.get_model(name, weights=None, **WITHOUT.get(name, {})), device)
    return made.to("meta")


def image(size: int, device: str = "meta") -> torch.Tensor:
    return torch.empty(1, 3, size, size, device=device)


def test_all_sixty_are_there() -> None:
    assert len(ALL) == 60


@pytest.mark.law
@pytest.mark.parametrize("one", ALL, ids=lambda one: one.model)
def test_a_summary_gives_what_is_published(one: Published) -> None:
    net = model(one.model)
    report = report_of(net, (image(one.size),))
    assert report.total.macs == counted(net, (image(one.size),))
    assert (report.total.params, f"{report.total.macs / 1e9:.3f}") == (one.params, f"{one.gmacs:.3f}")


@pytest.mark.law
@pytest.mark.parametrize("name", REALLY_RUN)
def test_the_cpu_gives_what_meta_gives(name: str) -> None:
    real = built(lambda: torchvision.models.get_model(name, weights=None), "cpu")
    report = report_of(real, (torch.zeros(1, 3, 224, 224),))
    assert report.total == report_of(model(name), (image(224),)).total
    assert report.trace.device == "cpu"


@pytest.mark.parametrize("name", ["alexnet", "densenet121", "mobilenet_v2", "resnet50", "squeezenet1_0", "swin_t"])
def test_no_work_of_a_known_network_is_thrown_away(name: str) -> None:
    """Every value has its reader, also where activations write in place and memory is used again."""
    (checked,) = archscope.check(model(name), args=(image(224),), select=["unused-value"])
    assert checked.findings == ()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_factory_is_a_target_of_the_command(device: str) -> None:
    arguments = ["summary", "torchvision.models:resnet50", "--input", "1x3x224x224", "--depth", "1", "--device", device]
    result = click.testing.CliRunner(env={"COLUMNS": "100"}).invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "25,557,032 parameters (97.5 MiB) · 4.09 G MACs · 8.18 G FLOPs (2 × MACs)" in result.output
    assert "4,089,184,256" in result.output
