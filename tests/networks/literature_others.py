"""Twins of literature/: points, graphs, fields, tables and games, as plain PyTorch; layers in the order they run."""

from __future__ import annotations

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
        self.to, self.source = nn.Parameter(torch.randn(heads, out)), nn.Parameter(torch.randn(heads, out))
        self.bias = nn.Parameter(torch.zeros(out if join == "mean" else heads * out))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        n, nodes, _ = x.shape
        h = self.linear(x).view(n, nodes, *self.to.shape)
        scores = (h * self.to).sum(-1).unsqueeze(2) + (h * self.source).sum(-1).unsqueeze(1)
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
