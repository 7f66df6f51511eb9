"""The tutorials' networks as plain Python: the figures of all, and what `check` says of the printed mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest
import torch
from torch import nn

import archscope
from archscope.cli import cli
from tests.truth import tutorials as t
from tests.truth.building import built
from tests.truth.laws import report_of

FILE = Path(t.__file__)
MNIST = (1, 1, 28, 28)
PHOTO = (1, 3, 128, 128)
Shape = tuple[int, ...]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Shape, Shape, int, int]] = {
    "fully connected": (t.FullyConnected, MNIST, (1, 10), 575_050, 574_080),
    "simple CNN": (t.SimpleCnn, MNIST, (1, 10), 8_490, 467_200),
    "three convs": (t.ThreeConvs, MNIST, (1, 10), 34_522, 1_126_048),
    "5×5": (t.Direct, (1, 192, 28, 28), (1, 32, 28, 28), 153_600, 120_422_400),
    "1×1, then 5×5": (t.Squeezed, (1, 192, 28, 28), (1, 32, 28, 28), 15_872, 12_443_648),
    "Inception block": (t.InceptionA, (1, 10, 12, 12), (1, 88, 12, 12), 19_104, 2_730_240),
    "Inception net": (t.InceptionNet, MNIST, (1, 10), 97_298, 6_019_200),
    "residual net": (t.ResidualNet, MNIST, (1, 10), 41_514, 2_013_184),
    "constant scaling": (lambda: t.ResidualNet(t.ConstantScaling), MNIST, (1, 10), 41_514, 2_013_184),
    "constant scaling as printed": (lambda: t.ResidualNet(t.ConstantScalingPrinted), MNIST, (1, 10), 41_514, 2_013_184),
    "conv shortcut": (lambda: t.ResidualNet(t.ConvShortcut), MNIST, (1, 10), 42_842, 2_066_432),
    "conv shortcut as printed": (lambda: t.ResidualNet(t.ConvShortcutPrinted), MNIST, (1, 10), 42_842, 2_066_432),
    "basic block": (t.BasicBlock, PHOTO, PHOTO, 174, 2_654_208),
    "basic block as printed": (t.BasicBlockPrinted, PHOTO, PHOTO, 174, 2_654_208),
    "four classes": (t.FourClasses, PHOTO, (1, 4), 13_166_148, 124_311_936),
    "four classes, basic block": (lambda: t.FourClasses(t.BasicBlock), PHOTO, (1, 4), 13_184_708, 197_468_544),
    "four classes as printed": (t.FourClassesPrinted, PHOTO, (1, 4), 13_166_148 + 128, 124_311_936),
    "residual block 64→64": (t.Projected, (1, 64, 56, 56), (1, 64, 56, 56), 73_984, 231_211_008),
    "residual block 64→128": (
        lambda: t.Projected(64, 128, 2),
        (1, 64, 56, 56),
        (1, 128, 28, 28),
        230_144,
        179_830_784,
    ),
}
"""Network → factory, input, output, parameters, multiply-adds."""


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_its_figures(name: str, device: str) -> None:
    make, given, out, params, macs = NETWORKS[name]
    report = report_of(built(make, device), (torch.zeros(given, device=device),))
    assert (report.total.params, report.total.macs) == (params, macs)
    assert [operand.value.shape for operand in report.trace.outputs] == [out]


def test_the_first_convolution_of_a_bottleneck_costs_what_its_text_should_say() -> None:
    rows = report_of(built(t.Squeezed), (torch.zeros(1, 192, 28, 28, device="meta"),)).rows
    assert [row.macs for row in rows] == [2_408_448, 10_035_200]


def test_pooling_gives_32_by_4_by_4_and_not_20() -> None:
    rows = report_of(built(t.ThreeConvs), (torch.zeros(MNIST, device="meta"),)).rows
    pooled = [row.row.outputs[0].shape for row in rows if row.op == "MaxPool2d"]
    assert pooled == [(1, 16, 12, 12), (1, 32, 4, 4), (1, 64, 1, 1)]


# ------------------------------------------------------------ mistakes
class Grouped(nn.Module):
    """`groups` and `width_per_group` are accepted and ignored."""

    def __init__(self, channels: int = 64, groups: int = 1, width_per_group: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.bn1(self.conv1(x)))


class Stages(nn.Module):
    """`_make_layer` builds its blocks where a projection is needed, and gives nothing elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = self._make_layer(64, stride=1)
        self.layer2 = self._make_layer(128, stride=2)

    def _make_layer(self, channels: int, stride: int) -> nn.Module | None:
        if stride != 1:
            return nn.Sequential(t.Projected(64, channels, stride), t.Projected(channels, channels))
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer2(self.layer1(x))


FOUND: list[tuple[Callable[[], nn.Module], Shape, set[tuple[str, str]]]] = [
    (t.BasicBlockPrinted, PHOTO, {("residual-without-add", ""), ("repeated-norm", "bn1")}),
    (lambda: t.ConstantScalingPrinted(16), (1, 16, 12, 12), {("unused-value", "")}),
    (lambda: t.ConvShortcutPrinted(16), (1, 16, 12, 12), {("unused-value", "")}),
    (t.FourClassesPrinted, PHOTO, {("unused-module", "bn4")}),
    (lambda: Grouped(groups=32), (1, 64, 56, 56), {("ignored-argument", "")}),
    (Stages, (1, 64, 56, 56), {("forward", "")}),
]
RIGHT = [name for name in NETWORKS if "printed" not in name]
BARE = {"Inception block", "Inception net"}
"""Convolutions follow each other with nothing between them, as the tutorials mean it."""


def found(module: nn.Module, shape: Shape) -> set[tuple[str, str]]:
    """The rules of all warnings and errors, with the paths that they speak of."""
    (checked,) = archscope.check(module, input=shape)
    return {(finding.rule, finding.path) for finding in checked.findings if finding.level != "note"}


@pytest.mark.parametrize(("make", "shape", "said"), FOUND)
def test_a_mistake_is_found(make: Callable[[], nn.Module], shape: Shape, said: set[tuple[str, str]]) -> None:
    assert found(built(make, "cpu"), shape) == said


@pytest.mark.parametrize("name", RIGHT)
def test_a_network_that_is_right_has_no_mistake(name: str) -> None:
    make, shape, *_ = NETWORKS[name]
    assert {rule for rule, _ in found(built(make, "cpu"), shape)} == ({"linear-linear"} if name in BARE else set())


@pytest.mark.parametrize(
    ("target", "shape", "params"), [("SimpleCnn", "1x1x28x28", "8,490"), ("BasicBlock", "1x3x9x9", "174")]
)
def test_a_class_in_a_file_is_a_target_of_the_command(target: str, shape: str, params: str) -> None:
    result = click.testing.CliRunner().invoke(cli, ["summary", f"{FILE}:{target}", "--input", shape])
    assert result.exit_code == 0, result.output
    assert f"{params} parameters" in result.output
