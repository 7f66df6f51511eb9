"""Networks of the literature: compiled specs against their twins, with the same weights, at three sizes each.

A spec is compiled once, at its own sizes, and the module is then run at two others, like any nn.Module. Where the
structure depends on a size (a learned position for each token, a layer that is linear in all the cells), the module
must refuse another one and say which line wants it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archscope
from tests.networks import literature_images as images
from tests.networks import literature_others as others
from tests.networks import literature_pyramids as pyramids
from tests.networks import literature_sequences as sequences
from tests.networks import literature_shared as shared
from tests.networks import literature_transformers as transformers

SPECS = Path(__file__).resolve().parent / "literature"


@dataclass(frozen=True)
class Ids:
    """An input of whole numbers from 0 to high - 1; of truth values where high is 2 and asked for."""

    shape: tuple[int, ...]
    high: int
    dtype: torch.dtype = torch.int64


Size = tuple[tuple[int, ...] | Ids, ...]


@dataclass(frozen=True)
class Net:
    """A spec, its twin, the inputs of its own size and of two others, and sizes that it must refuse."""

    spec: str
    twin: Callable[[], nn.Module]
    sizes: tuple[Size, Size, Size]
    refused: tuple[Size, ...] = ()
    exact: bool = True

    @property
    def path(self) -> Path:
        return SPECS / f"{self.spec}.yaml"


def ids(*shape: int, high: int) -> Ids:
    return Ids(shape, high)


def graph(batch: int, nodes: int) -> Size:
    return (batch, nodes, 16), Ids((batch, nodes, nodes), 2, torch.bool)


def one(*shape: int) -> Size:
    return (shape,)


def tokens(batch: int, length: int, high: int) -> Size:
    return (ids(batch, length, high=high),)


def whisper(batch: int, frames: int, length: int) -> Size:
    return (batch, 16, frames), ids(batch, length, high=150)


def noisy(batch: int, height: int, width: int) -> Size:
    return (batch, 3, height, width), ids(batch, high=1000)


def molecule(batch: int, atoms: int) -> Size:
    return ids(batch, atoms, high=10), (batch, atoms, 3)


def relations(batch: int, nodes: int) -> Size:
    return ids(batch, nodes, high=12), (batch, 3, nodes, nodes)


def translation(batch: int, source: int, target: int) -> Size:
    return ids(batch, source, high=80), ids(batch, target, high=80)


def pair(batch: int, size: int) -> Size:
    return (batch, 1, size, size), (batch, 1, size, size)


def cached(batch: int, length: int, past: int) -> Size:
    cache = 2, batch, 2, past, 8
    return ids(batch, length, high=160), cache, cache


NETS = [
    Net("detr", images.Detr, (one(1, 3, 64, 96), one(2, 3, 48, 48), one(3, 3, 96, 40))),
    Net("convnext_v2", images.ConvNextV2, (one(1, 3, 32, 32), one(2, 3, 48, 48), one(3, 3, 16, 64))),
    Net(
        "alphazero",
        images.AlphaZero,
        (one(1, 17, 9, 9), one(2, 17, 9, 9), one(5, 17, 9, 9)),
        refused=(one(1, 17, 8, 8), one(2, 17, 9, 10)),
    ),
    Net("stylegan2", images.StyleGan2, (((1, 32),), ((2, 32),), ((5, 32),))),
    Net("hrnet", images.HrNet, (one(1, 3, 32, 48), one(2, 3, 64, 32), one(3, 3, 16, 24))),
    Net("swin", images.Swin, (one(1, 3, 32, 32), one(2, 3, 16, 48), one(3, 3, 32, 16))),
    Net("maxvit", images.MaxVit, (one(1, 3, 32, 48), one(2, 3, 32, 32), one(3, 3, 16, 64))),
    Net(
        "mlp_mixer",
        images.Mixer,
        (one(1, 3, 32, 32), one(2, 3, 32, 32), one(5, 3, 32, 32)),
        refused=(one(1, 3, 48, 48), one(2, 3, 32, 24)),
    ),
    Net("mixtral", transformers.mixtral, (tokens(1, 24, 200), tokens(2, 7, 200), tokens(3, 40, 200))),
    Net("mla", transformers.Mla, (one(1, 20, 64), one(2, 9, 64), one(3, 33, 64))),
    Net("t5", transformers.T5, (tokens(1, 40, 120), tokens(2, 100, 120), tokens(3, 5, 120))),
    Net(
        "whisper",
        transformers.Whisper,
        (whisper(1, 60, 12), whisper(2, 31, 5), whisper(3, 80, 32)),
        refused=(whisper(1, 60, 33),),
    ),
    Net("llama_cache", transformers.LlamaCache, (cached(1, 1, 10), cached(2, 5, 3), cached(3, 1, 30))),
    Net("retnet", transformers.retnet, (tokens(1, 24, 90), tokens(2, 11, 90), tokens(3, 50, 90))),
    Net("perceiver", shared.Perceiver, (one(1, 100, 6), one(2, 37, 6), one(3, 150, 6))),
    Net(
        "universal_transformer",
        shared.UniversalTransformer,
        (tokens(1, 16, 100), tokens(2, 7, 100), tokens(3, 30, 100)),
    ),
    Net(
        "albert",
        shared.Albert,
        (tokens(1, 16, 200), tokens(2, 5, 200), tokens(3, 64, 200)),
        refused=(tokens(1, 65, 200),),
    ),
    Net("pointnet", others.PointNet, (((1, 3, 64),), ((2, 3, 30),), ((3, 3, 1),))),
    Net("gat", others.Gat, (graph(1, 12), graph(2, 5), graph(3, 20))),
    Net("nerf", others.Nerf, (((1, 20, 3), (1, 20, 3)), ((2, 7, 3), (2, 7, 3)), ((3, 33, 3), (3, 33, 3)))),
    Net(
        "dlrm",
        others.Dlrm,
        tuple(((n, 13), ids(n, 4, high=20)) for n in (1, 2, 7)),
        refused=(((2, 13), ids(2, 3, high=20)),),
    ),
    Net("wavenet", sequences.WaveNet, ((ids(1, 64, high=64),), (ids(2, 31, high=64),), (ids(3, 80, high=64),))),
    Net("diffusion_unet", pyramids.DiffusionUNet, (noisy(1, 32, 32), noisy(2, 16, 48), noisy(3, 24, 24))),
    Net("bifpn", pyramids.BiFpn, (one(1, 3, 64, 64), one(2, 3, 96, 32), one(3, 3, 72, 40))),
    Net("shufflenet_v2", pyramids.ShuffleNetV2, (one(1, 3, 32, 32), one(2, 3, 48, 32), one(3, 3, 17, 40))),
    Net("siamese", shared.Siamese, (pair(1, 28), pair(2, 35), pair(3, 16))),
    Net("hypernetwork", shared.HyperNetwork, (one(1, 3, 24, 24), one(2, 3, 16, 40), one(3, 3, 9, 9))),
    Net("neural_ode", shared.NeuralOde, (one(1, 1, 16, 16), one(2, 1, 28, 20), one(3, 1, 9, 9))),
    Net("vae", others.Vae, tuple(((n, 196), (n, 8)) for n in (1, 2, 7)), refused=(((2, 100), (2, 8)),)),
    Net("schnet", others.SchNet, (molecule(1, 9), molecule(2, 5), molecule(3, 14))),
    Net(
        "c51",
        others.C51,
        (one(1, 4, 36, 36), one(2, 4, 36, 36), one(5, 4, 36, 36)),
        refused=(one(2, 4, 44, 44),),
    ),
    Net("elman", sequences.Elman, (tokens(1, 12, 50), tokens(2, 5, 50), tokens(3, 20, 50))),
    Net("lstm_cells", sequences.LstmCells, (one(1, 10, 8), one(2, 3, 8), one(3, 17, 8))),
    Net("seq2seq", sequences.Seq2Seq, (translation(1, 14, 9), translation(2, 6, 11), translation(3, 20, 4))),
    Net("mamba", sequences.Mamba, (tokens(1, 16, 100), tokens(2, 5, 100), tokens(3, 25, 100))),
    Net("rwkv", sequences.Rwkv, (tokens(1, 14, 100), tokens(2, 6, 100), tokens(3, 21, 100))),
    Net("tcn", sequences.Tcn, (one(1, 2, 50), one(2, 2, 20), one(3, 2, 81))),
    Net("conv_lstm", sequences.ConvLstm, (one(1, 5, 1, 16, 20), one(2, 3, 1, 12, 12), one(3, 8, 1, 20, 9))),
    Net("ggnn", shared.Ggnn, (relations(1, 10), relations(2, 4), relations(3, 15))),
    Net(
        "patchtst",
        sequences.PatchTst,
        (one(1, 48, 3), one(2, 48, 3), one(5, 48, 3)),
        refused=(one(2, 64, 3), one(1, 40, 3)),
    ),
    Net(
        "capsnet",
        others.CapsNet,
        (one(1, 1, 28, 28), one(2, 1, 28, 28), one(5, 1, 28, 28)),
        refused=(one(2, 1, 32, 32), one(1, 1, 26, 30)),
    ),
]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        yield


def examples(size: Size) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)

    def drawn(shape: tuple[int, ...] | Ids) -> Tensor:
        if isinstance(shape, Ids):
            return torch.randint(shape.high, shape.shape, generator=generator).to(shape.dtype)
        return torch.randn(shape, generator=generator)

    return [drawn(shape) for shape in size]


def tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and the statistics of norms, in order, each storage once."""
    return list({tensor.data_ptr(): tensor for tensor in model.state_dict().values()}.values())


