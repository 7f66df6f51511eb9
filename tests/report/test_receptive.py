"""Tests of receptive fields: published figures, and gradients in random networks."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import archscope
from archscope.report import Report
from archscope.report.receptive_field import field_text

V1 = """
input: [N, 3, 224, 224]
blocks:
  Early(channels, stride):
    - residual:
        main:
          - Conv2d(channels, 1, stride=stride)
          - Conv2d(channels, 3, padding=1)
          - Conv2d(4 * channels, 1)
        shortcut: Conv2d(4 * channels, 1, stride=stride)
layers:
  - Conv2d(64, 7, stride=2, padding=3)
  - MaxPool2d(3, stride=2, padding=1)
  - for: [channels, depth, stride]
    in: [[64, 3, 1], [128, 4, 2], [256, 6, 2], [512, 3, 2]]
    do:
      - repeat: depth
        do: Early(channels, stride if first else 1)
"""
ALEXNET = """
input: [N, 3, 224, 224]
layers:
  - Conv2d(64, 11, stride=4, padding=2)
  - MaxPool2d(3, stride=2)
  - Conv2d(192, 5, padding=2)
  - MaxPool2d(3, stride=2)
  - Conv2d(384, 3, padding=1)
  - Conv2d(256, 3, padding=1)
  - Conv2d(256, 3, padding=1)
  - MaxPool2d(3, stride=2)
