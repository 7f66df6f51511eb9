"""Twins of literature/: networks that use the same weights more than once, as plain PyTorch; layers as they run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(a: int, hidden: int, b: int, act: type[nn.Module] = nn.GELU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, hidden), act(), nn.Linear(hidden, b))


# ------------------------------------------------------------ Perceiver
class LatentAttention(nn.Module):
    def __init__(self, heads: int, features: int, dim: int = 24) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(dim, dim, bias=False), nn.Linear(features, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        n, t, dim = x.shape
        d = dim // self.heads
        q = self.q(x).view(n, t, self.heads, d).transpose(1, 2)
        k, v = self.kv(source).view(n, source.shape[1], 2, self.heads, d).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, dim))


class Cross(nn.Module):
    def __init__(self, features: int, dim: int = 24) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(features)
        self.attention = LatentAttention(1, features)
        self.wide = nn.Sequential(nn.LayerNorm(dim), mlp(dim, 4 * dim, dim))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), self.norm2(source))
        return self.wide(x) + x


class Latent(nn.Module):
    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(dim), LatentAttention(4, dim)
        self.wide = nn.Sequential(nn.LayerNorm(dim), mlp(dim, 4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        x = x + self.attention(normed, normed)
        return self.wide(x) + x


class Perceiver(nn.Module):
    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, 8, dim))
        self.cross, self.tower = Cross(6), nn.Sequential(Latent(), Latent())
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        latents = self.latents.expand(x.shape[0], -1, -1)
        for _ in range(3):
            latents = self.tower(self.cross(latents, x))
        return self.head(self.norm(latents.mean(1)))


# ------------------------------------------------------------ Universal Transformer
def rates(dim: int) -> Tensor:
    return 10000.0 ** (-2 * torch.arange(dim // 2) / dim)


class UniversalTransformer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.embed, self.attention = nn.Embedding(100, dim), nn.MultiheadAttention(dim, 4, batch_first=True)
        self.norm1, self.wide, self.norm2 = nn.LayerNorm(dim), mlp(dim, 2 * dim, dim, nn.ReLU), nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 100)

    def step(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, x, x)[0])
        return self.norm2(self.wide(x) + x)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        angles = torch.arange(x.shape[1]).unsqueeze(1) * rates(x.shape[2])
        where = torch.cat([angles.sin(), angles.cos()], dim=-1)
        for turn in range(4):
            angles = (turn + 1) * rates(x.shape[2])
            x = self.step(x + where + torch.cat([angles.sin(), angles.cos()], dim=-1))
        return self.head(x)


# ------------------------------------------------------------ ALBERT
class Embed(nn.Module):
    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 64, 12))
        self.words, self.norm, self.out = words, nn.LayerNorm(12), nn.Linear(12, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.norm(self.words(tokens) + self.positions[:, : tokens.shape[1]]))


class Albert(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.embed = Embed(nn.Embedding(200, 12))
        self.attend, self.wide = nn.MultiheadAttention(dim, 4, batch_first=True), mlp(dim, 4 * dim, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(6))
        self.narrow, self.norm = nn.Linear(dim, 12), nn.LayerNorm(12)
        self.bias = nn.Parameter(torch.zeros(200))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for turn in range(3):
            x = self.norms[2 * turn](x + self.attend(x, x, x, need_weights=False)[0])
            x = self.norms[2 * turn + 1](self.wide(x) + x)
        return F.linear(self.norm(F.gelu(self.narrow(x))), self.embed.words.weight, self.bias)
