"""Compiled specs against their twins: same weights → the same bits; and the figures of the founding networks.

The figures are those of the four tutorials' networks, counted by hand and with torch: all parameters, and the
multiply-adds of convolutions and matrix products for one input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from tests.networks import twins

SPECS = Path(__file__).resolve().parents[2] / "specs"


@dataclass(frozen=True)
class Pair:
    """A spec (file, variant, overrides), its twin, the input's shape, and the figures where they are known."""

    spec: str
    twin: Callable[[], nn.Module]
    input: tuple[int, ...]
    set: dict[str, Any] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    vocab: int = 0

    @property
    def target(self) -> str:
        return str(SPECS / self.spec)

    def example(self) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        if self.vocab:
            return torch.randint(self.vocab, self.input, generator=generator)
        return torch.randn(self.input, generator=generator)


MNIST, PHOTO, WIDE = (1, 1, 28, 28), (1, 3, 128, 128), (1, 192, 28, 28)
TUTORIALS = [
    Pair("tutorials/mlp.yaml", twins.Mlp, MNIST, params=575_050, macs=574_080),
    Pair("tutorials/lenet.yaml", twins.LeNet, MNIST, params=8_490, macs=467_200),
    Pair("tutorials/cnn3.yaml", twins.Cnn3, MNIST, params=34_522, macs=1_126_048),
    Pair(
        "tutorials/bottleneck_1x1.yaml:direct",
        lambda: twins.conv5x5(None),
        WIDE,
        params=153_600,
        macs=120_422_400,
    ),
    Pair(
        "tutorials/bottleneck_1x1.yaml:bottleneck",
        lambda: twins.conv5x5(16),
        WIDE,
        params=15_872,
        macs=12_443_648,
    ),
    Pair(
        "tutorials/inception_block.yaml",
        lambda: twins.InceptionA(10),
        (1, 10, 12, 12),
        params=19_104,
        macs=2_730_240,
    ),
    Pair("tutorials/inception_mnist.yaml", twins.inception_net, MNIST, params=97_298, macs=6_019_200),
    Pair("tutorials/residual_mnist.yaml:plain", twins.residual_mnist, MNIST, params=41_514, macs=2_013_184),
    Pair(
        "tutorials/residual_mnist.yaml:constant_scaling",
        lambda: twins.residual_mnist("scaled"),
        MNIST,
        params=41_514,
        macs=2_013_184,
    ),
    Pair(
        "tutorials/residual_mnist.yaml:constant_scaling_as_printed",
        lambda: twins.residual_mnist("scaled", as_printed=True),
        MNIST,
        params=41_514,
        macs=2_013_184,
    ),
    Pair(
        "tutorials/residual_mnist.yaml:conv_shortcut",
        lambda: twins.residual_mnist("conv"),
        MNIST,
        params=42_842,
        macs=2_066_432,
    ),
    Pair(
        "tutorials/residual_mnist.yaml:conv_shortcut_as_printed",
        lambda: twins.residual_mnist("conv", as_printed=True),
        MNIST,
        params=42_842,
        macs=2_066_432,
    ),
    Pair(
        "tutorials/basic_block.yaml:fixed",
        lambda: twins.TutorialBlock(3),
        PHOTO,
        params=174,
        macs=2_654_208,
    ),
    Pair(
        "tutorials/basic_block.yaml:as_printed",
        lambda: twins.TutorialBlock(3, as_printed=True),
        PHOTO,
        params=174,
        macs=2_654_208,
    ),
    Pair(
        "tutorials/basic_block_net.yaml:without",
        twins.basic_block_net,
        PHOTO,
        params=13_166_148,
        macs=124_311_936,
    ),
    Pair(
        "tutorials/basic_block_net.yaml:fixed",
        lambda: twins.basic_block_net(twins.TutorialBlock(32)),
        PHOTO,
        params=13_184_708,
        macs=197_468_544,
    ),
    Pair(
        "tutorials/basic_block_net.yaml:as_printed",
        lambda: twins.basic_block_net(twins.TutorialBlock(32, as_printed=True)),
        PHOTO,
        params=13_184_708,
        macs=197_468_544,
    ),
    Pair(
        "tutorials/residual_block.yaml:identity",
        lambda: twins.basic_block(64, 64),
        (1, 64, 56, 56),
        params=73_984,
        macs=231_211_008,
    ),
    Pair(
        "tutorials/residual_block.yaml:strided",
        lambda: twins.basic_block(64, 128, 2),
        (1, 64, 56, 56),
        params=230_144,
        macs=179_830_784,
    ),
]
OTHERS = [
    Pair("tutorials/residual_block.yaml:wider", lambda: twins.basic_block(64, 128), (1, 64, 56, 56)),
    Pair(
        "resnet.yaml:resnet18",
        lambda: twins.resnet(twins.basic_block, [2, 2, 2, 2]),
        (1, 3, 224, 224),
        params=11_689_512,
        macs=1_814_073_344,
    ),
    Pair(
        "resnet.yaml:resnet50",
        lambda: twins.resnet(twins.bottleneck, [1, 2, 1, 1], expansion=4, classes=7),
        (1, 3, 224, 224),
        set={"blocks_per_stage": [1, 2, 1, 1], "num_classes": 7},
    ),
    Pair(
        "resnet.yaml:resnext50_32x4d",
        lambda: twins.resnet(twins.bottleneck, [1, 1, 1, 1], expansion=4, classes=7, groups=32, base_width=4),
        (1, 3, 224, 224),
        set={"blocks_per_stage": [1, 1, 1, 1], "num_classes": 7},
    ),
    Pair(
        "densenet.yaml:densenet121",
        lambda: twins.densenet(4, [1, 2, 2, 1], 8, 5),
        (1, 3, 224, 224),
        set={"growth": 4, "blocks": [1, 2, 2, 1], "stem": 8, "num_classes": 5},
    ),
    Pair(
        "mobilenet_v2.yaml:mobilenet_v2",
        lambda: twins.mobilenet_v2(0.25, 5),
        (1, 3, 224, 224),
        set={"width": 0.25, "num_classes": 5},
    ),
    Pair(
        "efficientnet.yaml:b0",
        lambda: twins.efficientnet(0.25, 5),
        (1, 3, 64, 64),
        set={"width": 0.25, "size": 64, "num_classes": 5},
    ),
    Pair(
        "convnext.yaml:tiny",
        lambda: twins.convnext([1, 1, 2, 1], [8, 12, 16, 24], 5),
        (1, 3, 224, 224),
        set={"depths": [1, 1, 2, 1], "dims": [8, 12, 16, 24], "num_classes": 5},
    ),
    Pair("unet.yaml", lambda: twins.UNet(4, 2), (1, 1, 256, 256), set={"width": 4}),
    Pair(
        "vit.yaml:vit_b_16",
        lambda: twins.ViT(32, 8, 2, 2, 16, 5),
        (1, 3, 32, 32),
        set={"size": 32, "patch": 8, "depth": 2, "heads": 2, "dim": 16, "num_classes": 5},
    ),
    Pair(
        "gpt2.yaml:small",
        lambda: twins.Gpt2(97, 32, 16, 2, 4),
        (1, 12),
        set={"vocab": 97, "context": 32, "seq": 12, "dim": 16, "depth": 2, "heads": 4},
        vocab=97,
    ),
    Pair(
        "llama_block.yaml",
        lambda: twins.LlamaBlock(32, 4, 2, 48),
        (1, 8, 32),
        set={"dim": 32, "heads": 4, "kv_heads": 2, "hidden": 48, "seq": 8},
    ),
    Pair(
        "lstm_classifier.yaml",
        lambda: twins.LstmClassifier(50, 8, 6, 2, 2),
        (1, 12),
        set={"vocab": 50, "seq": 12, "dim": 8, "hidden": 6},
        vocab=50,
    ),
]
PAIRS = TUTORIALS + OTHERS


