"""Conflicts and failures of Python models have the place of the author's line."""

from __future__ import annotations

import linecache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archscope.errors import Span
from tests.record.runs import recorded


class Sum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x[:, :2]  # here: x +


class Called(nn.Module):
    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)  # here: self.layer


class Functional(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Sequential(nn.ReLU())(F.linear(x, torch.ones(2, 3)))  # here: F.linear


class Thrower(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("three channels, please")  # here: raise


def text_at(place: Span | None) -> str:
    """The author's text from a place on."""
    assert place is not None
    return linecache.getline(place.file, place.line)[place.column - 1 :]


@pytest.mark.parametrize(
    ("net", "shape", "text"),
    [
        (Sum(), (2, 5), "x +"),
        (Called(nn.Linear(3, 4)), (2, 5), "self.layer"),
        (Called(nn.Sequential(nn.ReLU(), nn.Linear(3, 4))), (2, 5), "self.layer"),
        (Called(nn.LSTM(3, 4)), (2, 2, 5), "self.layer"),
        (Called(nn.MultiheadAttention(4, 2)), (2, 2, 5), "self.layer"),
        (Functional(), (2, 5), "F.linear"),
    ],
)
@pytest.mark.moves_rng
def test_a_conflict_stands_at_the_authors_line(net: nn.Module, shape: tuple[int, ...], text: str) -> None:
    mismatch = recorded(net, torch.zeros(shape)).trace.mismatches[0]
    assert text_at(mismatch.site.place).startswith(text)


def test_a_failure_stands_where_it_was_raised() -> None:
    failure = recorded(nn.Sequential(Thrower()), torch.zeros(2)).trace.failure
    assert failure is not None
    assert text_at(failure.site.place).startswith("raise")


@pytest.mark.moves_rng
def test_torchs_own_modules_have_no_author() -> None:
    mismatch = recorded(nn.Sequential(nn.Linear(3, 4)), torch.zeros(2, 5)).trace.mismatches[0]
    assert mismatch.site.place is None
