"""Twins of literature/: points, graphs, fields, tables and games, as plain PyTorch; layers in the order they run."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# ------------------------------------------------------------ PointNet
def shared(*widths: int) -> nn.Sequential:
    parts = ((nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths))
    return nn.Sequential(*(layer for part in parts for layer in part))


def dense(*widths: int) -> nn.Sequential:
    parts = ((nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths))
    return nn.Sequential(*(layer for part in parts for layer in part))


class Turn(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.points, self.whole = shared(dim, 16, 32, 64), dense(64, 32, 16)
        self.out = nn.Linear(16, dim * dim)

    def forward(self, x: Tensor) -> Tensor:
        n, k, _ = x.shape
        turned = self.out(self.whole(self.points(x).amax(2))).view(n, k, k) + torch.eye(k)
        return torch.bmm(x.transpose(1, 2), turned).transpose(1, 2)


class PointNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(Turn(3), shared(3, 16), Turn(16), shared(16, 32, 128))
        self.whole = nn.Sequential(dense(128, 64, 32), nn.Dropout(0.3), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.whole(self.points(x).amax(2)), dim=-1)


# ------------------------------------------------------------ GAT
class GraphAttention(nn.Module):
    def __init__(self, features: int, heads: int, out: int, join: str) -> None:
        super().__init__()
        self.join = join
        self.linear = nn.Linear(features, heads * out, bias=False)
        self.target, self.source = nn.Parameter(torch.randn(heads, out)), nn.Parameter(torch.randn(heads, out))
        self.bias = nn.Parameter(torch.zeros(out if join == "mean" else heads * out))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        n, nodes, _ = x.shape
        h = self.linear(x).view(n, nodes, *self.target.shape)
        scores = (h * self.target).sum(-1).unsqueeze(2) + (h * self.source).sum(-1).unsqueeze(1)
        linked = (adjacency | torch.eye(nodes).bool()).unsqueeze(-1)
        weights = F.leaky_relu(scores, 0.2).masked_fill(~linked, -torch.inf).softmax(dim=2)
        gathered = torch.einsum("nvuh,nuhf->nvhf", weights, h)
        return (gathered.mean(2) if self.join == "mean" else gathered.flatten(2)) + self.bias


class Gat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GraphAttention(16, 4, 8, "concat")
        self.second = GraphAttention(32, 1, 7, "mean")

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return F.log_softmax(self.second(F.elu(self.first(x, adjacency)), adjacency), dim=-1)


# ------------------------------------------------------------ NeRF
def waves(x: Tensor, count: int) -> Tensor:
    angles = x.unsqueeze(-1) * (2.0 ** torch.arange(count) * torch.pi)
    return torch.cat([x, torch.sin(angles).flatten(2), torch.cos(angles).flatten(2)], dim=-1)


class Nerf(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        inputs = [63, width, width, width, width + 63, width, width, width]
        self.trunk = nn.ModuleList(nn.Linear(a, width) for a in inputs)
        self.density, self.features = nn.Linear(width, 1), nn.Linear(width, width)
        self.mix, self.colour = nn.Linear(width + 27, width // 2), nn.Linear(width // 2, 3)

    def forward(self, points: Tensor, directions: Tensor) -> dict[str, Tensor]:
        where, towards = waves(points, 10), waves(directions, 4)
        x = where
        for turn, layer in enumerate(self.trunk):
            x = F.relu(layer(torch.cat([where, x], dim=-1) if turn == 4 else x))
        density = F.relu(self.density(x))
        x = F.relu(self.mix(torch.cat([self.features(x), towards], dim=-1)))
        return {"colour": torch.sigmoid(self.colour(x)), "density": density}


# ------------------------------------------------------------ DLRM
class Dlrm(nn.Module):
    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        tables = [100, 20, 50, 30]
        self.bottom = self.mlp(13, 32, 16, dim)
        self.tables = nn.ModuleList(nn.Embedding(rows, dim) for rows in tables)
        self.top = nn.Sequential(self.mlp(dim + 10, 32, 16), nn.Linear(16, 1), nn.Sigmoid())

    @staticmethod
    def mlp(*widths: int) -> nn.Sequential:
        parts = ((nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths))
        return nn.Sequential(*(layer for part in parts for layer in part))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        bottom = self.bottom(dense)
        looked_up = [table(sparse[:, turn]) for turn, table in enumerate(self.tables)]
        rows = torch.stack([bottom, *looked_up], dim=1)
        products = rows @ rows.transpose(1, 2)
        first, second = torch.tril_indices(rows.shape[1], rows.shape[1], -1)
        return self.top(torch.cat([bottom, products[:, first, second]], dim=1))


# ------------------------------------------------------------ VAE
class Vae(nn.Module):
    def __init__(self, pixels: int = 196, hidden: int = 64, latent: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, pixels))

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        mean, logvar = self.encoder(x).chunk(2, dim=-1)
        logits = self.decoder(mean + torch.exp(logvar / 2) * noise)
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(-1)
        likelihood = -F.binary_cross_entropy_with_logits(logits, x.sigmoid(), reduction="none").sum(-1)
        return {"image": logits.sigmoid(), "bound": likelihood - divergence}


# ------------------------------------------------------------ SchNet
class Shifted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x) - math.log(2)


class Interaction(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.filters = nn.Sequential(nn.Linear(20, dim), Shifted(), nn.Linear(dim, dim))
        self.features = nn.Linear(dim, dim, bias=False)
        self.out = nn.Sequential(nn.Linear(dim, dim), Shifted(), nn.Linear(dim, dim))

    def forward(self, x: Tensor, distances: Tensor) -> Tensor:
        smeared = torch.exp(-0.5 * ((distances.unsqueeze(-1) - torch.linspace(0, 5.0, 20)) / (5.0 / 19)) ** 2)
        near = 0.5 * (torch.cos(distances * torch.pi / 5.0) + 1) * (distances < 5.0) * (1 - torch.eye(x.shape[1]))
        heard = self.filters(smeared) * near.unsqueeze(-1) * self.features(x).unsqueeze(1)
        return self.out(heard.sum(2)) + x


class SchNet(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.embed, self.layers = nn.Embedding(10, dim), nn.ModuleList(Interaction() for _ in range(2))
        self.out = nn.Sequential(nn.Linear(dim, dim // 2), Shifted(), nn.Linear(dim // 2, 1))

    def forward(self, species: Tensor, positions: Tensor) -> Tensor:
        x = self.embed(species)
        distances = torch.norm(positions.unsqueeze(2) - positions.unsqueeze(1), dim=-1)
        for layer in self.layers:
            x = layer(x, distances)
        return self.out(x).sum(1)


# ------------------------------------------------------------ C51
class C51(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten()
        )
        self.value = nn.Sequential(nn.Linear(288, 64), nn.ReLU(), nn.Linear(64, 21))
        self.advantage = nn.Sequential(nn.Linear(288, 64), nn.ReLU(), nn.Linear(64, 6 * 21))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.features(x)
        value, advantage = self.value(x).view(-1, 1, 21), self.advantage(x).view(-1, 6, 21)
        chances = (value + advantage - advantage.mean(1, keepdim=True)).softmax(dim=-1)
        expected = (chances * torch.linspace(-10.0, 10.0, 21)).sum(-1)
        return {"expected": expected, "best": expected.argmax(dim=1), "chances": chances}


# ------------------------------------------------------------ CapsNet
def squash(x: Tensor) -> Tensor:
    square = (x**2).sum(-1, keepdim=True)
    return square / (1 + square) * x / torch.sqrt(square + 1e-8)


class CapsNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(4 * 36, 10, 8, 12))
        self.stem, self.primary = nn.Conv2d(1, 16, 9), nn.Conv2d(16, 32, 9, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = self.primary(F.relu(self.stem(x))).view(n, 4, 8, -1)
        votes = torch.einsum("nis,icsl->nicl", squash(x.permute(0, 1, 3, 2).reshape(n, -1, 8)), self.weights)
        logits = torch.zeros(n, votes.shape[1], 10)
        for _ in range(2):
            high = squash((logits.softmax(dim=2).unsqueeze(-1) * votes).sum(1))
            logits = logits + (votes * high.unsqueeze(1)).sum(-1)
        return squash((logits.softmax(dim=2).unsqueeze(-1) * votes).sum(1)).norm(dim=-1)
