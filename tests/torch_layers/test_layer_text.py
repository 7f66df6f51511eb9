"""Arguments in short: those of a layer, a live module or a block, as tables show them."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from archscope.torch_layers.layer_text import (
    describe_layer,
    format_argument_value,
    format_block_arguments,
    format_layer_arguments,
)
from tests.compile.written import plan

LIVE = [
    (lambda: nn.Conv2d(3, 64, 7, 2, 3, bias=False), "64, 7×7, stride 2, pad 3"),
    (lambda: nn.Conv2d(3, 16, 5), "16, 5×5"),
    (lambda: nn.Conv2d(32, 32, 3, groups=32), "32, 3×3, groups 32"),
    (lambda: nn.Conv2d(3, 8, (1, 7), padding="same"), "8, 1×7, pad same"),
    (lambda: nn.Conv1d(3, 5, 3), "5, 3"),
    (lambda: nn.ConvTranspose2d(3, 4, 2, 2), "4, 2×2, stride 2"),
    (lambda: nn.MaxPool2d(2), "2"),
    (lambda: nn.MaxPool2d(3, 2, 1), "3, stride 2, pad 1"),
    (lambda: nn.AdaptiveAvgPool2d((1, 1)), "1"),
    (lambda: nn.AdaptiveAvgPool2d((1, None)), "(1, None)"),
    (lambda: nn.Linear(3, 10), "10"),
    (lambda: nn.BatchNorm2d(64), "64"),
    (lambda: nn.LayerNorm(768, eps=1e-6), "768, eps 1e-6"),
    (lambda: nn.GroupNorm(8, 64), "8 groups"),
    (lambda: nn.LSTM(5, 256, 2, bidirectional=True, batch_first=True), "256, 2 layers, bidirectional"),
    (lambda: nn.RNN(3, 4, nonlinearity="relu"), "4, relu"),
    (lambda: nn.MultiheadAttention(24, 12, batch_first=True), "12 heads"),
    (lambda: nn.TransformerEncoderLayer(64, 8), "8 heads"),
    (lambda: nn.Dropout(), "0.5"),
    (lambda: nn.Softmax(-1), "dim -1"),
    (lambda: nn.GELU("tanh"), "tanh"),
    (lambda: nn.ReLU(inplace=True), ""),
    (lambda: nn.LeakyReLU(0.2), "0.2"),
    (lambda: nn.Flatten(), ""),
    (lambda: nn.Flatten(2), "2"),
    (lambda: nn.Embedding(100, 20, padding_idx=0), "100, 20, padding idx 0"),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), "×2, bilinear"),
    (lambda: nn.ZeroPad2d((0, 1, 0, 1)), "pad (0, 1, 0, 1)"),
    (lambda: nn.ConstantPad1d((1, 2), 0.5), "pad (1, 2), 0.5"),
    (lambda: nn.LayerNorm([8, 8]), "8×8"),
    (lambda: nn.LayerNorm([8, 8, 8, 8]), "(8, 8, 8, 8)"),
    (lambda: nn.Unflatten(1, (4, 4)), "1, 4×4"),
    (lambda: nn.Dropout(0.1 + 0.2), "0.3"),
    (lambda: nn.AvgPool2d(3, count_include_pad=False), "3, no count include pad"),
    (lambda: nn.BatchNorm2d(8, eps=1e-3, momentum=None), "8, eps 0.001, momentum None"),
]


@pytest.mark.parametrize(("make", "text"), LIVE)
def test_a_live_module_in_short(make, text):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert describe_layer(make()) == text


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        (
            "Conv2d",
            {"in_channels": 3, "out_channels": 64, "kernel_size": 7, "stride": 2, "padding": 3},
            "64, 7×7, stride 2, pad 3",
        ),
        ("Conv2d", {"out_channels": 64, "kernel_size": [3, 3]}, "64, 3×3"),
        ("BatchNorm2d", {}, ""),
        ("BatchNorm2d", {"num_features": 64, "affine": False}, "64, no affine"),
        ("MaxPool2d", {"kernel_size": 2, "stride": 2}, "2"),
        ("Dropout", {}, "0.5"),
        ("LayerNorm", {"normalized_shape": (8, 8)}, "8×8"),
        ("LayerNorm", {"normalized_shape": (8,), "eps": 1e6}, "8, eps 1e6"),
        ("Mixer", {"sizes": (8, 8, 1), "gate": False, "mode": "a b"}, "sizes [8, 8, 1], no gate, 'a b'"),
        ("BasicBlock", {"channels": 64, "stride": 2, "act": nn.ReLU}, "channels 64, stride 2, act ReLU"),
    ],
)
def test_written_arguments_in_short(name, arguments, text):
    assert format_layer_arguments(name, arguments) == text


def test_a_user_module_has_no_arguments_in_short():
    class Linear(nn.Linear):
        pass

    assert describe_layer(Linear(1, 2, device="meta")) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8, "8"),
        (1e6, "1e6"),
        (True, "True"),
        (None, "None"),
        ("nearest-exact", "nearest-exact"),
        ("None", "'None'"),
        ("a, b", "'a, b'"),
        ((8, 8, 1), "[8, 8, 1]"),
        ((8,), "[8]"),
        ((), "[]"),
        ([(1, 0.1 + 0.2), ("max", True)], "[[1, 0.3], [max, True]]"),
        (nn.ReLU, "ReLU"),
    ],
)
def test_a_value_as_text(value: object, text: str) -> None:
    assert format_argument_value(value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width": 7, "grid": True}, "7, grid"),
        ({"width": 7, "grid": False}, "7, no grid"),
        ({"width": 7, "grid": None}, "7, grid None"),
        ({"width": 7, "causal": True}, "7, causal"),
        ({"width": 7, "causal": False}, "7, no causal"),
        ({"width": 7, "no_bias": True}, "7, no bias"),
        ({"width": 7, "no_bias": False}, "7, no bias False"),
        ({"kv_heads": 2}, "2"),
        ({"num_layers": 4}, "4"),
        ({"padding": 3, "scale_factor": 2}, "padding 3, scale factor 2"),
    ],
)
def test_a_blocks_arguments_in_short(arguments: dict[str, object], text: str) -> None:
    assert format_block_arguments(arguments.items(), ("width", "grid", "kv_heads", "num_layers")) == text


BLOCK = """
input: [N, 8]
params: {heads: 4, d: 8}
modules: {mix: Linear(8)}
blocks:
  B(width, wide=False):
    - Linear(width)
    - when: wide
      do: relu
  A(sizes, flag=False, act=ReLU):
    - for: s
      in: sizes
      do: Linear(s)
    - when: flag
      do: relu
      else: act