@pytest.fixture(autouse=True)
def own_random_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(11)
        yield


def tensors(model: nn.Module) -> list[Tensor]:
    """The tensors of the state_dict in its order, each storage once (a tied weight has two names)."""
    return list({tensor.data_ptr(): tensor for tensor in model.state_dict().values()}.values())


def with_lively_norms(model: nn.Module) -> nn.Module:
    """The model in eval mode; norms and raw parameters drawn at random, so that a swapped one would show."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    for parameter in model.parameters():
        if parameter.dim() < 4:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    ours, theirs = tensors(source), tensors(target)
    assert [tuple(t.shape) for t in theirs] == [tuple(t.shape) for t in ours]
    for old, new in zip(theirs, ours, strict=True):
        old.copy_(new)


@pytest.mark.law
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.spec)
def test_a_compiled_spec_gives_the_bits_of_its_twin(pair: Pair) -> None:
    twin = with_lively_norms(pair.twin())
    net = archscope.build(pair.target, set=pair.set).eval()
    copy_in_order(twin, net)
    x = pair.example()
    assert torch.equal(net(x), twin(x))


@pytest.mark.law
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.params], ids=lambda pair: pair.spec)
def test_a_report_gives_the_known_figures(pair: Pair) -> None:
    total = archscope.summarize(pair.target).total
    assert (total.params, total.macs) == (pair.params, pair.macs)
    assert sum(tensor.numel() for tensor in pair.twin().parameters()) == pair.params
