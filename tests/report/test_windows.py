"""Tests of windows: output sizes equal torch's for any kernel, stride, padding and rounding."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from torch import nn

from archscope.report.windows import Window, window_of
from archscope.trace import Row
from tests.record.runs import traced

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")]

DRAWS = 40


def conv(dice: Random, axes: int) -> nn.Module:
    said = {"stride": numbers(dice, axes, 1, 3), "padding": numbers(dice, axes, 0, 2), "dilation": dice.randint(1, 2)}
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(dice, axes, 1, 4), **said)


def same(dice: Random, axes: int) -> nn.Module:
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(dice, axes, 1, 4), padding="same", dilation=dice.randint(1, 2))


def valid(dice: Random, axes: int) -> nn.Module:
    return getattr(nn, f"Conv{axes}d")(2, 2, numbers(dice, axes, 1, 4), padding="valid", stride=dice.randint(1, 2))


def transposed(dice: Random, axes: int) -> nn.Module:
    stride = numbers(dice, axes, 1, 3)
    said = {
        "stride": stride,
        "padding": numbers(dice, axes, 0, 1),
        "output_padding": tuple(dice.randint(0, step - 1) for step in stride),
        "dilation": dice.randint(1, 2),
    }
    return getattr(nn, f"ConvTranspose{axes}d")(2, 2, numbers(dice, axes, 2, 4), **said)


def max_pool(dice: Random, axes: int) -> nn.Module:
    kernel = dice.randint(2, 4)
    said = {"stride": dice.choice([None, 1, 2, 3]), "padding": dice.randint(0, kernel // 2)}
    pool = getattr(nn, f"MaxPool{axes}d")
    return pool(kernel, **said, dilation=dice.randint(1, 2), ceil_mode=dice.random() < 0.5)


def avg_pool(dice: Random, axes: int) -> nn.Module:
    kernel = dice.randint(2, 4)
    said = {"stride": dice.choice([None, 1, 2, 3]), "padding": dice.randint(0, kernel // 2)}
    return getattr(nn, f"AvgPool{axes}d")(kernel, **said, ceil_mode=dice.random() < 0.5)


def lp_pool(dice: Random, axes: int) -> nn.Module:
    pool = getattr(nn, f"LPPool{axes}d")
    return pool(2, dice.randint(1, 4), stride=dice.choice([None, 1, 2, 3]), ceil_mode=dice.random() < 0.5)


def numbers(dice: Random, axes: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(dice.randint(least, most) for _ in range(axes))


def windowed(layer: nn.Module, *sizes: int) -> tuple[Row, Window]:
    """The only row of a layer, and its window."""
    (row,) = (row for row in traced(layer, torch.zeros(1, 2, *sizes)).rows if window_of(row))
    window = window_of(row)
    assert window is not None
    return row, window


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("draw", [conv, same, valid, transposed, max_pool, avg_pool, lp_pool])
def test_a_window_gives_the_size_that_torch_gives(draw: Any, axes: int) -> None:
    dice = Random(f"{draw.__name__} {axes}")
    for _ in range(DRAWS):
        layer, sizes = draw(dice, axes), numbers(dice, axes, 7, 12)
        row, window = windowed(layer, *sizes)
        assert window.axes == axes
        given = tuple(window.size(size, axis) for axis, size in enumerate(sizes))
        assert given == row.outputs[0].shape[2:], f"{layer} on {sizes}"


def test_the_last_window_of_a_rounded_up_pool_starts_inside() -> None:
    """Stride 4 on 7 rows and the one before them: a third window would start behind the last row, so there are two."""
    row, window = windowed(nn.MaxPool2d(2, 4, ceil_mode=True, padding=1), 7, 7)
    assert window.size(7, 0) == row.outputs[0].shape[2] == 2


def test_what_is_no_window_has_none() -> None:
    rows = traced(nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()), torch.zeros(1, 2, 5, 5)).rows
    assert [window_of(row) for row in rows] == [None] * 3


@pytest.mark.parametrize(("kernel", "dilation", "reach"), [(1, 1, 1), (3, 1, 3), (3, 2, 5), (2, 4, 5)])
def test_reach_counts_the_rows_between_the_taps(kernel: int, dilation: int, reach: int) -> None:
    _, window = windowed(nn.Conv2d(2, 2, kernel, dilation=dilation), 9, 9)
    assert window.effective_kernel(0) == reach
