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


# ------------------------------------------------------------ Swin
def windows(x: Tensor, size: int = 4) -> Tensor:
    n, h, w, c = x.shape
    parts = x.view(n, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return parts.reshape(-1, size * size, c)


class WindowAttention(nn.Module):
    def __init__(self, dim: int, heads: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.qkv, self.bias = nn.Linear(dim, 3 * dim), RelativeBias(heads)
        self.out = nn.Linear(dim, dim)

    def apart(self, h: int, w: int) -> Tensor:
        rows = (torch.arange(h) >= h - 4).long() + (torch.arange(h) >= h - self.shift).long()
        columns = (torch.arange(w) >= w - 4).long() + (torch.arange(w) >= w - self.shift).long()
        inside = windows((rows.unsqueeze(1) * 3 + columns).view(1, h, w, 1)).squeeze(-1)
        return (inside.unsqueeze(1) != inside.unsqueeze(2)).float() * -100.0

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        inside = windows(torch.roll(x, (-self.shift, -self.shift), (1, 2)))
        q, k, v = self.qkv(inside).view(-1, 16, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = (c // self.heads) ** -0.5 * q @ k.transpose(-2, -1) + self.bias()
        if self.shift:
            scores = scores.view(n, -1, self.heads, 16, 16) + self.apart(h, w).unsqueeze(1)
            scores = scores.view(-1, self.heads, 16, 16)
        mixed = self.out((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(-1, 16, c))
        whole = mixed.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(whole, (self.shift, self.shift), (1, 2))


class RelativeBias(nn.Module):
    def __init__(self, heads: int, size: int = 4) -> None:
        super().__init__()
        self.size, self.table = size, nn.Parameter(torch.randn((2 * size - 1) ** 2, heads))

    def forward(self) -> Tensor:
        cells = torch.arange(self.size**2)
        row, column = cells // self.size, cells % self.size
        down = row.unsqueeze(1) - row.unsqueeze(0) + self.size - 1
        right = column.unsqueeze(1) - column.unsqueeze(0) + self.size - 1
        return self.table[down * (2 * self.size - 1) + right].permute(2, 0, 1)


class SwinBlock(nn.Module):
    def __init__(self, dim: int, heads: int, shift: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(dim), WindowAttention(dim, heads, shift))
        self.wide = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attend(x) + x
        return self.wide(x) + x


class Merge(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        return self.out(self.norm(torch.cat(parts, dim=-1)))


class Swin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.first = nn.Conv2d(3, 16, 2, 2), nn.LayerNorm(16)
        self.stages = nn.Sequential(
            SwinBlock(16, 2, 0), SwinBlock(16, 2, 2), Merge(16), SwinBlock(32, 4, 0), SwinBlock(32, 4, 2)
        )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.first(self.patches(x).permute(0, 2, 3, 1)))
        return self.head(self.norm(x).mean((1, 2)))


# ------------------------------------------------------------ MaxViT
class MBConv(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.BatchNorm2d(a), nn.Conv2d(a, 4 * b, 1, bias=False), nn.BatchNorm2d(4 * b), nn.GELU())
        depthwise = nn.Conv2d(4 * b, 4 * b, 3, stride, 1, groups=4 * b, bias=False)
        self.deep = nn.Sequential(depthwise, nn.BatchNorm2d(4 * b), nn.GELU())
        self.squeeze = nn.Sequential(nn.Conv2d(4 * b, b, 1), nn.SiLU(), nn.Conv2d(b, 4 * b, 1), nn.Sigmoid())
        self.down = nn.Conv2d(4 * b, b, 1)
        pool = [nn.AvgPool2d(stride)] if stride > 1 else []
        self.shortcut = nn.Sequential(*pool, *([nn.Conv2d(a, b, 1)] if a != b else []))

    def forward(self, x: Tensor) -> Tensor:
        y = self.deep(self.up(x))
        y = y * self.squeeze(y.mean((2, 3), keepdim=True))
        return self.down(y) + self.shortcut(x)


class GroupLayer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.wide = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        n, g, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, g, t, 3, c // 8, 8).permute(3, 0, 1, 4, 2, 5)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(n, g, t, c)
        x = self.out(mixed) + x
        return self.wide(x) + x


class MaxVit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.stages = nn.ModuleList()
        for a, b, stride in [(16, 16, 1), (16, 32, 2)]:
            self.stages.append(nn.ModuleList([MBConv(a, b, stride), GroupLayer(b), GroupLayer(b)]))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for conv, block, grid in self.stages:
            x = conv(x)
            n, c, h, w = x.shape
            x = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, 16, c)
            x = block(x).view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)
            x = x.view(n, c, 4, h // 4, 4, w // 4).permute(0, 3, 5, 2, 4, 1).reshape(n, -1, 16, c)
            x = grid(x).view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 3, 1, 4, 2).reshape(n, c, h, w)
        return self.head(self.norm(x.mean((2, 3))))


# ------------------------------------------------------------ MLP-Mixer
class MixerLayer(nn.Module):
    def __init__(self, tokens: int = 16, dim: int = 32) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.tokens = nn.Sequential(nn.Linear(tokens, dim // 2), nn.GELU(), nn.Linear(dim // 2, tokens))
        self.norm2 = nn.LayerNorm(dim)
        self.channels = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2) + x
        return self.channels(self.norm2(x)) + x


class Mixer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, 8, 8)
        self.layers = nn.Sequential(*(MixerLayer() for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.layers(x)).mean(1))
