"""Networks in Python for the mutations alone, as `nets.py` has them: landscape maps, 1-D, 3-D, positions, a pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )


class Landscape(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = conv_norm(3, 8, stride=2)
        self.b = conv_norm(8, 16, stride=2)
        self.c = conv_norm(16, 32, stride=2)
        self.up = nn.Upsample(scale_factor=2)
        self.d = conv_norm(48, 16)
        self.head = nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        c = self.c(b)
        d = self.d(torch.cat([self.up(c), b], dim=1))
        return self.head(torch.cat([self.up(d), a], dim=1))


class Waves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(2, 8, 15, padding=7)
        self.b = nn.Conv1d(8, 16, 4, stride=2, padding=1)
        self.c = nn.Conv1d(16, 32, 4, stride=2, padding=1)
        self.block = nn.Sequential(nn.Conv1d(32, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU())
        self.up1 = nn.ConvTranspose1d(32, 16, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose1d(32, 8, 4, stride=2, padding=1)
        self.head = nn.Linear(4096, 10)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(a)
        c = self.c(b)
        c = c + self.block(c)
        y = self.up2(torch.cat([self.up1(c), b], dim=1))
        return self.head((y + a).flatten(1))


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv3d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool3d(2)
        self.block = nn.Sequential(nn.Conv3d(4, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU())
        self.project = nn.Conv3d(4, 8, 1)
        self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
        self.head = nn.Conv3d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        y = self.pool(a)
        y = self.block(y) + self.project(y)
        return self.head(torch.cat([self.up(y), a], dim=1))


class Positions(nn.Module):
    def __init__(self, dim: int = 32, patch: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(torch.zeros(1, 97, dim))
        self.encoder = nn.TransformerEncoderLayer(dim, 4, 64, batch_first=True)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], dim=1)
        y = self.encoder(y + self.position)
        return self.head(y.mean(1))


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c2 = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4, padding=3), nn.ReLU())
        self.c3 = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU())
        self.c4 = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU())
        self.lateral2 = nn.Conv2d(8, 12, 1)
        self.lateral3 = nn.Conv2d(16, 12, 1)
        self.lateral4 = nn.Conv2d(32, 12, 1)
        self.head = nn.Conv2d(24, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        c2 = self.c2(x)
        c3 = self.c3(c2)
        p4 = self.lateral4(self.c4(c3))
        p3 = self.lateral3(c3) + F.interpolate(p4, scale_factor=2)
        p2 = self.lateral2(c2) + F.interpolate(p3, scale_factor=2)
        return self.head(torch.cat([p2, F.interpolate(p3, scale_factor=2)], dim=1))
