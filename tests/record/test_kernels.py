"""The table of lowerings agrees with the replay on meta and with torch's counter; every torch.nn layer has a price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch._VF as VF
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from archscope.record.lowerings import OpCall
from archscope.record.op_call import shape_of, tensors_in
from archscope.record.replay import KernelLog, replay
from archscope.record.torch_functions import describe_function
from tests.record.layers import LAYERS, NO_LAYERS
from tests.record.runs import priced, total, traced

pytestmark = [pytest.mark.moves_rng, pytest.mark.filterwarnings("ignore")]


def t(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def lstm(**options: Any) -> list[torch.Tensor]:
    return nn.LSTM(5, 4, **options)._flat_weights


def gru(**options: Any) -> list[torch.Tensor]:
    return nn.GRU(5, 4, **options)._flat_weights


class Calls(TorchFunctionMode):
    """Keeps the calls of one function."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.found: list[tuple[Any, tuple[Any, ...], Mapping[str, Any]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ == self.name:
            self.found.append((func, args, kwargs or {}))
        return func(*args, **kwargs or {})


def attention(**options: Any) -> tuple[Any, tuple[Any, ...], Mapping[str, Any]]:
    """The call that nn.MultiheadAttention makes: 5 queries, 7 keys, batch 3, width 8, 2 heads."""
    layer = nn.MultiheadAttention(8, 2, **options)
    with Calls("multi_head_attention_forward") as calls:
        layer(t(5, 3, 8), t(7, 3, options.get("kdim", 8)), t(7, 3, options.get("vdim", 8)))
    return calls.found[0]