"""


def widest(report: Report) -> str:
    """Return the last field before all positions are mixed."""
    return [said for said in map(field_text, report.receptive_fields) if said not in ("all", "?", "")][-1]


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ("specs/resnet.yaml:resnet18", 435),
        ("specs/resnet.yaml:resnet50", 427),  # its strides lie in the 3×3, as torchvision has them
        ("specs/vgg.yaml:vgg16", 212),
        ("specs/mobilenet_v2.yaml:mobilenet_v2", 491),
        ("specs/densenet.yaml:densenet121", 2071),
    ],
)
def test_published_fields(target: str, size: int) -> None:
    assert widest(archscope.summarize(target, device="meta")) == f"{size}×{size}"


@pytest.mark.parametrize(("spec", "size"), [(V1, 483), (ALEXNET, 195)], ids=["resnet50 v1", "alexnet"])
def test_published_fields_of_other_nets(spec: str, size: int, tmp_path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(spec, encoding="utf-8")
    assert widest(archscope.summarize(str(file), device="meta")) == f"{size}×{size}"


# ------------------------------------------------------------ comparison with gradients
LENGTH = 96
Maker = st.tuples(
    st.sampled_from(["conv", "pool", "average", "transposed", "up", "skip", "crop", "slice", "swap", "view"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
)


class RandomNet(nn.Module):
    """Steps along one axis, each with kernel k, stride s, dilation d."""

    def __init__(self, steps: list[tuple[str, int, int, int]]):
        super().__init__()
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for kind, k, s, d in self.steps:
            if x.shape[-1] < 12:
                break
            x = self.step(x, kind, k, s, d)
        return x

    def step(self, x: torch.Tensor, kind: str, k: int, s: int, d: int) -> torch.Tensor:
        weight = torch.ones(1, 1, k, dtype=x.dtype)
        match kind:
            case "conv":
                return functional.conv1d(x, weight, stride=s, dilation=d)
            case "pool" | "average":
                return functional.avg_pool1d(x, k, stride=s)
            case "transposed":
                return functional.conv_transpose1d(x, weight, stride=min(s, k))
            case "up":
                return functional.interpolate(x, scale_factor=float(s), mode="nearest")
            case "skip":
                return x + functional.conv1d(x, torch.ones(1, 1, 2 * k + 1, dtype=x.dtype), padding=k)
            case "crop":
                return functional.pad(x[..., k:-k], (k, 0))
            case "slice":
                return x[:, :, ::s]
            case "swap":
                return x.transpose(1, 2).contiguous().permute(0, 2, 1) * 2
            case _:
                return x.reshape(1, -1).unsqueeze(1)


def reach_by_gradient(net: nn.Module) -> int:
    """Return the largest distance between the first and the last input that an inner output depends on."""
    x = torch.zeros(1, 1, LENGTH, dtype=torch.float64, requires_grad=True)
    out = net(x)
    widths = [0]
    for position in range(out.shape[-1]):
        (gradient,) = torch.autograd.grad(out[0, 0, position], x, retain_graph=True, allow_unused=True)
        touched = gradient[0, 0].nonzero()
        widths.append(int(touched[-1] - touched[0]) + 1 if len(touched) else 0)
    return max(widths)


def coarse(steps: list[tuple[str, int, int, int]]) -> int:
    """Each upsampling shares a cell of its input among neighbours; a window may touch one more than its share."""
    jump, slack = Fraction(1), Fraction(0)
    for kind, _, s, _ in steps:
        enlarges = kind in ("transposed", "up")
        slack += jump if enlarges else 0
        jump = jump / s if enlarges else jump * s
    return ceil(slack)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.lists(Maker, min_size=1, max_size=5))
@example([("conv", 1, 2, 1), ("transposed", 2, 2, 1), ("conv", 2, 1, 1)])
def test_no_gradient_reaches_farther_than_the_field(steps: list[tuple[str, int, int, int]]) -> None:
    report = archscope.summarize(RandomNet(steps), input=("float64", (1, 1, LENGTH)))
    fields = report.receptive_fields or (((),))
    (said,) = fields[-1]
    assert said.size is not None
    assert reach_by_gradient(RandomNet(steps)) <= ceil(said.size) + coarse(steps)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["conv", "average", "skip"]), *[st.integers(1, 3)] * 3), max_size=4))
def test_windows_reach_as_far_as_the_field_says(steps: list[tuple[str, int, int, int]]) -> None:
    steps = [*steps, ("conv", 2, 1, 1)]
    (said,) = archscope.summarize(RandomNet(steps), input=("float64", (1, 1, 4 * LENGTH))).receptive_fields[-1]
    x = torch.zeros(1, 1, 4 * LENGTH, dtype=torch.float64, requires_grad=True)
    out = RandomNet(steps)(x)
    (gradient,) = torch.autograd.grad(out[0, 0, out.shape[-1] // 2], x)
    touched = gradient[0, 0].nonzero()
    assert int(touched[-1] - touched[0]) + 1 == said.size


# ------------------------------------------------------------ single functions
class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: functional.adaptive_avg_pool2d(x, 1), "all"),
        (lambda x: functional.adaptive_avg_pool2d(x, 4), "4×4"),
        (lambda x: functional.adaptive_max_pool2d(x, (1, 16)), "all×1"),
        (lambda x: x.mean(dim=(2, 3)), "all"),
        (lambda x: x.mean(dim=-1), "1×all"),
        (lambda x: x.flatten(1) @ torch.ones(768, 2), "all"),
        (lambda x: x.flatten(2).transpose(1, 2) @ torch.ones(3, 8), "1×1"),
        (lambda x: x.flatten(2).softmax(-1), "all"),
        (lambda x: x.softmax(1), "1×1"),
        (lambda x: functional.scaled_dot_product_attention(*[x.flatten(2).transpose(1, 2)] * 3), "all"),
        (lambda x: x.view(1, 3, 4, 4, 4, 4).transpose(3, 4).flatten(4).softmax(-1), "?"),
        (lambda x: functional.interpolate(x, scale_factor=2.0, mode="bilinear"), "2×2"),
        (lambda x: functional.pixel_unshuffle(x, 2), "2×2"),
        (lambda x: functional.pixel_shuffle(functional.pixel_unshuffle(x, 2), 2), "2×2"),
        (lambda x: functional.unfold(x, 3, padding=1), "3×3"),
        (lambda x: x[:, :, 0], "1×1"),
        (lambda x: x * x.mean(dim=(2, 3), keepdim=True), "all"),
        (lambda x: torch.stack([x, x], -2).softmax(2), "all×1"),
        (lambda x: torch.stack([x, x], -2).softmax(3), "1×1"),
        (lambda x: x.adjoint().softmax(3), "all×1"),
        (lambda x: x.view_as(torch.ones(1, 3, 256)).softmax(1), "1×1"),
        (lambda x: x.reshape_as(torch.ones(3, 16, 16)).softmax(1), "all×1"),
        (lambda x: x.flip(2), "?"),
        (lambda x: torch.fft.fft2(x).real, "all"),
        (lambda x: functional.conv2d(x, torch.ones(2, 3, 5, 3), padding="same", dilation=2), "9×5"),
        (lambda x: x.permute(0, 2, 3, 1).matmul(torch.ones(3, 3)).permute(0, 3, 1, 2), "1×1"),
    ],
)
def test_fields_of_functions(function, said: str) -> None:
    fields = archscope.summarize(Call(function), input=(1, 3, 16, 16)).receptive_fields
    assert field_text(fields[-1]) == said


def test_a_value_that_depends_on_no_input_has_no_field() -> None:
    fields = archscope.summarize(
        Call(lambda x: torch.arange(3).float() * 2 + x.sum()), input=(1, 3, 16, 16)
    ).receptive_fields
    assert [field_text(field) for field in fields[:3]] == ["", "", ""]


@pytest.mark.parametrize(
    ("shape", "net", "said"),
    [
        ((1, 10, 7), nn.Linear(7, 3), "1"),  # a sequence: features lie last
        ((1, 7, 10), nn.Conv1d(7, 3, 3), "3"),
        ((1, 10, 7), nn.LSTM(7, 3, batch_first=True), "all"),
        ((1, 2, 5, 6, 7), nn.Conv3d(2, 3, (1, 2, 3)), "1×2×3"),
        ((1, 12), nn.Linear(12, 3), "all"),
    ],
)
def test_positions_of_inputs(shape, net: nn.Module, said: str) -> None:
    assert field_text(archscope.summarize(net, input=shape).receptive_fields[-1]) == said
