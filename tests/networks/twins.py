"""Twins: the networks of `specs/`, written by hand as plain PyTorch; layers are declared in the order they run.

The same weights go into a twin and into its compiled spec, in order of state_dict; the outputs must be the same bits.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def chain(*parts: nn.Module | None) -> nn.Sequential:
    """The parts that are there, in order."""
    return nn.Sequential(*(part for part in parts if part is not None))


# ------------------------------------------------------------ the tutorials' networks
class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [784, 512, 256, 128, 64]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.out(x)


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc = nn.Linear(320, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return self.fc(x.flatten(1))


class Cnn3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 5), nn.Conv2d(32, 64, 3)])
        self.pooling = nn.MaxPool2d(2)
        self.head = chain(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.pooling(F.relu(conv(x)))
        return self.head(x.flatten(1))


def conv5x5(squeeze: int | None) -> nn.Module:
    if squeeze is None:
        return nn.Conv2d(192, 32, 5, padding=2, bias=False)
    return chain(nn.Conv2d(192, squeeze, 1, bias=False), nn.Conv2d(squeeze, 32, 5, padding=2, bias=False))


class InceptionA(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch1x1 = nn.Conv2d(channels, 16, 1)
        self.branch5x5 = chain(nn.Conv2d(channels, 16, 1), nn.Conv2d(16, 24, 5, padding=2))
        self.branch3x3 = chain(
            nn.Conv2d(channels, 16, 1), nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(24, 24, 3, padding=1)
        )
        self.branch_pool = nn.Conv2d(channels, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1))
        return torch.cat([self.branch1x1(x), self.branch5x5(x), self.branch3x3(x), pooled], dim=1)


def two_stages(first: int, second: int, blocks: tuple[nn.Module, nn.Module], features: int) -> nn.Module:
    """conv 5×5, ReLU, pooling, block, twice; the frame of the tutorials' two MNIST nets (ReLU and pooling commute)."""
    between = blocks[0](torch.zeros(1, first, 12, 12)).shape[1]
    return chain(
        chain(nn.Conv2d(1, first, 5), nn.ReLU(), nn.MaxPool2d(2), blocks[0]),
        chain(nn.Conv2d(between, second, 5), nn.ReLU(), nn.MaxPool2d(2), blocks[1]),
        nn.Flatten(),
        nn.Linear(features, 10),
    )


def inception_net() -> nn.Module:
    return two_stages(10, 20, (InceptionA(10), InceptionA(20)), 1408)


class MnistBlock(nn.Module):
    """The residual block of tutorial 9.7 and its variants: how x and y are joined, and what conv2 reads."""

    def __init__(self, channels: int, join: str = "plain", as_printed: bool = False) -> None:
        super().__init__()
        self.join, self.as_printed = join, as_printed
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, channels, 1) if join == "conv" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x))
        y = self.conv2(x if self.as_printed else y)
        if self.join == "scaled":
            return F.relu(0.5 * (x + y))
        return F.relu(y + self.conv3(x))


def residual_mnist(join: str = "plain", as_printed: bool = False) -> nn.Module:
    blocks = MnistBlock(16, join, as_printed), MnistBlock(32, join, as_printed)
    return two_stages(16, 32, blocks, 512)


class TutorialBlock(nn.Module):
    """The basic block of the first tutorial: as its text describes it, or as printed (bn1 twice, x never added)."""

    def __init__(self, channels: int, as_printed: bool = False) -> None:
        super().__init__()
        self.as_printed = as_printed
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.as_printed:
            return self.bn2(self.conv2(F.relu(self.bn1(self.bn1(self.conv1(x))))))
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x