CONVOLUTIONS = [
    (F.conv1d, (t(4, 9), t(6, 4, 3), t(6)), {}, 6 * 7 * 4 * 3),
    (
        F.conv2d,
        (t(2, 4, 9, 9), t(6, 2, 3, 3)),
        {"groups": 2, "stride": 2, "padding": 1, "dilation": 2},
        2 * 6 * 16 * 18,
    ),
    (F.conv2d, (t(2, 4, 9, 9), t(6, 4, 2, 2)), {"padding": "same"}, 2 * 6 * 81 * 16),
    (F.conv3d, (t(1, 2, 5, 5, 5), t(4, 2, 3, 3, 3)), {"padding": "same"}, 4 * 125 * 54),
    (F.conv_transpose1d, (t(4, 5), t(4, 3, 3)), {}, 20 * 9),
    (F.conv_transpose2d, (t(2, 4, 5, 5), t(4, 3, 3, 3)), {"groups": 2, "stride": 2}, 200 * 27),
    (F.conv_tbc, (t(9, 2, 4), t(3, 4, 6), t(6)), {}, 7 * 2 * 6 * 12),
]
PRODUCTS = [
    (F.linear, (t(2, 3, 5), t(7, 5), t(7)), {}, 6 * 35),
    (F.linear, (t(5), t(7, 5)), {}, 35),
    (F.linear, (t(2, 5), t(5)), {}, 10),
    (torch.matmul, (t(3, 1, 2, 4), t(5, 4, 6)), {}, 15 * 48),
    (torch.matmul, (t(4), t(3, 4, 2)), {}, 24),
    (torch.matmul, (t(3, 2, 4), t(4)), {}, 24),
    (torch.matmul, (t(4), t(4)), {}, 4),
    (torch.matmul, (t(3, 2, 4), t(4, 5)), {}, 120),
    (torch.matmul, (t(2, 4), t(3, 4, 5)), {}, 120),
    (torch.Tensor.__rmatmul__, (t(4, 5), t(2, 4)), {}, 40),
    (torch.mm, (t(2, 3),), {"mat2": t(3, 4)}, 24),
    (torch.bmm, (t(2, 2, 3), t(2, 3, 4)), {}, 48),
    (torch.mv, (t(2, 3), t(3)), {}, 6),
    (torch.dot, (t(3), t(3)), {}, 3),
    (torch.vdot, (t(3), t(3)), {}, 3),
    (torch.addmm, (t(4), t(2, 3), t(3, 4)), {}, 24),
    (torch.baddbmm, (t(2, 1, 4), t(2, 2, 3), t(2, 3, 4)), {}, 48),
    (torch.addbmm, (t(2, 4), t(3, 2, 3), t(3, 3, 4)), {}, 72),
    (torch.addmv, (t(2), t(2, 3), t(3)), {}, 6),
    (F.bilinear, (t(2, 3, 4), t(2, 3, 5), t(6, 4, 5)), {}, 6 * 120),
    (torch.einsum, ("bhid,bhjd->bhij", t(2, 3, 4, 5), t(2, 3, 6, 5)), {}, 720),
    (torch.einsum, ("ij,jk->k", t(2, 3), t(3, 4)), {}, 12),
    (torch.einsum, ("i,j->ij", t(2), t(3)), {}, 0),
    (torch.einsum, ("...ij,jk->...ik", t(2, 3, 4), t(4, 5)), {}, 120),
    (torch.einsum, ("ij,jk,kl->il", t(2, 3), t(3, 4), t(4, 5)), {}, 64),
    (torch.tensordot, (t(2, 3, 4), t(3, 4, 5)), {"dims": 2}, 120),
    (torch.inner, (t(2, 3), t(4, 3)), {}, 24),
    (torch.cdist, (t(2, 9, 4), t(2, 25, 4)), {}, 0),
    (torch.cdist, (t(2, 9, 4), t(2, 26, 4)), {}, 2 * 9 * 26 * 6),
    (torch.cdist, (t(9, 4), t(8, 4)), {"compute_mode": "use_mm_for_euclid_dist"}, 72 * 6),
    (torch.cdist, (t(30, 4), t(8, 4)), {"p": 1.0}, 0),
    (torch.tensordot, (t(2, 3, 4), t(4, 2, 5)), {"dims": ([0, 2], [1, 0])}, 3 * 5 * 8),
    (torch.tensordot, (t(2, 3, 4), t(4, 2, 5)), {"dims": ([-3, -1], [-2, -3])}, 3 * 5 * 8),
    (torch.einsum, ("bcxd,bcyd->bcxy", t(2, 3, 4, 1), t(2, 3, 6, 1)), {}, 0),
    (torch.einsum, ("i,i,ij->j", t(3), t(3), t(3, 4)), {}, 12),
    (torch.einsum, ("bi,oij,bj->bo", t(6, 3), t(2, 3, 4), t(6, 4)), {}, 6 * 2 * 3 * 4 + 6 * 2 * 4),
    (torch.einsum, ("ab,cd,bc->ad", t(2, 3), t(4, 5), t(3, 4)), {}, 2 * 5 * 12),
    (torch.einsum, ("...i,...ij->j", t(6, 4), t(6, 4, 5)), {}, 120),
    (torch.norm, (t(3, 4),), {}, 0),
    (torch.linalg.multi_dot, ([t(2, 3), t(3, 4), t(4, 5)],), {}, 64),
]
ATTENTIONS = [
    (F.scaled_dot_product_attention, (t(2, 4, 5, 8), t(2, 4, 7, 8), t(2, 4, 7, 6)), {}, 8 * 35 * 14),
    (F.scaled_dot_product_attention, (t(2, 4, 5, 8), t(2, 4, 5, 8), t(2, 4, 5, 8)), {"is_causal": True}, 8 * 25 * 16),
    (F.scaled_dot_product_attention, (t(2, 4, 5, 8), t(2, 2, 7, 8), t(2, 2, 7, 8)), {"enable_gqa": True}, 8 * 35 * 16),
    (*attention(), 3 * (64 * (5 + 7 + 7 + 5) + 35 * 16)),
    (*attention(bias=False), 3 * (64 * 24 + 35 * 16)),
    (*attention(add_bias_kv=True), 3 * (64 * 24 + 40 * 16)),
    (*attention(add_zero_attn=True), 3 * (64 * 24 + 40 * 16)),
    (*attention(kdim=6, vdim=4), 3 * (64 * 10 + 7 * 80 + 35 * 16)),
    (*attention(kdim=3, vdim=5, add_bias_kv=True, add_zero_attn=True), 3 * (64 * 10 + 7 * 64 + 45 * 16)),
]
HIDDEN = (t(2, 2, 4), t(2, 2, 4))
RECURRENT = [
    (VF.lstm, (t(6, 2, 5), HIDDEN, lstm(num_layers=2), True, 2, 0.0, False, False, False), {}, 12 * 16 * (5 + 3 * 4)),
    (VF.gru, (t(2, 6, 5), t(1, 2, 4), gru(batch_first=True), True, 1, 0.0, False, False, True), {}, 12 * 12 * 9),
    (VF.gru, (t(6, 1, 5), t(2, 1, 4), gru(bidirectional=True), True, 1, 0.0, False, True, False), {}, 6 * 2 * 12 * 9),
    (VF.lstm_cell, (t(2, 5), (t(2, 4), t(2, 4)), t(16, 5), t(16, 4), t(16), t(16)), {}, 2 * 16 * 9),
    (VF.gru_cell, (t(2, 5), t(2, 4), t(12, 5), t(12, 4), t(12), t(12)), {}, 2 * 12 * 9),
]
CASES = CONVOLUTIONS + PRODUCTS + ATTENTIONS + RECURRENT


