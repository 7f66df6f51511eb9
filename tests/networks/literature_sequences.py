"""Twins of literature/: networks over time, as plain PyTorch; layers are declared in the order they run."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


# ------------------------------------------------------------ WaveNet
class Causal(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.dilation[0] * (self.kernel_size[0] - 1), 0)))


class WaveLayer(nn.Module):
    def __init__(self, dilation: int, channels: int = 16, skips: int = 24) -> None:
        super().__init__()
        self.gate = Causal(channels, channels, 2, dilation=dilation)
        self.filter = Causal(channels, channels, 2, dilation=dilation)
        self.out, self.skip = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, skips, 1)

    def forward(self, x: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        gated = torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x))
        return self.out(gated) + x, self.skip(gated) + total


class WaveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.start = nn.Embedding(64, 16), Causal(16, 16, 2)
        self.layers = nn.ModuleList(WaveLayer(dilation) for dilation in [1, 2, 4, 8, 1, 2, 4, 8])
        self.mix, self.out = nn.Conv1d(24, 24, 1), nn.Conv1d(24, 64, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.start(self.embed(tokens).transpose(1, 2))
        total = torch.zeros(tokens.shape[0], 24, tokens.shape[1])
        for layer in self.layers:
            x, total = layer(x, total)
        return self.out(F.relu(self.mix(F.relu(total))))
