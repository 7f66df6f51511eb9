"""The numbers that the chapter on convolutional networks prints: one-layer specs with given weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import archscope

IMAGE = [[3, 4, 6, 5, 7], [2, 4, 6, 8, 2], [1, 6, 7, 8, 4], [9, 7, 4, 6, 2], [3, 7, 5, 4, 1]]
KERNEL = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
PADDED = [
    [91, 168, 224, 215, 127],
    [114, 211, 295, 262, 149],
    [192, 259, 282, 214, 122],
    [194, 251, 253, 169, 86],
    [96, 112, 110, 68, 31],
]


def image(rows: list[list[int]]) -> Tensor:
    return torch.tensor([[rows]], dtype=torch.float32)


def one_layer(folder: Path, shape: str, step: str) -> nn.Module:
    path = folder / "net.yaml"
    path.write_text(f"input: {shape}\nlayers:\n  - {step}\n", encoding="utf-8")
    return archscope.build(str(path), seed=0).eval()


@pytest.mark.parametrize(
    ("step", "output"),
    [
        ("Conv2d(1, 3, padding=1, bias=False)", PADDED),
        ("Conv2d(1, 1, kernel_size=3, padding=1, bias=False)", PADDED),
        ("Conv2d: {out_channels: 1, kernel_size: 3, padding: same, bias: false}", PADDED),
        ("Conv2d(1, 3, stride=2, bias=False)", [[211, 262], [251, 169]]),
        ("Conv2d(1, 3, bias=False)", [[211, 295, 262], [259, 282, 214], [251, 253, 169]]),
    ],
)
@torch.no_grad()
def test_a_convolution_of_the_chapter(tmp_path: Path, step: str, output: list[list[int]]) -> None:
    net = one_layer(tmp_path, "[N, 1, 5, 5]", step)
    (weight,) = net.parameters()
    weight.copy_(image(KERNEL))
    assert net(image(IMAGE)).tolist() == [[output]]


@torch.no_grad()
def test_max_pooling_of_the_chapter(tmp_path: Path) -> None:
    net = one_layer(tmp_path, "[N, 1, 4, 4]", "MaxPool2d(2)")
    assert net(image([row[:4] for row in IMAGE[:4]])).tolist() == [[[[4, 8], [9, 8]]]]


def test_a_shape_of_the_chapter(tmp_path: Path) -> None:
    net = one_layer(tmp_path, "[N, 5, 100, 100]", "Conv2d(5, 10, kernel_size=3)")
    assert net(torch.zeros(1, 5, 100, 100)).shape == (1, 10, 98, 98)
    assert [tuple(p.shape) for p in net.parameters()] == [(10, 5, 3, 3), (10,)]
