"""The mistakes in the code of four tutorials: each is found by a rule, and the corrected nets have no findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn
from torch.nn import functional

import archscope
from archscope.report import Finding

pytestmark = pytest.mark.moves_rng


def found_in(target: object, **options: object) -> set[tuple[str, str]]:
    """Return the rules and paths of all findings but notes."""
    return {(f.rule, f.path) for f in findings(target, **options) if f.level != "note"}


def findings(target: object, **options: object) -> Iterator[Finding]:
    for checked in archscope.check(target, **options):
        yield from checked.findings


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("basic_block.yaml:as_printed", {("residual-without-add", ""), ("repeated-norm", "0.2")}),
        ("basic_block_net.yaml:as_printed", {("residual-without-add", "res"), ("repeated-norm", "res.2")}),
        ("residual_mnist.yaml:constant_scaling_as_printed", {("unused-value", "3")}),
        ("residual_mnist.yaml:conv_shortcut_as_printed", {("unused-value", "3")}),
        ("basic_block.yaml:fixed", set()),
        ("basic_block_net.yaml:fixed", set()),
        ("residual_mnist.yaml:plain", set()),
        ("residual_mnist.yaml:constant_scaling", set()),
        ("residual_mnist.yaml:conv_shortcut", set()),
        ("residual_block.yaml:strided", set()),
        ("lenet.yaml", set()),
        ("cnn3.yaml", set()),
        ("mlp.yaml", set()),
    ],
)
def test_mistakes_kept_in_specs(target: str, found: set[tuple[str, str]]) -> None:
    assert found_in(f"specs/tutorials/{target}") == found


def test_the_groups_that_a_block_ignores() -> None:
    reported = list(findings("specs/resnet.yaml:resnext50_as_printed"))
    ignored = [f.message for f in reported if f.rule == "ignored-argument"]
    assert [message.split("'")[1] for message in ignored] == ["groups", "base_width"]


@pytest.mark.parametrize(
    ("file", "right", "printed", "rule"),
    [
        ("bottleneck_1x1.yaml", "12_443_648", "12_433_648", "expect-macs"),
        ("cnn3.yaml", "[N, 32, 4, 4]", "[N, 20, 4, 4]", "expect-shape"),
    ],
)
def test_printed_figures_that_are_wrong(file: str, right: str, printed: str, rule: str, tmp_path: Path) -> None:
    text = Path("specs/tutorials", file).read_text(encoding="utf-8")
    assert right in text
    copy = tmp_path / file
    copy.write_text(text.replace(right, printed), encoding="utf-8")
    assert rule in {found for found, _ in found_in(str(copy))}


# ------------------------------------------------------------ the same in Python
class Scaling(nn.Module):
    """`y = conv1(x)`, and then conv2 of x where conv2 of y is meant."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x):
        y = functional.relu(self.conv1(x))
        y = self.conv2(x)
        return functional.relu(0.5 * (x + y))


class ResNetBasicBlock(nn.Module):
    """The input is put into a tuple and dropped; one norm runs twice."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        residual = (x,)  # noqa: F841 — the tutorial's mistake
        out = self.bn1(self.conv1(x))
        out = functional.relu(self.bn1(out))
        return self.bn2(self.conv2(out))


class Stages(nn.Module):
    """conv3 is assigned twice, and bn4 never called."""

    def __init__(self):
        super().__init__()
        self.conv3 = nn.Conv2d(3, 8, 3, bias=False)
        self.bn3, self.bn4 = nn.BatchNorm2d(8), nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(3, 8, 3, bias=False)

    def forward(self, x):
        return functional.relu(self.bn3(self.conv3(x)))


class Grouped(nn.Module):
    """`groups` and `width_per_group` are accepted and ignored."""

    def __init__(self, channels: int, groups: int = 1, width_per_group: int = 64):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


class Stage(nn.Module):
    """`_make_layer` gives nothing where no projection is needed."""

    def __init__(self):
        super().__init__()
        self.layer1 = self._make_layer(1)

    def _make_layer(self, stride: int):
        if stride != 1:
            return nn.Sequential(Grouped(3))
        return None

    def forward(self, x):
        return self.layer1(x)


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (Scaling(3), {("unused-value", "")}),
        (ResNetBasicBlock(3), {("residual-without-add", ""), ("repeated-norm", "bn1")}),
        (Stages(), {("unused-module", "bn4")}),
        (Grouped(3), {("ignored-argument", "")}),
    ],
    ids=lambda case: type(case).__name__,
)
def test_mistakes_kept_in_python(module: nn.Module, found: set[tuple[str, str]]) -> None:
    assert found_in(module, input=(1, 3, 28, 28)) == found


def test_a_stage_that_is_none() -> None:
    assert {rule for rule, _ in found_in(Stage(), input=(1, 3, 28, 28))} == {"forward"}
