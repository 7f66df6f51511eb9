"""Two independent witnesses beside us: fvcore and torchinfo, on the compiled specs.

On parameters they must agree. On multiply-adds they must agree where they can see, and `BLIND` says where they cannot,
and why; a cure in one of them fails here too, so that the table stays true.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from torch import Tensor, nn

import archscope
from tests.networks.test_twins import PAIRS, Pair, own_random_state  # noqa: F401  (the fixture is used by its name)

fvcore = pytest.importorskip("fvcore.nn")
torchinfo = pytest.importorskip("torchinfo")
pytestmark = pytest.mark.filterwarnings("ignore")  # what the witnesses warn about is theirs

PRODUCTS = {"conv", "linear", "matmul", "addmm", "bmm", "einsum", "mv"}
ATTENTION = "scaled_dot_product_attention has no formula there"
DEAD = "its jit trace drops the work that the tutorial throws away, though the program does it"
TOKENS = "a Linear on (batch, tokens, features) is counted for one token"
BLIND: dict[tuple[str, str], str] = {
    ("fvcore", "tutorials/residual_mnist.yaml:constant_scaling_as_printed"): DEAD,
    ("fvcore", "tutorials/residual_mnist.yaml:conv_shortcut_as_printed"): DEAD,
    ("fvcore", "vit.yaml:vit_b_16"): "MultiheadAttention runs as one fused operator, which has no formula there",
    ("fvcore", "gpt2.yaml:small"): ATTENTION,
    ("fvcore", "llama_block.yaml"): ATTENTION,
    ("fvcore", "lstm_classifier.yaml"): "aten::lstm has no formula there",
    (
        "torchinfo",
        "convnext.yaml:tiny",
    ): "a Linear on (batch, height, width, channels) is counted for one place",
    (
        "torchinfo",
        "unet.yaml",
    ): "a transposed convolution is counted by its output: 4 times too much at stride 2",
    ("torchinfo", "vit.yaml:vit_b_16"): TOKENS,
    ("torchinfo", "gpt2.yaml:small"): TOKENS,
    ("torchinfo", "llama_block.yaml"): TOKENS,
    ("torchinfo", "lstm_classifier.yaml"): "recurrent layers are counted by their parameters, not by their products",
}
TWICE: dict[tuple[str, str], str] = {("torchinfo", "gpt2.yaml:small"): "a tied weight is counted by both its names"}


def by_fvcore(net: nn.Module, x: Tensor) -> int:
    """fvcore's multiply-adds of products; what it counts for norms and pooling is left out."""
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    found = fvcore.FlopCountAnalysis(net, x).by_operator()
    return int(sum(count for name, count in found.items() if name in PRODUCTS))


def by_torchinfo(net: nn.Module, x: Tensor) -> int:
    """torchinfo's multiply-adds of convolutions and linear layers; its multiply-adds of biases come off."""
    layers = torchinfo.summary(net, input_data=x, verbose=0, mode="eval").summary_list
    return sum(weight_macs(layer) for layer in layers if isinstance(layer.module, PRICED))


PRICED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


def weight_macs(layer: torchinfo.layer_info.LayerInfo) -> int:
    weight = layer.module.weight.numel()
    bias = 0 if layer.module.bias is None else layer.module.bias.numel()
    return int(layer.macs * weight // (weight + bias))


def fvcore_params(net: nn.Module) -> int:
    return int(fvcore.parameter_count(net)[""])


def torchinfo_params(net: nn.Module) -> int:
    return int(torchinfo.summary(net, verbose=0).total_params)


@dataclass(frozen=True)
class Witness:
    name: str
    macs: Callable[[nn.Module, Tensor], int]
    params: Callable[[nn.Module], int]


WITNESSES = [Witness("fvcore", by_fvcore, fvcore_params), Witness("torchinfo", by_torchinfo, torchinfo_params)]


@pytest.mark.parametrize("witness", WITNESSES, ids=lambda witness: witness.name)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.spec)
def test_a_witness_agrees(pair: Pair, witness: Witness) -> None:
    net, x = archscope.build(pair.target, set=pair.set).eval(), pair.example()
    ours = archscope.summarize(pair.target, set=pair.set).total
    agrees(witness.params(net), ours.params, TWICE.get((witness.name, pair.spec)))
    agrees(witness.macs(net, x), ours.macs, BLIND.get((witness.name, pair.spec)))


def agrees(theirs: int, ours: int, reason: str | None) -> None:
    """Equal where no reason is known, different where one is."""
    assert (theirs == ours) is (reason is None), f"theirs {theirs:,}, ours {ours:,}; known reason: {reason}"


def test_the_tables_name_pairs_that_are_there() -> None:
    assert {spec for _, spec in BLIND | TWICE} <= {pair.spec for pair in PAIRS}