layers:
  - STEP
"""


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("A([8, 8, 1])", "A [8, 8, 1]"),
        ("A([8] + [8], True)", "A [8, 8], flag"),
        ("A([8], act=LeakyReLU(0.2))", "A [8], act LeakyReLU(0.2)"),
        ("A([8], act=LayerNorm(eps=1e-6))", "A [8], act LayerNorm(eps 1e-6)"),
        ("A([8], act=B(4, wide=True))", "A [8], act B(width 4, wide)"),
        ("A([8], act=flatten(1))", "A [8], act flatten(1)"),
        ("Linear(heads * d)", "Linear 32"),
        ("Linear(heads * d, bias=False)(x)", "Linear 32"),
        ("Linear(heads * d, bias=False)(tanh(x))", "Linear 32 (tanh(x))"),
        ("Linear(heads * d)(x[:, :d])", "Linear 32 (x[:, :d])"),
        ("A([8, d])(relu(x))", "A [8, 8] (relu(x))"),
        ("A(sizes=[8] * heads)(x=relu(x))", "A [8, 8, 8, 8] (x=relu(x))"),
        ("mix(relu(x))", "Linear 8 (relu(x))"),
        ("Linear(heads * d, bias=False)(x).view(N, heads, d)", "Linear(32, bias=False)(x).view(N, heads, d)"),
        ("x + Linear(d)(tanh(Linear(2 * d)(x)))", "x + Linear(8)(tanh(Linear(16)(x)))"),
        ("x + A([d], act=GELU)(x)", "x + A([8], act=GELU)(x)"),
        ("x  * Parameter(d, init=1e-06)", "x * Parameter(8, init=1e-06)"),
        ("x * Parameter(d, init=1 / 10 ** heads)", "x * Parameter(8, init=0.0001)"),
        ("cat([x, Linear(d)(x)],\n      dim=1)", "cat([x, Linear(8)(x)], dim=1)"),
        (
            "x + (Upsample(scale_factor=d, mode='nearest')(x[:, None]))[0, :, :d]",
            "x + (Upsample(scale_factor=8, mode='nearest')(x[:, None]))[0, :, :d]",
        ),
        ("x * d", "x * d"),
    ],
)
def test_a_step_shows_the_values_of_names(step: str, text: str) -> None:
    nodes = plan(BLOCK.replace("STEP", step)).block.graph.nodes
    sites = [node.meta.get("step") or node.meta.get("site") for node in nodes]
    shown = {f"{site.name} {site.text}".rstrip() for site in sites if site is not None and site.path == "0"}
    assert text in shown


def test_a_branch_that_is_not_taken_keeps_its_text() -> None:
    step = "x + (Linear(d)(x) if d > 4 else Linear(d // 0)(x))"
    (site,) = {node.meta["step"] for node in plan(BLOCK.replace("STEP", step)).block.graph.nodes if "step" in node.meta}
    assert site.name == "x + (Linear(8)(x) if d > 4 else Linear(d // 0)(x))"
