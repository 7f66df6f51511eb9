"""Differences of the reference counters on small nets with figures by hand; none is unexplained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import flop_registry

import archscope
from archscope.counters.differences import Account, CrossCheck

pytest.importorskip("fvcore.nn")
pytest.importorskip("torchinfo")
pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]  # weights are drawn; torch warns of packing


class Net(nn.Module):
    """Parts and raw weights, and a function of them as its forward."""

    def __init__(self, forward: Callable[..., Any], *parts: nn.Module, **weights: tuple[int, ...]):
        super().__init__()
        self.function = forward
        self.parts = nn.ModuleList(parts)
        for name, shape in weights.items():
            self.register_parameter(name, nn.Parameter(torch.ones(shape)))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


class Opaque(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        return x @ w


class Conv1D(nn.Module):
    """A linear layer under a misleading name."""

    def __init__(self, wide: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(wide, out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def attention(net: Net, x: Tensor) -> Tensor:
    query, key, value = net.parts[0](x)[:, None].chunk(3, -1)
    return net.parts[1](F.scaled_dot_product_attention(query, key, value)[:, 0])


def called_by_hand(net: Net, x: Tensor) -> Tensor:
    return net.parts[0].forward(x)


def with_dead_work(net: Net, x: Tensor) -> Tensor:
    net.parts[0](x)
    return net.parts[1](x)


def tied() -> nn.Module:
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    net[1].weight = net[0].weight
    return net


def packed(net: Net, x: Tensor) -> Tensor:
    return net.parts[0](pack_padded_sequence(x, torch.tensor([5, 3])))[1][0]


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Linear(8, 4, bias=False), "weight", 12)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


TOKENS = torch.zeros(2, 3, dtype=torch.long)
FVCORE, TORCHINFO, COUNTER = "fvcore", "torchinfo", "FlopCounterMode"


@dataclass(frozen=True)
class Case:
    """A net and its input, and the differences of one counter: sentence → theirs less ours."""

    name: str
    make: Callable[[], nn.Module]
    args: tuple[Any, ...]
    macs: int
    counter: str
    sentences: dict[str, int]


def case(name: str, make: Callable[[], nn.Module], *args: Any, macs: int, **differences: dict[str, int]) -> list[Case]:
    return [Case(name, make, args, macs, counter, sentences) for counter, sentences in differences.items()]


SEEN: dict[str, int] = {}
COUNTS_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry
"""True if this torch's FlopCounterMode has a formula for the CPU's fused attention: from torch 2.15 on."""
INSIDE = "not counted: inside aten._transformer_encoder_layer_fwd, which has no formula"
CASES = [
    *case(
        "attention of one head: 5 tokens, 8 wide",
        lambda: Net(attention, nn.Linear(8, 24), nn.Linear(8, 8, bias=False)),
        ones(1, 5, 8),
        macs=5 * 8 * 24 + 5 * 5 * (8 + 8) + 5 * 8 * 8,
        fvcore={
            "1 × scaled_dot_product_attention not counted: no formula for aten::scaled_dot_product_attention": -400
        },
        torchinfo={
            "1 × scaled_dot_product_attention not counted: a function, and it sees layers only": -400,
            "2 × Linear counted for 1 row of 5": -4 * (8 * 24 + 8 * 8),
            "1 × Linear counted with the additions of the bias": 24,
        },
        FlopCounterMode=SEEN
        if COUNTS_FUSED
        else {
            "1 × scaled_dot_product_attention not counted: "
            "no formula for aten._scaled_dot_product_flash_attention_for_cpu": -400
        },
    ),
    *case(
        "two layers of an LSTM, in both directions, 5 steps of 2",
        lambda: nn.LSTM(8, 6, 2, bidirectional=True, batch_first=True),
        ones(2, 5, 8),
        macs=10 * 2 * (24 * (8 + 6) + 24 * (12 + 6)),
        fvcore={"1 × LSTM not counted: no formula for aten::lstm": -15_360},
        torchinfo={"1 × LSTM counted with the additions of the bias": 10 * 8 * 24},
        FlopCounterMode={"1 × LSTM not counted: no formula for aten.mkldnn_rnn_layer": -15_360},
    ),
    *case(
        "a packed sequence: 8 steps in all",
        lambda: Net(packed, nn.LSTM(4, 6, bias=False)),
        ones(5, 2, 4),
        macs=8 * 24 * (4 + 6),
        fvcore={"1 × LSTM not counted: no formula for aten::lstm": -1_920},
        torchinfo={"1 × LSTM counted by two axes of the output: 6 × too much": 5 * 1_920},
        FlopCounterMode=SEEN,
    ),
    *case(
        "a transposed convolution with stride 2, and a norm",
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.BatchNorm2d(4)),
        ones(1, 3, 4, 4),
        macs=3 * 16 * 4 * 4,
        fvcore={"1 × BatchNorm2d counted, though it holds no products": 2 * 4 * 64},
        torchinfo={
            "1 × ConvTranspose2d counted by the positions of the output: 4 × too much": 3 * 768,
            "1 × ConvTranspose2d counted with the additions of the bias": 4 * 64,
            "1 × BatchNorm2d counted, though it holds no products": 8,
        },
        FlopCounterMode=SEEN,
    ),
    *case(
        "an image without a batch",
        lambda: nn.Conv2d(3, 4, 3, bias=False),
        ones(3, 8, 8),
        macs=4 * 36 * 27,
        fvcore=SEEN,
        torchinfo={"1 × Conv2d counted as if its first axis were a batch: 1 of 1.50": 4 * 27 * (4 * 6 - 36)},
        FlopCounterMode=SEEN,
    ),
    *case(
        "a vector without a batch",
        lambda: nn.Linear(8, 4, bias=False),
        ones(8),
        macs=32,
        fvcore=SEEN,
        torchinfo={"1 × Linear counted by the first axis of the output, which is not a batch: 4 × too much": 96},
        FlopCounterMode=SEEN,
    ),
    *case(
        "tied weights",
        tied,
        TOKENS,
        macs=6 * 40,
        fvcore=SEEN,
        torchinfo={
            "1 × Linear counted for 1 row of 3": -4 * 40,
            "1 × Embedding counted, though it holds no products": 2 * 40,
        },
        FlopCounterMode=SEEN,
    ),
    *case(
        "a layer called by its forward",
        lambda: Net(called_by_hand, nn.Linear(8, 8)),
        ones(2, 8),
        macs=128,
        fvcore=SEEN,
        torchinfo={"1 × linear not counted: a function, and it sees layers only": -128},
        FlopCounterMode=SEEN,
    ),
    *case(
        "a function of a raw weight",
        lambda: Net(lambda net, x: F.linear(x, net.matrix), matrix=(4, 8)),
        ones(2, 8),
        macs=64,
        fvcore=SEEN,
        torchinfo={"1 × linear not counted: it has no parameter called weight or bias": -64},
        FlopCounterMode=SEEN,
    ),
    *case(
        "one layer called three times",
        lambda: Net(lambda net, x: net.parts[0](net.parts[0](net.parts[0](x))), nn.Linear(8, 8)),
        ones(2, 8),
        macs=3 * 128,
        fvcore=SEEN,
        torchinfo={"3 × Linear counted with the additions of the bias": 3 * 16},
        FlopCounterMode=SEEN,
    ),
    *case(
        "work that nothing reads",
        lambda: Net(with_dead_work, nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False)),
        ones(2, 8),
        macs=2 * (64 + 32),
        fvcore={"1 × Linear not counted: nothing reads the result, and its trace drops it": -128},
        torchinfo=SEEN,
        FlopCounterMode=SEEN,
    ),
    *case(
        "a batch that is broadcast",
        lambda: Net(lambda net, x, y: x @ y),
        ones(3, 4),
        ones(5, 4, 6),
        macs=5 * 3 * 4 * 6,
        fvcore={"1 × matmul counted for 1 of 5 in a broadcast batch": -4 * 72},
        FlopCounterMode=SEEN,
    ),
    *case(
        "products that torch has no formula for",
        lambda: nn.Bilinear(3, 4, 5, bias=False),
        ones(2, 3),
        ones(2, 4),
        macs=2 * 5 * 3 * 4,
        fvcore={"1 × Bilinear not counted: no formula for aten::bilinear": -120},
        torchinfo=SEEN,
        FlopCounterMode={"1 × Bilinear not counted: no formula for aten._trilinear": -120},
    ),
    *case(
        "multi-head attention on its fast path",
        lambda: Net(lambda net, x: net.parts[0](x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        ones(2, 5, 8),
        macs=4 * 10 * 64 + 2 * 2 * 25 * 8,
        fvcore={"1 × MultiheadAttention not counted: no formula for aten::_native_multi_head_attention": -3_360},
        torchinfo={
            "1 × MultiheadAttention not counted: it sees the layers inside, which are not called": -3_360,
        },
        FlopCounterMode={
            "1 × MultiheadAttention not counted: no formula for aten._native_multi_head_attention": -3_360
        },
    ),
    *case(
        "an encoder layer on its fast path",
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        ones(2, 5, 8),
        macs=3_360 + 2 * 10 * 128,
        FlopCounterMode={
            f"1 × MultiheadAttention {INSIDE}": -3_360,
            f"2 × Linear {INSIDE}": -2_560,
        },
    ),
    *case(
        "attention between others in one module, by functions",
        lambda: Net(
            lambda net, x: F.linear(F.scaled_dot_product_attention(F.linear(x, net.a), x, x), net.b), a=(8, 8), b=(4, 8)
        ),
        ones(2, 2, 5, 8),
        macs=20 * 64 + 4 * 25 * 16 + 20 * 32,
        fvcore={
            "1 × scaled_dot_product_attention not counted: no formula for aten::scaled_dot_product_attention": -1_600
        },
    ),
    *case(
        "a custom autograd function",
        lambda: Net(lambda net, x: Opaque.apply(x, net.w), w=(4, 4)),
        ones(2, 4),
        macs=32,
        fvcore={"1 × matmul not counted: inside prim::PythonOp.Opaque, which has no formula": -32},
        FlopCounterMode=SEEN,
    ),
    *case(
        "einsums with more digits than four",
        lambda: Net(lambda net, x, y: torch.einsum("bij,bkj->bik", x, y) + torch.einsum("bij,bkj->bik", x, y)),
        ones(3, 101, 103),
        ones(3, 107, 103),
        macs=2 * 3 * 101 * 107 * 103,
        fvcore={"2 × einsum counted to four digits": 2 * (3_339_500 - 3_339_363)},
        FlopCounterMode=SEEN,
    ),
    *case(
        "a linear layer that is called Conv1D",
        lambda: Net(lambda net, x: net.parts[0](x), Conv1D(8, 16)),
        ones(2, 5, 8),
        macs=10 * 128,
        fvcore=SEEN,
        torchinfo={"1 × matmul counted as a convolution because of its name: 3.20 × too much": (2 * 16 - 10) * 128},
        FlopCounterMode=SEEN,
    ),
    *case(
        "pruned weights",
        pruned,
        ones(2, 8),
        macs=64,
        fvcore=SEEN,
        torchinfo={"1 × Linear counted without its pruned weights": -24},
        FlopCounterMode=SEEN,
    ),
    *case(
        "norms of every kind, pooling, interpolation",
        lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.UpsamplingBilinear2d(scale_factor=2), nn.AdaptiveAvgPool2d(1)),
        ones(1, 4, 3, 3),
        macs=0,
        fvcore={
            "1 × GroupNorm counted, though it holds no products": 5 * 36,
            "1 × upsample_bilinear2d counted, though it holds no products": 4 * 144,
            "1 × AdaptiveAvgPool2d counted, though it holds no products": 144,
        },
        torchinfo={"1 × GroupNorm counted, though it holds no products": 8},
        FlopCounterMode=SEEN,
    ),
]


def checked(make: Callable[[], nn.Module], *args: Any, **kwargs: Any) -> CrossCheck:
    return archscope.cross_check(make().eval(), args=args, kwargs=kwargs)


def account(check: CrossCheck, counter: str) -> Account:
    return next(account for account in check.accounts if account.result.counter == counter)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.counter}: {case.name}")
def test_a_difference_has_its_cause(case: Case) -> None:
    check = checked(case.make, *case.args)
    assert check.report.total.macs == case.macs
    found = account(check, case.counter)
    assert {difference.sentence: difference.amount for difference in found.macs_differences} == case.sentences
    assert found.unexplained == 0
    assert found.result.macs == case.macs + sum(case.sentences.values())


@pytest.mark.parametrize("name", ["attention of one", "two layers of an LSTM", "multi-head attention", "an encoder"])
def test_unfused_the_counter_sees_everything(name: str) -> None:
    if COUNTS_FUSED and name == "attention of one":
        pytest.skip("this torch's counter sees fused attention at once, so there is no second run")
    case = next(case for case in CASES if case.name.startswith(name))
    unfused = account(checked(case.make, *case.args), "FlopCounterMode, unfused")
    assert (unfused.macs_off, unfused.macs_differences, unfused.result.seconds) == (0, (), None)


def test_what_no_second_run_sees_is_not_run_twice() -> None:
    check = checked(lambda: nn.Bilinear(3, 4, 5), ones(2, 3), ones(2, 4))
    assert [account.result.counter for account in check.accounts] == [FVCORE, TORCHINFO, COUNTER]


def test_rows_of_a_difference_are_ours() -> None:
    check = checked(lambda: Net(attention, nn.Linear(8, 24), nn.Linear(8, 8)), ones(1, 5, 8))
    (difference,) = account(check, FVCORE).macs_differences
    (row,) = difference.rows
    assert (check.report.rows[row].op, check.report.rows[row].macs) == ("scaled_dot_product_attention", 400)
    assert difference.paths == ("",)


def test_tied_and_pruned_parameters() -> None:
    def differences(make: Callable[[], nn.Module], x: Tensor) -> dict[str, int]:
        return {d.sentence: d.amount for d in account(checked(make, x), TORCHINFO).params_differences}

    spare = Net(lambda net, x: net.parts[0](x), nn.Linear(8, 4), nn.Linear(8, 8))
    assert differences(tied, TOKENS) == {"1 parameter with another name counted again": 40}
    assert differences(lambda: spare, ones(2, 8)) == {}
    assert differences(lambda: Net(lambda net, x: net.parts[0](x), tied(), nn.Embedding(10, 4), tied()), TOKENS) == {
        "1 parameter with another name counted again": 40
    }
    assert differences(pruned, ones(2, 8)) == {"pruned weights not counted": -12}
    assert account(checked(tied, TOKENS), FVCORE).params_off == 0
