"""Tests of causes: two random branches that cannot be joined → the class that their layers imply."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from random import Random

import pytest
import torch
from torch import Tensor, nn

from archscope.conflicts.axis_history import AxisChange
from archscope.conflicts.causes import (
    CAUSE_CLASSES,
    ConflictFacts,
    classify_cause,
    fits_another_image,
    leftover_rows,
    window_stride,
)
from archscope.conflicts.diagnosis import Diagnosis, diagnose_conflicts
from archscope.fixes.proposals import SOURCE_ORDER
from archscope.trace import Operand, Row, Value
from archscope.trace_index import TraceIndex
from tests.record.runs import recorded

pytestmark = pytest.mark.moves_rng


def branch(dice: Random, channels: int) -> nn.Sequential:
    """Return windows with any stride and padding, from 4 channels to a few."""
    layers: list[nn.Module] = []
    for _ in range(dice.randint(1, 3)):
        size, step = dice.choice([1, 2, 3]), dice.choice([1, 1, 2])
        layers.append(nn.Conv2d(4, 4, size, stride=step, padding=dice.randint(0, size // 2)))
        layers.append(nn.MaxPool2d(2) if dice.random() < 0.2 else nn.ReLU())
    return nn.Sequential(*layers, nn.Conv2d(4, channels, 1))


def steps(branch: nn.Sequential) -> int:
    """Return how many pixels of the input one pixel of the output corresponds to."""
    return prod(2 if isinstance(layer, nn.MaxPool2d) else getattr(layer, "stride", [1])[0] for layer in branch)


class Sum(nn.Module):
    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        left, right = (branch(x) for branch in self.branches)
        return left + right


def diagnosis(model: nn.Module, *shape: int) -> Diagnosis | None:
    """Return the diagnosis of the first conflict."""
    trace = recorded(model, torch.zeros(shape)).trace
    assert trace.failure is None
    return next(iter(diagnose_conflicts(TraceIndex(trace))), None)


@pytest.mark.law
@pytest.mark.parametrize("seed", range(60))
def test_the_cause_is_what_the_branches_show(seed: int) -> None:
    dice = Random(seed)
    branches = [branch(dice, dice.randint(2, 3)) for _ in range(2)]
    left, right = (tuple(layer(torch.zeros(1, 4, 33, 33)).shape) for layer in branches)
    found = diagnosis(Sum(*branches), 1, 4, 33, 33)
    if found is None:
        assert torch.broadcast_shapes(left, right)
        return
    same_image, same_steps = left[2:] == right[2:], steps(branches[0]) == steps(branches[1])
    sizes = ("off-by-one", "spatial-size") if same_steps else ("stride",)
    assert found.cause in (("channels",) if same_image else sizes)


@pytest.mark.parametrize("seed", range(10))
def test_the_cause_does_not_ask_which_side_is_which(seed: int) -> None:
    dice = Random(seed)
    branches = [branch(dice, dice.randint(2, 3)) for _ in range(2)]
    one, other = (diagnosis(Sum(*order), 2, 4, 33, 33) for order in (branches, branches[::-1]))
    assert (one and one.cause) == (other and other.cause)


class Flat(nn.Module):
    """An image flattened for a Linear that was made for another one."""

    def __init__(self, features: int, *, flatten: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool, self.fc, self.flatten = nn.MaxPool2d(2), nn.Linear(features, 5), flatten

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.conv(x))
        return self.fc(y.flatten(1) if self.flatten else y)


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (Flat(4 * 7 * 7), "input-size"),
        (Flat(4 * 14 * 14), "input-size"),
        (Flat(4 * 64 + 1), "channels"),
        (Flat(4 * 63), "channels"),
        (Flat(4 * 8 * 8, flatten=False), "layout"),
        (Flat(4 * 8 * 9, flatten=False), "channels"),
    ],
)
def test_causes_of_a_linear(model: nn.Module, cause: str) -> None:
    found = diagnosis(model, 1, 3, 16, 16)
    assert found is not None
    assert found.cause == cause


class Two(nn.Module):
    """Two values of given shapes, added."""

    def __init__(self, left: tuple[int, ...], right: tuple[int, ...]):
        super().__init__()
        self.shapes = left, right

    def forward(self, x: Tensor) -> Tensor:
        left, right = (x.new_zeros(shape) for shape in self.shapes)
        return left + right


@pytest.mark.parametrize(
    ("left", "right", "cause"),
    [
        ((2, 8, 4, 4), (2, 4, 4, 8), "layout"),
        ((2, 16, 10), (2, 10, 16), "layout"),
        ((2, 8, 4, 4), (2, 8, 16), "layout"),
        ((2, 8, 4, 4), (3, 8, 4, 4), "batch"),
        ((2, 8), (3, 8), "batch"),
        ((8,), (9,), "channels"),
        ((2, 8), (2, 9), "channels"),
        ((2, 16, 10), (2, 16, 12), "channels"),
    ],
)
def test_causes_of_shapes_alone(left: tuple[int, ...], right: tuple[int, ...], cause: str) -> None:
    found = diagnosis(Two(left, right), 1)
    assert found is not None
    assert found.cause == cause


def test_every_class_has_its_proposals_but_the_one_that_only_a_proposal_shows() -> None:
    assert {*SOURCE_ORDER, "source"} == set(CAUSE_CLASSES)


# ------------------------------------------------------------ the parts
DOORS = (("x", (1, 4, 8, 8)), ("weight", (4, 4, 1, 1)))


def change(short: str, size: int, **attributes: object) -> AxisChange:
    doors = tuple(Operand(name, Value(number, shape, "float32", 0)) for number, (name, shape) in enumerate(DOORS))
    row = Row(0, "0", short, "", -1, doors, (), attributes=tuple(attributes.items()), short_name=short)
    return AxisChange(row, ((2, size, size // 2), (3, size, size // 2)), (1, 4, size // 2, size // 2))


@pytest.mark.parametrize(
    ("short", "attributes", "step"),
    [
        ("conv2d", {"stride": (2, 2)}, 2),
        ("conv2d", {}, 1),
        ("max_pool2d", {"kernel_size": 3, "stride": None}, 3),
        ("max_pool2d", {"kernel_size": 3, "stride": 2}, 2),
        ("conv_transpose2d", {"stride": (2, 2)}, 0.5),
    ],
)
def test_the_stride_of_a_row(short: str, attributes: dict[str, object], step: float) -> None:
    assert window_stride(change(short, 8, **attributes).row) == step


@pytest.mark.parametrize("size", range(4, 12))
def test_a_window_rounds_where_its_stride_does_not_divide(size: int) -> None:
    assert leftover_rows(change("max_pool2d", size, kernel_size=2, stride=2)) == size % 2
    assert leftover_rows(change("conv2d", size, stride=(3, 3))) == (size - 1) % 3
    assert leftover_rows(change("conv2d", size, stride=(3, 3), padding=(1, 1))) == (size + 1) % 3
    assert leftover_rows(change("conv2d", size, stride=(1, 1))) == 0
    assert leftover_rows(change("interpolate", size)) == 0


@pytest.mark.parametrize("side", range(1, 9))
@pytest.mark.parametrize("channels", [1, 4, 16])
def test_features_of_another_square_image(side: int, channels: int) -> None:
    found = diagnosis(Flat(7), 1, 3, 16, 16)
    assert found is not None
    flatten = next(one for one in found.sides[0] if one.row.short_name == "flatten")
    assert fits_another_image(4 * side * side, flatten)
    assert not fits_another_image(4 * side * (side + 1), flatten)
    assert not fits_another_image(4 * side * side + 1, flatten)
    assert not fits_another_image("4", flatten)


def test_a_fixed_operation_of_no_kind_is_not_judged_by_its_message() -> None:
    """The class comes from shapes and steps; the fact's words are not read."""
    found = diagnosis(Two((2, 8), (2, 9)), 1)
    assert found is not None
    reworded = replace(found.mismatch, fact="stride off-by-one layout")
    assert classify_cause(ConflictFacts(reworded, found.shapes, found.sides, found.axis_names)) == found.cause
