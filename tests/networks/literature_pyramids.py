"""Twins of literature/: networks with skips, pyramids and halves of channels; layers in the order they run."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# ------------------------------------------------------------ the U-Net of a diffusion model
class Time(nn.Module):
    def __init__(self, base: int, wide: int) -> None:
        super().__init__()
        self.half = base // 2
        self.layers = nn.Sequential(nn.Linear(base, wide), nn.SiLU(), nn.Linear(wide, wide))

    def forward(self, t: Tensor) -> Tensor:
        angles = t.unsqueeze(1) * torch.exp(torch.arange(self.half) * (-math.log(10000) / self.half))
        return self.layers(torch.cat([angles.cos(), angles.sin()], dim=-1))


class ResBlock(nn.Module):
    def __init__(self, a: int, b: int, wide: int = 64) -> None:
        super().__init__()
        self.norm1, self.conv1, self.time = nn.GroupNorm(4, a), nn.Conv2d(a, b, 3, padding=1), nn.Linear(wide, b)
        self.norm2, self.conv2 = nn.GroupNorm(4, b), nn.Conv2d(b, b, 3, padding=1)
        self.shortcut = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(time))[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return self.shortcut(x) + y


class ImageAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.GroupNorm(4, dim), nn.Conv2d(dim, 3 * dim, 1), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = (q.transpose(1, 2) @ k * x.shape[1] ** -0.5).softmax(dim=-1)
        return self.out((v @ weights.transpose(1, 2)).view(x.shape)) + x


class DiffusionUNet(nn.Module):
    def __init__(self, base: int = 16) -> None:
        super().__init__()
        self.time, self.stem = Time(base, 4 * base), nn.Conv2d(3, base, 3, padding=1)
        self.down1, self.shrink = ResBlock(base, base), nn.Conv2d(base, base, 3, stride=2, padding=1)
        self.down2 = ResBlock(base, 2 * base)
        self.mid1, self.attention, self.mid2 = ResBlock(32, 32), ImageAttention(32), ResBlock(32, 32)
        self.up2, self.grow = ResBlock(64, 32), nn.Conv2d(32, base, 3, padding=1)
        self.up1 = ResBlock(2 * base, base)
        self.norm, self.out = nn.GroupNorm(4, base), nn.Conv2d(base, 3, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.time(t)
        high = self.down1(self.stem(x), time)
        low = self.down2(self.shrink(high), time)
        x = self.mid2(self.attention(self.mid1(low, time)), time)
        x = self.up2(torch.cat([x, low], dim=1), time)
        x = self.grow(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = self.up1(torch.cat([x, high], dim=1), time)
        return self.out(F.silu(self.norm(x)))


# ------------------------------------------------------------ BiFPN
class Fuse(nn.Module):
    def __init__(self, count: int, dim: int = 16) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(count))
        depthwise, pointwise = (
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            nn.Conv2d(dim, dim, 1, bias=False),
        )
        self.conv = nn.Sequential(depthwise, pointwise, nn.BatchNorm2d(dim))

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        w = self.weights.relu()
        total = w[0] * first
        for number, other in enumerate(others, start=1):
            total = total + w[number] * other
        return self.conv(F.silu(total / (w.sum() + 1e-4)))


class BiFpnTurn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mid, self.out3, self.out4, self.out5 = Fuse(2), Fuse(2), Fuse(3), Fuse(2)

    def forward(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mid = self.mid(p4, F.interpolate(p5, size=p4.shape[2:]))
        out3 = self.out3(p3, F.interpolate(mid, size=p3.shape[2:]))
        out4 = self.out4(p4, mid, F.max_pool2d(out3, 3, stride=2, padding=1))
        return out3, out4, self.out5(p5, F.max_pool2d(out4, 3, stride=2, padding=1))


class BiFpn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pairs = [(3, 8), (8, 16), (16, 24), (24, 32)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU()) for a, b in pairs
        )
        self.side = nn.ModuleList(nn.Conv2d(a, 16, 1) for a in (16, 24, 32))
        self.turns = nn.ModuleList(BiFpnTurn() for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = []
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        pyramid = tuple(side(level) for side, level in zip(self.side, levels[1:], strict=True))
        for turn in self.turns:
            pyramid = turn(*pyramid)
        return pyramid


# ------------------------------------------------------------ ShuffleNet V2
def conv_bn(a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(a, b, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b))


def branch(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv_bn(a, b), nn.ReLU(), conv_bn(b, b, 3, stride, b), conv_bn(b, b), nn.ReLU())


class Unit(nn.Module):
    def __init__(self, a: int, b: int, down: bool) -> None:
        super().__init__()
        self.short = nn.Sequential(conv_bn(a, a, 3, 2, a), conv_bn(a, b // 2), nn.ReLU()) if down else None
        self.long = branch(a if down else b // 2, b // 2, 2 if down else 1)

    def forward(self, x: Tensor) -> Tensor:
        passing, worked = (self.short(x), x) if self.short is not None else x.chunk(2, dim=1)
        x = torch.cat([passing, self.long(worked)], dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        units = [(8, 16, True), (16, 16, False), (16, 16, False), (16, 32, True), (32, 32, False), (32, 32, False)]
        self.stem = nn.Sequential(conv_bn(3, 8, 3, 2), nn.ReLU())
        self.units = nn.Sequential(*(Unit(*unit) for unit in units))
        self.out = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.units(self.stem(x)).mean((2, 3)))
