"""Tests of fitting input sizes: each runs in PyTorch, and none is nearer. Names of axes, view factors, unusual nets."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.conflicts.axis_names import AxisNames
from archscope.conflicts.diagnosis import diagnose_conflicts
from archscope.conflicts.fitting_sizes import FittingSizes
from archscope.conflicts.sizes_json import sizes_json
from archscope.conflicts.view_factors import find_view_factors
from archscope.report import Finding
from archscope.trace_index import TraceIndex
from tests.record.runs import recorded

pytestmark = pytest.mark.moves_rng


class Hourglass(nn.Module):
    """Windows that shrink a map, upsampling that enlarges it, and a sum or a concat at each level."""

    def __init__(self, dice: Random, axes: int):
        super().__init__()
        conv, pool, transposed = (getattr(nn, f"{kind}{axes}d") for kind in ("Conv", "MaxPool", "ConvTranspose"))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for _ in range(dice.randint(1, 3)):
            kernel = dice.choice([2, 3, 4, 5])
            windows = [conv(2, 2, kernel, stride=2, padding=dice.randint(0, kernel // 2)), pool(2), pool(3, 2, 1)]
            self.down.append(dice.choice([*windows, pool(2, ceil_mode=True)]))
            self.up.append(dice.choice([transposed(2, 2, 2, stride=2), nn.Upsample(scale_factor=2.0)]))
        self.joins = [dice.random() < 0.5 for _ in self.up]
        self.mix = nn.ModuleList(conv(4, 2, 1) for _ in self.up)

    def forward(self, x: Tensor) -> Tensor:
        levels = [x]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        y = levels.pop()
        for layer, mix, joined in zip(self.up, self.mix, self.joins, strict=True):
            skip, y = levels.pop(), layer(y)
            y = mix(torch.cat([skip, y], 1)) if joined else skip + y
        return y


def first_fit(model: nn.Module, *shape: int) -> FittingSizes | None:
    """Return the fitting input sizes of the first conflict; None if there are none."""
    trace = recorded(model, torch.zeros(shape)).trace
    found = next(iter(diagnose_conflicts(TraceIndex(trace))), None)
    return found.fit if found is not None else None


def runs(model: nn.Module, *shape: int) -> bool:
    try:
        model(torch.zeros(shape))
    except RuntimeError:
        return False
    return True


@pytest.mark.law(keep=30)
@pytest.mark.parametrize("seed", range(150))
def test_a_size_that_is_told_runs_and_none_that_is_nearer_does(seed: int) -> None:
    dice = Random(seed)
    axes = dice.choice([1, 1, 2, 2, 3])
    model, given = Hourglass(dice, axes).eval(), [dice.randint(14, 40) for _ in range(axes)]
    if runs(model, 1, 2, *given):
        return
    fit = first_fit(model, 1, 2, *given)
    if fit is None or fit.whole:
        return
    assert [axis.given for axis in fit.axes] == given
    for shape in fit.shapes:
        assert runs(model, 1, 2, *shape)
    for place, axis in enumerate(fit.axes):
        others = list(fit.shapes[0])
        for nearer in range((axis.below or axis.given) + 1, axis.above or axis.given) if not axis.fits else ():
            others[place] = nearer
            assert not runs(model, 1, 2, *others)


def test_most_conflicts_of_sizes_have_sizes_that_fit() -> None:
    models = [(Hourglass(Random(seed), 2).eval(), Random(seed).randint(15, 40)) for seed in range(60)]
    broken = [(model, size) for model, size in models if not runs(model, 1, 2, size, size + 9)]
    fits = [first_fit(model, 1, 2, size, size + 9) for model, size in broken]
    assert len(broken) > 20
    assert sum(fit is not None for fit in fits) >= 0.8 * len(broken)


# ------------------------------------------------------------ names
class Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cut, self.key = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.key(self.cut(x).flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ("model", "shape", "names"),
    [
        (nn.Conv1d(2, 4, 3), (1, 2, 9), ("N", "C", "L")),
        (nn.Conv3d(2, 4, 3), (1, 2, 9, 9, 9), ("N", "C", "D", "H", "W")),
        (nn.Conv2d(2, 4, 3), (2, 9, 9), ("C", "H", "W")),
        (Patches(), (1, 3, 8, 8), ("N", "H·W", "C")),
        (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3)), (2, 5, 6), ("N", "T", "C")),
        (nn.GroupNorm(2, 4), (1, 4, 2, 2, 2, 2), ("", "", "", "", "", "")),
    ],
)
def test_axes_are_named_after_the_layers(model: nn.Module, shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    trace = recorded(model, torch.zeros(shape)).trace
    assert AxisNames(TraceIndex(trace)).of(trace.outputs[0].value) == names


# ------------------------------------------------------------ views
@pytest.mark.parametrize(
    ("declared", "shape", "windows", "expected"),
    [
        ((2, 64, 6, 85), (2, 64, 512), (), ["512 = 6·85 + 2"]),
        ((2, 64, 3, 6, 85), (2, 64, 1536), (), ["512 = 6·85 + 2"]),
        ((1, 8, 7, 8, 7, 4), (1, 60, 56, 4), (1, 2), ["60 = 8·7 + 4"]),
        ((3, 11, 13), (3, 11, 19, 17), (), ["323 = 19·17 is not 13"]),
        ((1, 4, 2820), (1, 4, 48, 60), (), ["2880 = 48·60 is not 2820 = 47·60"]),
        ((2, 0, 3, 4), (2, 12), (), []),
        ((-1, 16), (3, 5), (), []),
        ((6,), (2, 3), (), []),
    ],
)
def test_a_view_in_numbers(
    declared: tuple[int, ...], shape: tuple[int, ...], windows: tuple[int, ...], expected: list[str]
) -> None:
    assert [str(one) for one in find_view_factors(declared, shape, windows)] == expected


# ------------------------------------------------------------ odd inputs
class Call(nn.Module):
    def __init__(self, run: object, **layers: nn.Module):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)  # type: ignore[operator]


ODD = {
    "view with 0": (Call(lambda m, x: x.view(2, 0, 3, 4)), (2, 12)),
    "no channels": (Call(lambda m, x: m.l(x[:, :0].flatten(1)), l=nn.Linear(8, 4)), (1, 3, 4, 4)),
    "scalar": (Call(lambda m, x: m.c(x.sum()), c=nn.Conv2d(3, 4, 3)), (1, 3, 4, 4)),
    "vector": (Call(lambda m, x: x + x[1:]), (8,)),
    "six axes": (nn.Sequential(nn.GroupNorm(2, 4), nn.Linear(3, 4)), (1, 4, 2, 2, 2, 2)),
    "too few axes": (nn.LayerNorm((3, 5, 9)), (5, 8)),
    "addmm": (Call(lambda m, x: torch.addmm(torch.zeros(5), x, torch.zeros(23, 5))), (2, 24)),
}


def finding(name: str) -> Finding:
    model, shape = ODD[name]
    (checked,) = archscope.check(model, input=shape)
    return checked.errors().findings[0]


@pytest.mark.parametrize("name", ODD)
def test_odd_shapes_are_told(name: str) -> None:
    assert finding(name).rule.endswith("-shape")


def test_what_is_told_of_odd_shapes() -> None:
    assert finding("vector").rule == "add-shape"
    assert finding("too few axes").help == "normalized_shape has 3 dimensions, its input 2"
    assert "transpose" not in finding("addmm").help


class Query(nn.Module):
    """A learned query through many residual layers: as many ways back as there are subsets of them."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.embed = nn.Parameter(torch.zeros(1, 8, 16)), nn.Linear(9, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(40))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query
        for layer in self.layers:
            query = query + layer(query)
        return self.embed(x) + query


def test_ways_back_are_gone_once() -> None:
    fit = first_fit(Query(), 1, 7, 9)
    assert fit is not None
    assert fit.whole or fit.shapes == ((8,),)


class Resized(nn.Module):
    """A size that follows the input is none that the net was made for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + nn.functional.interpolate(y, size=(y.shape[2] * 2 + 1, y.shape[3] * 2 + 1))


def test_a_size_that_was_worked_out_is_not_solved_for() -> None:
    assert first_fit(Resized(), 1, 3, 56, 56) is None


def test_sizes_are_plain_data() -> None:
    trace = recorded(Query(), torch.zeros(1, 7, 9)).trace
    data = sizes_json(diagnose_conflicts(TraceIndex(trace))[0])
    assert data["axes"] == [{"axis": 1, "name": "T", "sizes": [7, 8]}]
    assert data["input_sizes"] == {
        "input": "x",
        "axes": [{"axis": 1, "name": "T", "given": 7, "fits": [8], "multiples_of": None}],
        "whole": None,
    }