@pytest.mark.parametrize(("func", "args", "kwargs", "macs"), CASES)
def test_direct_kernels_and_replay_cost_the_same(func: Callable[..., Any], args: Any, kwargs: Any, macs: int) -> None:
    function = describe_function(func)
    shapes = tuple(map(shape_of, tensors_in([func(*args, **kwargs)])))
    direct = function.lowering(OpCall(args, kwargs, shapes)) if function.lowering else None
    replayed = replay(func, args, kwargs)
    assert replayed is not None
    assert priced(replayed).macs == macs
    assert direct is None or priced(direct).macs == macs


COUNTED = [case for case in CONVOLUTIONS[:-1] + PRODUCTS[:10] if all(tensor.dim() > 1 for tensor in case[1][:2])]
"""FlopCounterMode has no formula for matrix × vector, nor for conv_tbc."""


@pytest.mark.parametrize(("func", "args", "kwargs", "macs"), COUNTED)
def test_the_flop_counter_agrees(func: Callable[..., Any], args: Any, kwargs: Any, macs: int) -> None:
    with FlopCounterMode(display=False) as counter:
        func(*(tensor.to("meta") for tensor in args), **kwargs)
    assert counter.get_total_flops() == 2 * macs


def test_packed_sequences_cost_by_their_tokens() -> None:
    packed = nn.utils.rnn.pack_padded_sequence(t(4, 3, 5), torch.tensor([4, 3, 2]))
    assert total(traced(nn.GRU(5, 4), packed)).macs == 9 * 12 * 9


def test_torch_nn_is_covered() -> None:
    classes = {name: item for name, item in vars(nn).items() if isinstance(item, type) and issubclass(item, nn.Module)}
    assert classes.keys() - NO_LAYERS - LAYERS.keys() == set()


@pytest.mark.parametrize("name", [name for name in LAYERS if hasattr(nn, name)])  # torch 2.13 has more than 2.11
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_every_layer_of_torch_has_a_price(name: str, mode: str) -> None:
    case = LAYERS[name]
    trace = traced(case.make(), *case.args, train=mode == "train")
    assert trace.rows or name == "Identity"
    assert total(trace).unpriced == ()
    assert total(trace).macs == case.macs


SPARING = {"LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"}
"""Recurrent layers whose first state needs no gradient: one product fewer where they are taken apart."""


@pytest.mark.law
@pytest.mark.parametrize("name", [name for name in LAYERS if hasattr(nn, name)])
def test_the_kernels_that_really_run_cost_the_same_and_twice_that_backward(name: str) -> None:
    case = LAYERS[name]
    layer = case.make().train()
    given = [arg.clone().requires_grad_(arg.is_floating_point() and name != "SoftMarginLoss") for arg in case.args]
    with KernelLog() as forward:
        out = layer(*given)
    made = [tensor for tensor in tensors_in([getattr(out, "output", out)]) if tensor.requires_grad]
    with KernelLog() as backward:
        torch.autograd.backward([tensor.sum() for tensor in made])
    there, back = priced(tuple(forward.kernels)), priced(tuple(backward.kernels))
    assert (there.macs, back.unpriced) == (case.macs, ())
    expected = case.macs * (3 if name == "Bilinear" else 2)  # a gradient for each factor
    assert expected * 3 // 4 < back.known < expected if name in SPARING else back.known == expected


def test_what_has_no_price_is_unpriced_and_not_zero() -> None:
    class Solve(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.inv(x)

    cost = total(traced(Solve(), torch.eye(3)))
    assert cost.macs is None
    assert cost.unpriced == ("aten.linalg_inv_ex",)


def test_what_cannot_run_on_meta_is_named_after_its_function() -> None:
    class Least(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.lstsq(x, x)[0]

    cost = total(traced(Least(), torch.eye(3)))
    assert cost.macs is None
    assert cost.unpriced == ("torch.linalg.lstsq",)


@pytest.mark.skipif(torch.__version__ < "2.9", reason="before torch 2.9 the CPU has no grouped products")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_experts_cost_each_token_one_matrix(dtype: torch.dtype) -> None:
    """8 tokens of 16, of which 3 go to the first of two matrices; meta knows bfloat16 alone."""

    class Experts(nn.Module):
        def forward(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            return torch._grouped_mm(x, weights, offs=torch.tensor([3, 8], dtype=torch.int32))

    cost = total(traced(Experts(), torch.zeros(8, 16, dtype=dtype), torch.zeros(2, 16, 24, dtype=dtype)))
    assert (cost.known, cost.unpriced) == (8 * 16 * 24, ())