def built(net: Net) -> nn.Module:
    """The compiled spec; what norms and raw parameters start with is changed, so that leaving one out would show."""
    model = archscope.build(net.path, seed=0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def twin_of(net: Net, model: nn.Module) -> nn.Module:
    """The twin, with the weights of the compiled spec in their order."""
    twin = net.twin()
    ours, theirs = tensors(model), tensors(twin)
    assert [tuple(t.shape) for t in ours] == [tuple(t.shape) for t in theirs]
    for new, old in zip(ours, theirs, strict=True):
        old.copy_(new)
    return twin.eval()


def flat(value: Any) -> list[Tensor]:
    """The tensors of an output, which may be nested."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in flat(part)]
    return [value]


CASES = [pytest.param(net, size, id=f"{net.spec}-{turn}") for net in NETS for turn, size in enumerate(net.sizes)]


@pytest.mark.parametrize(("net", "size"), CASES)
def test_a_network_gives_what_its_twin_gives(net: Net, size: Size) -> None:
    model = built(net)
    inputs = examples(size)
    ours, theirs = flat(model(*inputs)), flat(twin_of(net, model)(*inputs))
    assert [tuple(t.shape) for t in ours] == [tuple(t.shape) for t in theirs]
    assert all(tensor.isfinite().all() and tensor.float().std() > 0 for tensor in theirs if tensor.numel() > 1)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b) if net.exact else torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "size"), [pytest.param(net, size, id=net.spec) for net in NETS for size in net.refused]
)
def test_a_size_that_the_structure_does_not_fit_is_refused_with_its_line(net: Net, size: Size) -> None:
    model = built(net)
    with pytest.raises(Exception, match=rf"{re.escape(net.path.name)}:\d+"):
        model(*examples(size))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.spec)
def test_the_inputs_of_the_first_case_are_those_of_the_file(net: Net) -> None:
    shapes = [tuple(size.shape if isinstance(size, Ids) else size) for size in net.sizes[0]]
    assert [tuple(given["shape"]) for given in archscope.summarize(net.path).to_dict()["inputs"]] == shapes


def test_every_network_of_the_directory_is_compared() -> None:
    assert sorted(path.stem for path in SPECS.glob("*.yaml")) == sorted(net.spec for net in NETS)
