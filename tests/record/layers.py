"""Every layer of torch.nn: its arguments, its inputs, and its multiply-adds by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    args: tuple[Any, ...]
    macs: int = 0


NO_LAYERS = {
    *("Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"),
    *("DataParallel", "RNNBase", "RNNCellBase", "SyncBatchNorm", "LazyLinear"),
    *(f"Lazy{kind}{n}d" for kind in ("BatchNorm", "InstanceNorm", "Conv", "ConvTranspose") for n in (1, 2, 3)),
}
"""Containers, abstract and lazy classes, and wrappers for several devices."""


def t(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5)


def ints(*values: int) -> torch.Tensor:
    return torch.tensor(values)


SOLIDS = {1: t(2, 4, 8), 2: t(2, 4, 8, 8), 3: t(2, 4, 8, 8, 8)}
SPACE = {1: 8, 2: 64, 3: 512}


def ranked(kind: str, *args: Any, ranks: tuple[int, ...] = (1, 2, 3), **options: Any) -> dict[str, Case]:
    """The family of a layer over 1, 2 and 3 dimensions."""
    names = {n: f"{kind}{n}d" for n in ranks}
    return {
        name: Case(lambda name=name: getattr(nn, name)(*args, **options), (SOLIDS[n],)) for n, name in names.items()
    }


def alike(names: str, *args: Any) -> dict[str, Case]:
    """Layers without arguments over the same input."""
    return {name: Case(getattr(nn, name), args or (SOLIDS[2],)) for name in names.split()}


def convolutions() -> dict[str, Case]:
    """4 → 6 channels, kernel 3, 2 groups: 2·3 … products per output, per input when transposed."""
    plain = {
        f"Conv{n}d": Case(
            lambda n=n: getattr(nn, f"Conv{n}d")(4, 6, 3, padding=1, groups=2),
            (SOLIDS[n],),
            2 * 6 * SPACE[n] * 2 * 3**n,
        )
        for n in (1, 2, 3)
    }
    transposed = {
        f"ConvTranspose{n}d": Case(
            lambda n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3, stride=2, groups=2),
            (SOLIDS[n],),
            2 * 4 * SPACE[n] * 3 * 3**n,
        )
        for n in (1, 2, 3)
    }
    return plain | transposed


def unpooled(n: int) -> Case:
    indices = torch.zeros(2, 4, *[4] * n, dtype=torch.int64)
    return Case(lambda: getattr(nn, f"MaxUnpool{n}d")(2), (t(2, 4, *[4] * n), indices))


ACTIVATIONS = """
CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU RReLU ReLU ReLU6 SELU SiLU
Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink Softmax2d AlphaDropout FeatureAlphaDropout Flatten
"""
PAIRED_LOSSES = (
    "BCELoss BCEWithLogitsLoss HuberLoss KLDivLoss L1Loss MSELoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss"
)
DISTANCES = "CosineSimilarity PairwiseDistance HingeEmbeddingLoss MultiLabelSoftMarginLoss"

LOSSES = {
    **alike(PAIRED_LOSSES, t(2, 4), t(2, 4)),
    **alike(DISTANCES, t(2, 4), t(2, 4)),
    **alike("CrossEntropyLoss MultiMarginLoss NLLLoss", t(2, 4), ints(0, 1)),
    **alike("TripletMarginLoss TripletMarginWithDistanceLoss", t(2, 4), t(2, 4), t(2, 4)),
    "NLLLoss2d": Case(nn.NLLLoss, (t(2, 4, 3), torch.zeros(2, 3, dtype=torch.int64))),
    "MultiLabelMarginLoss": Case(nn.MultiLabelMarginLoss, (t(2, 4), torch.full((2, 4), -1))),
    "GaussianNLLLoss": Case(nn.GaussianNLLLoss, (t(2, 4), t(2, 4), t(2, 4))),
    "CosineEmbeddingLoss": Case(nn.CosineEmbeddingLoss, (t(2, 4), t(2, 4), ints(1, -1))),
    "MarginRankingLoss": Case(nn.MarginRankingLoss, (t(2), t(2), ints(1, -1))),
    "CTCLoss": Case(nn.CTCLoss, (t(6, 2, 4), torch.ones(2, 3, dtype=torch.int64), ints(6, 6), ints(3, 3))),
    "LinearCrossEntropyLoss": Case(lambda: nn.LinearCrossEntropyLoss(4, 7), (t(2, 4), ints(0, 1)), 2 * 4 * 7),
    "AdaptiveLogSoftmaxWithLoss": Case(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4], div_value=2.0), (t(3, 8), ints(0, 1, 2)), 3 * 8 * 5
    ),
}
RECURRENT = {
    "LSTM": Case(lambda: nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3), (t(6, 2, 5),), 12 * 592),
    "GRU": Case(lambda: nn.GRU(5, 4, batch_first=True), (t(2, 6, 5),), 12 * 12 * 9),
    "RNN": Case(lambda: nn.RNN(5, 4), (t(6, 5),), 6 * 4 * 9),
    "LSTMCell": Case(lambda: nn.LSTMCell(5, 4), (t(2, 5),), 2 * 16 * 9),
    "GRUCell": Case(lambda: nn.GRUCell(5, 4), (t(2, 5),), 2 * 12 * 9),
    "RNNCell": Case(lambda: nn.RNNCell(5, 4), (t(2, 5),), 2 * 4 * 9),
}
SELF, CROSS = 10 * 4 * 64 + 2 * 25 * 16, 10 * 2 * 64 + 14 * 2 * 64 + 2 * 35 * 16
FEED = 10 * 2 * 8 * 16
ATTENTION = {
    "MultiheadAttention": Case(lambda: nn.MultiheadAttention(8, 2), (t(5, 2, 8), t(7, 2, 8), t(7, 2, 8)), CROSS),
    "TransformerEncoderLayer": Case(lambda: nn.TransformerEncoderLayer(8, 2, 16), (t(5, 2, 8),), SELF + FEED),
    "TransformerDecoderLayer": Case(
        lambda: nn.TransformerDecoderLayer(8, 2, 16), (t(5, 2, 8), t(7, 2, 8)), SELF + CROSS + FEED
    ),
    "TransformerEncoder": Case(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3),
        (t(2, 5, 8),),
        3 * (SELF + FEED),
    ),
    "TransformerDecoder": Case(
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2),
        (t(5, 2, 8), t(7, 2, 8)),
        2 * (SELF + CROSS + FEED),
    ),
    "Transformer": Case(
        lambda: nn.Transformer(8, 2, 1, 1, 16),
        (t(7, 2, 8), t(5, 2, 8)),
        14 * 4 * 64 + 2 * 49 * 16 + 14 * 2 * 8 * 16 + SELF + CROSS + FEED,
    ),
}
LAYERS: dict[str, Case] = {
    **alike(ACTIVATIONS),
    **convolutions(),
    **LOSSES,
    **RECURRENT,
    **ATTENTION,
    **ranked("AdaptiveAvgPool", 2),
    **ranked("AdaptiveMaxPool", 2),
    **ranked("AvgPool", 2),
    **ranked("MaxPool", 2),
    **ranked("LPPool", 2, 2),
    **ranked("FractionalMaxPool", 2, output_size=3, ranks=(2, 3)),
    **ranked("BatchNorm", 4),
    **ranked("InstanceNorm", 4, affine=True, track_running_stats=True),
    **ranked("Dropout"),
    **ranked("CircularPad", 1),
    **ranked("ConstantPad", 1, 0.5),
    **ranked("ReflectionPad", 1),
    **ranked("ReplicationPad", 1),
    **ranked("ZeroPad", 1),
    **{f"MaxUnpool{n}d": unpooled(n) for n in (1, 2, 3)},
    "Dropout": Case(nn.Dropout, (SOLIDS[2],)),
    "GroupNorm": Case(lambda: nn.GroupNorm(2, 4), (SOLIDS[2],)),
    "LayerNorm": Case(lambda: nn.LayerNorm(8), (SOLIDS[2],)),
    "RMSNorm": Case(lambda: nn.RMSNorm(8), (SOLIDS[2],)),
    "LocalResponseNorm": Case(lambda: nn.LocalResponseNorm(2), (SOLIDS[2],)),
    "CrossMapLRN2d": Case(lambda: nn.CrossMapLRN2d(2), (SOLIDS[2],)),
    "Softmax": Case(lambda: nn.Softmax(1), (SOLIDS[2],)),
    "LogSoftmax": Case(lambda: nn.LogSoftmax(1), (SOLIDS[2],)),
    "Softmin": Case(lambda: nn.Softmin(1), (SOLIDS[2],)),
    "Threshold": Case(lambda: nn.Threshold(0.1, 0.2), (SOLIDS[2],)),
    "ChannelShuffle": Case(lambda: nn.ChannelShuffle(2), (SOLIDS[2],)),
    "PixelShuffle": Case(lambda: nn.PixelShuffle(2), (SOLIDS[2],)),
    "PixelUnshuffle": Case(lambda: nn.PixelUnshuffle(2), (SOLIDS[2],)),
    "Unflatten": Case(lambda: nn.Unflatten(1, (2, 2)), (SOLIDS[2],)),
    "Unfold": Case(lambda: nn.Unfold(3), (SOLIDS[2],)),
    "Fold": Case(lambda: nn.Fold((5, 5), 2), (t(2, 8, 16),)),
    "Upsample": Case(lambda: nn.Upsample(scale_factor=2, mode="bicubic"), (SOLIDS[2],)),
    "UpsamplingBilinear2d": Case(lambda: nn.UpsamplingBilinear2d(scale_factor=2), (SOLIDS[2],)),
    "UpsamplingNearest2d": Case(lambda: nn.UpsamplingNearest2d(scale_factor=2), (SOLIDS[2],)),
    "Identity": Case(nn.Identity, (SOLIDS[2],)),
    "Linear": Case(lambda: nn.Linear(4, 7), (t(2, 3, 4),), 6 * 28),
    "Bilinear": Case(lambda: nn.Bilinear(4, 5, 6), (t(2, 3, 4), t(2, 3, 5)), 6 * 120),
    "Embedding": Case(lambda: nn.Embedding(7, 4, max_norm=1.0), (ints(0, 3),)),
    "EmbeddingBag": Case(lambda: nn.EmbeddingBag(7, 4), (ints(0, 3, 5), ints(0, 2))),
}
