"""Tests that twice the net is at most twice the work, from a model or a text to its figures, counted in calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

import archscope
from tests.counting import calls_of

SPEC = """\
input: [N, 3, 16, 16]
layers:
  - repeat: {depth}
    do:
      - Conv2d(3, 3, padding=1)
      - BatchNorm2d
      - ReLU
"""


def containers(depth: int) -> tuple[nn.Module, torch.Tensor]:
    """One layer in so many containers."""
    model: nn.Module = nn.Linear(8, 8)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model.eval(), torch.zeros(1, 8)


def triples(depth: int) -> tuple[nn.Module, torch.Tensor]:
    layers = [(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()) for _ in range(depth)]
    return nn.Sequential(*(layer for three in layers for layer in three)).eval(), torch.zeros(1, 3, 16, 16)


def summary(model: nn.Module, x: torch.Tensor) -> object:
    return archscope.summarize(model, args=(x,)).total.macs


def of_spec(depth: int) -> object:
    return archscope.summarize("net.yaml", texts={"net.yaml": SPEC.format(depth=depth)}, device="cpu").total.macs


@pytest.mark.moves_rng
@pytest.mark.parametrize("made", [containers, triples])
def test_a_module_of_twice_the_size(made: Callable[[int], tuple[nn.Module, torch.Tensor]]) -> None:
    summary(*made(1))
    small, large = (calls_of(partial(summary, *made(depth))) for depth in (50, 100))
    assert large <= 2.05 * small


def test_a_spec_of_twice_the_size() -> None:
    of_spec(1)
    small, large = (calls_of(partial(of_spec, depth)) for depth in (50, 100))
    assert large <= 2.05 * small
