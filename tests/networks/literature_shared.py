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
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 64, 12))
        self.norm, self.out = nn.LayerNorm(12), nn.Linear(12, dim)

    def forward(self, words: Tensor) -> Tensor:
        return self.out(self.norm(words + self.positions[:, : words.shape[1]]))


class Predict(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(200))
        self.narrow, self.norm = nn.Linear(dim, 12), nn.LayerNorm(12)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        return F.linear(self.norm(F.gelu(self.narrow(x))), words, self.bias)


class Albert(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.words, self.embed = nn.Embedding(200, 12), Embed(dim)
        self.attend, self.wide = nn.MultiheadAttention(dim, 4, batch_first=True), mlp(dim, 4 * dim, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(6))
        self.predict = Predict(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(self.words(tokens))
        for turn in range(3):
            x = self.norms[2 * turn](x + self.attend(x, x, x, need_weights=False)[0])
            x = self.norms[2 * turn + 1](self.wide(x) + x)
        return self.predict(x, self.words.weight)


# ------------------------------------------------------------ neural ODE
class Field(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.conv1, self.conv2 = nn.Conv2d(width + 1, width, 3, padding=1), nn.Conv2d(width + 1, width, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        when = t[:, None, None, None].expand_as(x[:, :1])
        y = F.relu(self.conv1(torch.cat([F.relu(self.norm(x)), when], dim=1)))
        return self.conv2(torch.cat([y, when], dim=1))


class NeuralOde(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.field, self.out = nn.Conv2d(1, 8, 3, 2, 1), Field(), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        y, dt = self.stem(x), 1 / 3
        for step in range(3):
            t = torch.full((x.shape[0],), step * dt)
            k1 = self.field(y, t)
            k2 = self.field(y + dt / 2 * k1, t + dt / 2)
            k3 = self.field(y + dt / 2 * k2, t + dt / 2)
            k4 = self.field(y + dt * k3, t + dt)
            y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.out(y.mean((2, 3)))


# ------------------------------------------------------------ hypernetwork
class Maker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts, self.kernel = nn.Linear(8, 12 * 8), nn.Linear(8, 12 * 9)

    def forward(self, z: Tensor) -> Tensor:
        return self.kernel(self.parts(z).view(12, 8))


class Generated(nn.Module):
    def __init__(self, maker: Maker) -> None:
        super().__init__()
        self.vector, self.maker, self.norm = nn.Parameter(torch.randn(1, 8)), maker, nn.BatchNorm2d(12)

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[1]
        return self.norm(F.conv2d(x, self.maker(self.vector).view(c, c, 3, 3), padding=1))


class HyperNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.maker = nn.Conv2d(3, 12, 3, padding=1), Maker()
        self.pairs = nn.ModuleList(
            nn.Sequential(Generated(self.maker), nn.ReLU(), Generated(self.maker)) for _ in range(2)
        )
        self.out = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for pair in self.pairs:
            x = F.relu(pair(x) + x)
        return self.out(x.mean((2, 3)))


# ------------------------------------------------------------ siamese
class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in [(1, 8), (8, 16), (16, 32)])
        self.out, self.same = nn.Linear(32, 24), nn.Linear(24, 1)

    def tower(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return torch.sigmoid(self.out(x.mean((2, 3))))

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        a, b = self.tower(first), self.tower(second)
        same = torch.sigmoid(self.same((a - b).abs()))
        return {"same": same, "distance": ((a - b) ** 2).sum(1).sqrt()}


# ------------------------------------------------------------ gated graph network
class Ggnn(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.embed, self.say, self.cell = nn.Embedding(12, dim), nn.Linear(dim, 3 * dim), nn.GRUCell(dim, dim)
        self.gate, self.out = nn.Linear(2 * dim, 5), nn.Linear(2 * dim, 5)

    def forward(self, kinds: Tensor, edges: Tensor) -> Tensor:
        h = start = self.embed(kinds)
        n, nodes, dim = h.shape
        for _ in range(4):
            said = self.say(h).view(n, nodes, 3, dim).transpose(1, 2)
            heard = (edges.softmax(-1) @ said).sum(1).reshape(n * nodes, dim)
            h = self.cell(heard, h.reshape(n * nodes, dim)).view(n, nodes, dim)
        both = torch.cat([h, start], dim=-1)
        return (torch.sigmoid(self.gate(both)) * torch.tanh(self.out(both))).sum(1)
