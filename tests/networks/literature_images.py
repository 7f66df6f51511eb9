"""Twins of literature/: networks for images, as plain PyTorch; layers are declared in the order they run."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(a: int, b: int, kernel: int = 3, stride: int = 1, act: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(a, b, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), *([nn.ReLU()] if act else []))


# ------------------------------------------------------------ DETR
class Positions(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.columns = nn.Parameter(torch.rand(50, dim // 2))
        self.rows = nn.Parameter(torch.rand(50, dim // 2))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        columns = self.columns[:w].unsqueeze(0).repeat(h, 1, 1)
        rows = self.rows[:h].unsqueeze(1).repeat(1, w, 1)
        return torch.cat([columns, rows], dim=-1).flatten(0, 1).unsqueeze(0)


class Detr(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        stages = (conv_bn(a, b, stride=2, act=True) for a, b in pairwise([3, 16, 32, 64]))
        self.backbone = nn.Sequential(*stages, nn.Conv2d(64, dim, 1))
        self.positions = Positions(dim)
        self.queries = nn.Parameter(torch.rand(1, 10, dim))
        self.transformer = nn.Transformer(dim, 4, 2, 2, dim_feedforward=2 * dim, batch_first=True)
        self.classes = nn.Linear(dim, 21)
        hidden = (nn.Sequential(nn.Linear(dim, dim), nn.ReLU()) for _ in range(2))
        self.boxes = nn.Sequential(*hidden, nn.Linear(dim, 4), nn.Sigmoid())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.backbone(x)
        cells = x.flatten(2).transpose(1, 2) + self.positions(x)
        found = self.transformer(cells, self.queries.expand(x.shape[0], -1, -1))
        return {"logits": self.classes(found), "boxes": self.boxes(found)}


# ------------------------------------------------------------ ConvNeXt V2
class ChannelNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Grn(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        relative = energy / (energy.mean(dim=-1, keepdim=True) + 1e-6)
        return self.gamma * (x * relative) + self.beta + x


class ConvNextV2Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.up, self.grn, self.down = nn.Linear(dim, 4 * dim), Grn(4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(self.grn(F.gelu(self.up(y))))
        return y.permute(0, 3, 1, 2) + x


class ConvNextV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        dims, depths = [12, 24, 48], [1, 2, 1]
        parts: list[nn.Module] = [nn.Conv2d(3, dims[0], 4, 4), ChannelNorm(dims[0], eps=1e-6)]
        for turn, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            if turn:
                parts += [ChannelNorm(dims[turn - 1], eps=1e-6), nn.Conv2d(dims[turn - 1], dim, 2, 2)]
            parts += [ConvNextV2Block(dim) for _ in range(depth)]
        self.features = nn.Sequential(*parts)
        self.norm, self.head = nn.LayerNorm(dims[-1], eps=1e-6), nn.Linear(dims[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.features(x).mean((-2, -1))))


# ------------------------------------------------------------ AlphaZero
class ResidualBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first, self.second = conv_bn(dim, dim, act=True), conv_bn(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + x)


class AlphaZero(nn.Module):
    def __init__(self, board: int = 9, width: int = 32) -> None:
        super().__init__()
        blocks = (ResidualBlock(width) for _ in range(3))
        self.tower = nn.Sequential(conv_bn(17, width, act=True), *blocks)
        cells = board * board
        self.policy = nn.Sequential(conv_bn(width, 2, 1, act=True), nn.Flatten(), nn.Linear(2 * cells, cells + 1))
        self.value = nn.Sequential(
            conv_bn(width, 1, 1, act=True),
            nn.Flatten(),
            nn.Linear(cells, width),
            nn.ReLU(),
            nn.Linear(width, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.tower(x)
        return {"policy": self.policy(x), "value": self.value(x)}


# ------------------------------------------------------------ StyleGAN2
class Modulated(nn.Module):
    def __init__(self, a: int, b: int, style: int, kernel: int = 3, demodulate: bool = True) -> None:
        super().__init__()
        self.kernel, self.demodulate = kernel, demodulate
        self.scale = nn.Linear(style, a)
        self.weight = nn.Parameter(torch.randn(1, b, a, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(b, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, c, h, w = x.shape
        k, out = self.kernel, self.weight.shape[1]
        weights = (c * k**2) ** -0.5 * self.weight * (self.scale(style).view(n, 1, c, 1, 1) + 1)
        if self.demodulate:
            weights = weights * torch.rsqrt(weights.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        weights = weights.view(n * out, c, k, k)
        return F.conv2d(x.reshape(1, n * c, h, w), weights, padding=k // 2, groups=n).view(n, out, h, w) + self.bias


class StyleLevel(nn.Module):
    def __init__(self, a: int, b: int, style: int) -> None:
        super().__init__()
        self.first, self.second = Modulated(a, b, style), Modulated(b, b, style)
        self.picture = Modulated(b, 3, style, 1, demodulate=False)

    def forward(self, x: Tensor, picture: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = F.leaky_relu(self.second(F.leaky_relu(self.first(x, style), 0.2), style), 0.2)
        return x, F.interpolate(picture, scale_factor=2, mode="bilinear") + self.picture(x, style)


class StyleGan2(nn.Module):
    def __init__(self, latent: int = 32) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(nn.Linear(latent, latent) for _ in range(4))
        self.constant = nn.Parameter(torch.randn(1, 32, 4, 4))
        self.base = Modulated(32, 32, latent)
        self.picture = Modulated(32, 3, latent, 1, demodulate=False)
        self.levels = nn.ModuleList([StyleLevel(32, 24, latent), StyleLevel(24, 16, latent)])

    def forward(self, z: Tensor) -> Tensor:
        style = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            style = F.leaky_relu(layer(style), 0.2)
        x = F.leaky_relu(self.base(self.constant.expand(z.shape[0], -1, -1, -1), style), 0.2)
        picture = self.picture(x, style)
        for level in self.levels:
            x, picture = level(x, picture, style)
        return picture


# ------------------------------------------------------------ HRNet
def down(a: int, b: int, times: int) -> nn.Sequential:
    return nn.Sequential(*(conv_bn(a, a, stride=2, act=True) for _ in range(times - 1)), conv_bn(a, b, stride=2))


def up(a: int, b: int, times: int) -> nn.Sequential:
    return nn.Sequential(conv_bn(a, b, 1), nn.Upsample(scale_factor=2**times, mode="nearest"))


class Exchange(nn.Module):
    def __init__(self, a: int = 8, b: int = 16, c: int = 32) -> None:
        super().__init__()
        self.high, self.mid, self.low = ResidualBlock(a), ResidualBlock(b), ResidualBlock(c)
        self.mid_high, self.low_high = up(b, a, 1), up(c, a, 2)
        self.high_mid, self.low_mid = down(a, b, 1), up(c, b, 1)
        self.high_low, self.mid_low = down(a, c, 2), down(b, c, 1)

    def forward(self, high: Tensor, mid: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        high, mid, low = self.high(high), self.mid(mid), self.low(low)
        return (
            F.relu(high + self.mid_high(mid) + self.low_high(low)),
            F.relu(self.high_mid(high) + mid + self.low_mid(low)),
            F.relu(self.high_low(high) + self.mid_low(mid) + low),
        )


class HrNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.to_mid, self.to_low = conv_bn(3, 8, stride=2, act=True), down(8, 16, 1), down(8, 32, 2)
        self.stages = nn.ModuleList(Exchange() for _ in range(2))
        self.head = nn.Conv2d(56, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        high = self.stem(x)
        streams = high, F.relu(self.to_mid(high)), F.relu(self.to_low(high))
        for stage in self.stages:
            streams = stage(*streams)
        size = streams[0].shape[2:]
        wide = [F.interpolate(stream, size=size, mode="bilinear", align_corners=False) for stream in streams[1:]]
        x = self.head(torch.cat([streams[0], *wide], dim=1))
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
