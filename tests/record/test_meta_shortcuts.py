"""The shortcuts on the meta device return what torch returns there: shapes, dtypes, strides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from archscope.record.torch_functions import describe_function
from tests.record.runs import traced

pytestmark = pytest.mark.moves_rng

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.BatchNorm1d(4), (3, 4)),
    (nn.BatchNorm2d(4), (2, 4, 5, 6)),
    (nn.BatchNorm3d(4, affine=False), (2, 4, 2, 3, 2)),
    *(
        (kind(5, 7, layers, batch_first=first, bidirectional=both), (2, 3, 5))
        for kind in (nn.LSTM, nn.GRU, nn.RNN)
        for layers, first, both in ((1, False, False), (2, True, True), (2, False, True))
    ),
    (nn.LSTM(5, 7, proj_size=3, bidirectional=True), (2, 3, 5)),
    (nn.RNN(5, 7, nonlinearity="relu"), (2, 3, 5)),
    *((nn.Linear(5, 7, bias=bias), shape) for bias in (True, False) for shape in ((5,), (2, 5), (2, 3, 5), (0, 2, 5))),
    *((kind(), (2, 3, 5)) for kind in (nn.ReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh)),
]


class ComparingMode(TorchFunctionMode):
    """Compares every shortcut's answer with torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.compared: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        function = describe_function(func)
        quick = function.shortcut(args, kwargs or {}) if function.shortcut is not None else None
        if quick is not None:
            pairs = zip(listed(quick), listed(out), strict=True)
            assert all(
                (a.shape, a.dtype, a.stride(), a.device) == (b.shape, b.dtype, b.stride(), b.device) for a, b in pairs
            )
            self.compared.append(function.op)
        return out


def listed(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_a_shortcut_gives_what_torch_gives(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with ComparingMode() as mode, torch.no_grad():
        layer.to("meta").eval()(torch.empty(shape, device="meta"))
    assert len(mode.compared) == 1


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=str)
def test_what_may_be_derived_is_left_to_torch(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with ComparingMode() as mode:
        layer.to("meta").eval()(torch.empty(shape, device="meta", requires_grad=True))
    assert mode.compared == []


@pytest.mark.parametrize(("layer", "shape"), LAYERS[:3] + LAYERS[-5:], ids=str)
def test_forward_mode_derivatives_are_left_to_torch(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, device="meta")
    layer = layer.to("meta").eval()
    with ComparingMode() as mode, torch.no_grad():
        _, tangent = torch.func.jvp(layer, (x,), (x,))
        with forward_ad.dual_level():
            dual = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, x)))
    assert tangent.shape == dual.primal.shape
    assert dual.tangent is not None
    assert mode.compared == []


@pytest.mark.parametrize(("layer", "shape"), LAYERS[1:3] + LAYERS[-5:], ids=str)
def test_vmap_is_left_to_torch(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with ComparingMode() as mode, torch.no_grad():
        torch.func.vmap(layer.to("meta").eval())(torch.empty(6, *shape, device="meta"))
    assert mode.compared == []


def test_training_and_other_devices_are_left_to_torch() -> None:
    with ComparingMode() as mode, torch.no_grad():
        nn.BatchNorm2d(4)(torch.zeros(2, 4, 3, 3))
        nn.LSTM(5, 7)(torch.zeros(2, 3, 5))
        nn.BatchNorm2d(4).to("meta").train()(torch.empty(2, 4, 3, 3, device="meta"))
    assert mode.compared == []


def test_what_does_not_fit_is_left_to_torch() -> None:
    net = nn.BatchNorm2d(5).to("meta")
    (mismatch,) = traced(net, torch.empty(2, 4, 3, 3, device="meta")).mismatches
    assert mismatch.wrong_argument is not None
    assert (mismatch.wrong_argument.given, mismatch.wrong_argument.needed) == (5, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: nn.functional.linear(x.mT, torch.empty(3, 3, device="meta")),  # not contiguous
        lambda x: nn.functional.linear(x, torch.empty(5, device="meta")),  # a weight without rows
        lambda x: nn.functional.relu(x.mT),
        lambda x: nn.functional.relu(x, inplace=True),
    ],
)
def test_what_is_not_plain_is_left_to_torch(call: Any) -> None:
    with ComparingMode() as mode, torch.no_grad():
        call(torch.empty(2, 3, 5, device="meta"))
    assert mode.compared == []
