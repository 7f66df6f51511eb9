"""Attention on meta as on a device: fused if the device fuses it, so that memory is the same in both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import archscope
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.record import meta_shortcuts as fusing
from archscope.record import record_module
from archscope.record.meta_shortcuts import has_fused_kernel

pytestmark = pytest.mark.moves_rng
LENGTH, HEADS, SIZE = 96, 4, 16


class Attention(nn.Module):
    """how: of `scaled_dot_product_attention`. plain: decomposed by the author. groups: heads that share a key."""

    def __init__(self, *, plain: bool = False, groups: int = 1, **how: Any):
        super().__init__()
        self.plain, self.groups, self.how = plain, groups, how
        self.qkv = nn.Linear(HEADS * SIZE, 3 * HEADS * SIZE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, SIZE)).permute(2, 0, 3, 1, 4)
        if self.plain:
            return (q @ k.transpose(-1, -2) * SIZE**-0.5).softmax(-1) @ v
        how = dict(self.how)
        if how.pop("masked", False):
            how["attn_mask"] = torch.zeros(LENGTH, LENGTH, device=x.device)
        return F.scaled_dot_product_attention(q, k[:, :: self.groups], v[:, :: self.groups], **how)


MODELS = {
    "fused": lambda: Attention(),
    "causal": lambda: Attention(is_causal=True, scale=0.3),
    "masked": lambda: Attention(masked=True),
    "grouped": lambda: Attention(groups=2, enable_gqa=True),
    "dropped": lambda: Attention(dropout_p=0.5),
    "plain": lambda: Attention(plain=True),
    "layer": lambda: nn.TransformerEncoderLayer(HEADS * SIZE, HEADS, 128, dropout=0.0, batch_first=True),
}


def predicted(model: nn.Module, device: str, *, train: bool, fused_like: str = "") -> PredictedMemory:
    x = torch.zeros(2, LENGTH, HEADS * SIZE, device=device)
    about = {"target": "t", "device": device, "dtype": "float32", "inputs": {"x": x}}
    model = model.to(device)
    trace = record_module(
        model, (x,), {}, train=train, backward=train, track_memory=True, fused_like=fused_like, **about
    ).trace
    found = predict_memory(trace)
    assert found is not None
    return found


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_meta_needs_what_the_processor_needs(name: str, train: bool) -> None:
    here, there = (predicted(MODELS[name](), device, train=train, fused_like="cpu") for device in ("cpu", "meta"))
    assert (there.peak, there.activations) == (here.peak, here.activations)


def test_meta_alone_takes_attention_apart() -> None:
    apart, fused = (predicted(Attention(), "meta", train=True, fused_like=name) for name in ("", "cpu"))
    assert apart.peak - fused.peak > 2 * HEADS * LENGTH**2 * 4


@pytest.mark.parametrize("train", [False, True])
def test_figures_are_those_of_a_run_that_takes_it_apart(train: bool) -> None:
    reports = [
        archscope.time(Attention, input=(2, LENGTH, HEADS * SIZE), device="meta", train=train).report,
        archscope.summarize(Attention, input=(2, LENGTH, HEADS * SIZE), device="meta", train=train),
    ]
    assert len({report.total.macs for report in reports}) == 1
    assert len({report.backward_total.macs for report in reports if report.backward_total}) == train


FUSES_WITHOUT_BATCH = torch.__version__ >= "2.15"


@pytest.mark.parametrize(
    ("shapes", "how", "fused"),
    [
        (((2, 4, 4096, 64),) * 3, {}, True),
        (((2, 4, 4096, 64),) * 3, {"dropout_p": 0.1}, False),
        (((2, 4, 9, 64), (2, 4, 9, 64), (2, 4, 9, 32)), {}, False),
        (((4, 9, 64),) * 3, {}, FUSES_WITHOUT_BATCH),
        (((2, 4, 9, 64), (2, 3, 9, 64), (2, 3, 9, 64)), {}, False),
    ],
)
def test_torch_says_what_a_processor_fuses(shapes: Any, how: dict[str, Any], fused: bool) -> None:
    made = (torch.empty(shape, device="meta") for shape in shapes)
    operands = dict(zip(("query", "key", "value"), made, strict=True))
    assert has_fused_kernel({**operands, **how}, "cpu") is fused


@pytest.mark.parametrize("mask", [None, (4096, 4096), (4, 4096, 4096)])
def test_operands_may_lack_a_batch(mask: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusing, "has_fused_kernel", lambda *_given: True)
    operands = [torch.empty(4, 4096, 64, device="meta", requires_grad=True) for _ in range(3)]
    attn_mask = None if mask is None else torch.empty(mask, device="meta")
    with fusing.attention_fused_as("cpu"):
        output = F.scaled_dot_product_attention(*operands, attn_mask=attn_mask)
    assert output.shape == operands[0].shape
    output.backward(torch.empty_like(output))
    assert [operand.grad.shape for operand in operands if operand.grad is not None] == [output.shape] * 3


@pytest.mark.parametrize("size", [32, 96])
def test_values_may_have_heads_of_another_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU fuses them, the CPU does not."""
    monkeypatch.setattr(fusing, "has_fused_kernel", lambda *_given: True)
    shapes = [(2, 4, 4096, 64), (2, 4, 4096, 64), (2, 4, 4096, size)]
    operands = [torch.empty(shape, device="meta", requires_grad=True) for shape in shapes]
    with fusing.attention_fused_as("cuda"):
        output = F.scaled_dot_product_attention(*operands)
    assert output.shape == shapes[2]
    output.backward(torch.empty_like(output))
    assert [operand.grad.shape for operand in operands if operand.grad is not None] == shapes


def test_what_the_user_switched_off_is_not_used() -> None:
    operands = {name: torch.empty(2, 4, 9, 64, device="meta") for name in ("query", "key", "value")}
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert not has_fused_kernel(operands, "cpu")
