"""Tests of windows: output sizes equal torch's for any kernel, stride, padding and rounding."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from torch import nn

from archscope.ops.windows import Window, window_of
from archscope.trace import Row
from tests.record.runs import traced

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")]

DRAWS = 40


def conv(rng: Random, axes: int) -> nn.Module:
    said = {"stride": numbers(rng, axes, 1, 3), "padding": numbers(rng, axes, 0, 2), "dilation": rng.randint(1, 2)}
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(rng, axes, 1, 4), **said)


def same(rng: Random, axes: int) -> nn.Module:
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(rng, axes, 1, 4), padding="same", dilation=rng.randint(1, 2))


def valid(rng: Random, axes: int) -> nn.Module:
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(rng, axes, 1, 4), padding="valid", stride=rng.randint(1, 2))


def transposed(rng: Random, axes: int) -> nn.Module:
    stride = numbers(rng, axes, 1, 3)
    said = {
        "stride": stride,
        "padding": numbers(rng, axes, 0, 1),
        "output_padding": tuple(rng.randint(0, step - 1) for step in stride),
        "dilation": rng.randint(1, 2),
    }
    return getattr(nn, f"ConvTranspose{axes}d")(2, 2, numbers(rng, axes, 2, 4), **said)


def max_pool(rng: Random, axes: int) -> nn.Module:
    kernel = rng.randint(2, 4)
    said = {"stride": rng.choice([None, 1, 2, 3]), "padding": rng.randint(0, kernel // 2)}
    pool = getattr(nn, f"MaxPool{axes}d")
    return pool(kernel, **said, dilation=rng.randint(1, 2), ceil_mode=rng.random() < 0.5)


def avg_pool(rng: Random, axes: int) -> nn.Module:
    kernel = rng.randint(2, 4)
    said = {"stride": rng.choice([None, 1, 2, 3]), "padding": rng.randint(0, kernel // 2)}
    return getattr(nn, f"AvgPool{axes}d")(kernel, **said, ceil_mode=rng.random() < 0.5)


def lp_pool(rng: Random, axes: int) -> nn.Module:
    pool = getattr(nn, f"LPPool{axes}d")
    return pool(2, rng.randint(1, 4), stride=rng.choice([None, 1, 2, 3]), ceil_mode=rng.random() < 0.5)


def numbers(rng: Random, axes: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(rng.randint(least, most) for _ in range(axes))


def windowed(layer: nn.Module, *sizes: int) -> tuple[Row, Window]:
    """Return the only row of a layer, and its window."""
    (row,) = (row for row in traced(layer, torch.zeros(1, 2, *sizes)).rows if window_of(row))
    window = window_of(row)
    assert window is not None
    return row, window


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("draw", [conv, same, valid, transposed, max_pool, avg_pool, lp_pool])
def test_output_sizes_equal_those_of_torch(draw: Any, axes: int) -> None:
    rng = Random(f"{draw.__name__} {axes}")
    for _ in range(DRAWS):
        layer, sizes = draw(rng, axes), numbers(rng, axes, 7, 12)
        row, window = windowed(layer, *sizes)
        assert window.axes == axes
        given = tuple(window.size(size, axis) for axis, size in enumerate(sizes))
        assert given == row.outputs[0].shape[2:], f"{layer} on {sizes}"


def test_the_last_window_of_a_rounded_up_pool_starts_inside() -> None:
    """Stride 4 on 7 rows and the one before them: a third window would start behind the last row, so there are two."""
    row, window = windowed(nn.MaxPool2d(2, 4, ceil_mode=True, padding=1), 7, 7)
    assert window.size(7, 0) == row.outputs[0].shape[2] == 2


def test_other_functions_have_no_window() -> None:
    rows = traced(nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()), torch.zeros(1, 2, 5, 5)).rows
    assert [window_of(row) for row in rows] == [None] * 3


@pytest.mark.parametrize(("kernel", "dilation", "reach"), [(1, 1, 1), (3, 1, 3), (3, 2, 5), (2, 4, 5)])
def test_the_effective_kernel_includes_the_gaps_of_the_dilation(kernel: int, dilation: int, reach: int) -> None:
    _, window = windowed(nn.Conv2d(2, 2, kernel, dilation=dilation), 9, 9)
    assert window.effective_kernel(0) == reach