def basic_block_net(block: nn.Module | None = None) -> nn.Module:
    def stage(a: int, b: int) -> nn.Module:
        return chain(nn.Conv2d(a, b, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(b))

    head = chain(nn.Linear(12544, 1024), nn.ReLU(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 4))
    return chain(stage(3, 32), block, stage(32, 64), stage(64, 64), nn.Flatten(), head)


# ------------------------------------------------------------ ResNet and ResNeXt
def conv_bn(
    a: int, b: int, kernel_size: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Module:
    conv = nn.Conv2d(a, b, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False)
    return chain(conv, nn.BatchNorm2d(b), act)


class ResidualUnit(nn.Module):
    """relu(main(x) + shortcut(x)); the shortcut is a projection where channels or size change."""

    def __init__(self, main: nn.Module, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.main = main
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else conv_bn(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


def basic_block(channels: int, width: int, stride: int = 1) -> ResidualUnit:
    main = chain(*conv_bn(channels, width, 3, stride, act=nn.ReLU()), *conv_bn(width, width, 3))
    return ResidualUnit(main, channels, width, stride)


def bottleneck(channels: int, width: int, stride: int = 1, groups: int = 1, base_width: int = 64) -> ResidualUnit:
    inner = width * base_width // 64 * groups
    main = chain(
        *conv_bn(channels, inner, 1, act=nn.ReLU()),
        *conv_bn(inner, inner, 3, stride, groups, act=nn.ReLU()),
        *conv_bn(inner, 4 * width, 1),
    )
    return ResidualUnit(main, channels, 4 * width, stride)


def resnet(block, depths: list[int], expansion: int = 1, classes: int = 1000, **options: int) -> nn.Module:
    stages, channels = [], 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for turn in range(depth):
            stages.append(block(channels, width, 2 if stage and not turn else 1, **options))
            channels = expansion * width
    stem = chain(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return chain(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


# ------------------------------------------------------------ other convolutional networks
class Concat(nn.Module):
    """cat([x, branch(x)]): what DenseNet does with every layer."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], dim=1)


def densenet(growth: int, blocks: list[int], stem: int, classes: int) -> nn.Module:
    def norm_conv(a: int, b: int, kernel_size: int) -> nn.Module:
        conv = nn.Conv2d(a, b, kernel_size, padding=kernel_size // 2, bias=False)
        return chain(nn.BatchNorm2d(a), nn.ReLU(), conv)

    parts: list[nn.Module] = [nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
    parts.append(nn.MaxPool2d(3, 2, 1))
    channels = stem
    for stage, depth in enumerate(blocks):
        for _ in range(depth):
            parts.append(Concat(chain(norm_conv(channels, 4 * growth, 1), norm_conv(4 * growth, growth, 3))))
            channels += growth
        if stage < len(blocks) - 1:
            parts.append(chain(norm_conv(channels, channels // 2, 1), nn.AvgPool2d(2)))
            channels //= 2
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    return chain(*parts, nn.BatchNorm2d(channels), nn.ReLU(), *head)


class Skip(nn.Module):
    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + x


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeeze, 1), nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def inverted_residual(channels: int, out: int, expand: int, stride: int) -> nn.Module:
    hidden = channels * expand
    main = chain(
        conv_bn(channels, hidden, 1, act=nn.ReLU6()) if expand != 1 else None,
        conv_bn(hidden, hidden, 3, stride, hidden, act=nn.ReLU6()),
        conv_bn(hidden, out, 1),
    )
    return Skip(main) if stride == 1 and channels == out else main


def mbconv(channels: int, out: int, expand: int, kernel_size: int, stride: int) -> nn.Module:
    hidden = channels * expand
    main = chain(
        conv_bn(channels, hidden, 1, act=nn.SiLU()) if expand != 1 else None,
        conv_bn(hidden, hidden, kernel_size, stride, hidden, act=nn.SiLU()),
        SqueezeExcite(hidden, channels // 4),
        conv_bn(hidden, out, 1),
    )
    return Skip(main) if stride == 1 and channels == out else main


def divisible(value: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `value`, never more than a tenth below it (Sandler et al. 2018)."""
    new = max(by, int(value + by / 2) // by * by)
    return new + by if new < 0.9 * value else new


MOBILENET = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet_v2(width: float, classes: int) -> nn.Module:
    channels = divisible(32 * width)
    parts = [conv_bn(3, channels, 3, 2, act=nn.ReLU6())]
    for expand, wide, repeats, stride in MOBILENET:
        for turn in range(repeats):
            out = divisible(wide * width)
            parts.append(inverted_residual(channels, out, expand, 1 if turn else stride))
            channels = out
    last = max(1280, divisible(1280 * width))
    parts.append(conv_bn(channels, last, 1, act=nn.ReLU6()))
    return chain(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes))


EFFICIENTNET = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]


def efficientnet(width: float, classes: int) -> nn.Module:
    channels = divisible(32 * width)
    parts = [conv_bn(3, channels, 3, 2, act=nn.SiLU())]
    for expand, kernel_size, stride, wide, repeats in EFFICIENTNET:
        for turn in range(repeats):
            out = divisible(wide * width)
            parts.append(mbconv(channels, out, expand, kernel_size, 1 if turn else stride))
            channels = out
    parts.append(conv_bn(channels, 4 * channels, 1, act=nn.SiLU()))
    return chain(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * channels, classes))


class UNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = [width * 2**n for n in range(5)]
        self.down = nn.ModuleList(self.double(a, b) for a, b in zip([1, *widths], widths, strict=False))
        turns = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(
            nn.ModuleList([nn.ConvTranspose2d(a, b, 2, stride=2), self.double(2 * b, b)]) for a, b in turns
        )
        self.out = nn.Conv2d(width, classes, 1)

    @staticmethod
    def double(a: int, b: int) -> nn.Module:
        first = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()
        return chain(*first, nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for depth, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if depth else x)
            skips.append(x)
        for (widen, double), skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = double(torch.cat([skip, widen(x)], dim=1))
        return self.out(x)


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)
        return y * self.scale + x


def convnext(depths: list[int], dims: list[int], classes: int) -> nn.Module:
    parts: list[nn.Module] = []
    for before, dim, depth in zip([0, *dims], dims, depths, strict=False):
        if before:
            parts += [LayerNorm2d(before, eps=1e-6), nn.Conv2d(before, dim, 2, stride=2)]
        else:
            parts += [nn.Conv2d(3, dim, 4, stride=4), LayerNorm2d(dim, eps=1e-6)]
        parts += [ConvNeXtBlock(dim) for _ in range(depth)]
    head = nn.AdaptiveAvgPool2d(1), LayerNorm2d(dims[-1], eps=1e-6), nn.Flatten(), nn.Linear(dims[-1], classes)
    return chain(*parts, *head)


# ------------------------------------------------------------ sequences
class EncoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = chain(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = self.attention(h, h, h, need_weights=False)[0] + x
        return self.mlp(self.norm2(x)) + x


class ViT(nn.Module):
    def __init__(self, size: int, patch: int, depth: int, heads: int, dim: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.place = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, dim))
        self.encoder = chain(*(EncoderBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.place
        return self.head(self.norm(self.encoder(x))[:, 0])


class Gpt2Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.project = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm2, self.wide, self.narrow = nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = self.project(y.transpose(1, 2).reshape(n, t, d)) + x
        return self.narrow(F.gelu(self.wide(self.norm2(x)), approximate="tanh")) + x


class Gpt2(nn.Module):
    def __init__(self, vocab: int, context: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(context, dim)
        self.h = chain(*(Gpt2Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        return self.lm_head(self.norm(self.h(x)))


class LlamaBlock(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int, hidden: int, theta: float = 500000.0) -> None:
        super().__init__()
        self.theta, d = theta, dim // heads
        self.norm1 = nn.RMSNorm(dim, eps=1e-5)
        self.q = nn.Linear(dim, heads * d, bias=False)
        self.k = nn.Linear(dim, kv_heads * d, bias=False)
        self.v = nn.Linear(dim, kv_heads * d, bias=False)
        self.o = nn.Linear(dim, dim, bias=False)
        self.norm2 = nn.RMSNorm(dim, eps=1e-5)
        self.gate, self.up = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)
        self.d = d

    def rotary(self, x: Tensor) -> Tensor:
        t, d = x.shape[2:]
        angle = torch.outer(torch.arange(t).float(), self.theta ** (torch.arange(0, d, 2) / -d))
        a, b = x.chunk(2, dim=-1)
        cos, sin = torch.cos(angle), torch.sin(angle)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        n, t, dim = x.shape
        h = self.norm1(x)
        q, k, v = (layer(h).view(n, t, -1, self.d).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, is_causal=True, enable_gqa=True)
        x = self.o(y.transpose(1, 2).reshape(n, t, dim)) + x
        h = self.norm2(x)
        return self.down(F.silu(self.gate(h)) * self.up(h)) + x


class LstmClassifier(nn.Module):
    def __init__(self, vocab: int, dim: int, hidden: int, layers: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, num_layers=layers, batch_first=True, bidirectional=True, dropout=0.3)
        self.out = nn.Linear(2 * hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.lstm(self.embedding(tokens))[1][0]
        return self.out(torch.cat([h[-2], h[-1]], dim=1))
