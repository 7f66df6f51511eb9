"""Modules with faults of the same kinds as in the public questions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fused(nn.Module):
    """Two images, each halved, joined along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.b = nn.Conv2d(1, 8, 3, stride=2, padding=1)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return torch.cat([self.a(rgb), self.b(depth)], 1)


class Grid(nn.Module):
    """A view of one map by the size of another one, which rounds the other way."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.conv = nn.MaxPool2d(2), nn.Conv2d(3, 1, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        return self.conv(x).view(1, pooled.shape[2] * pooled.shape[3])


class Gru(nn.Module):
    """The state lacks the second direction."""

    def __init__(self, layers: int = 2, hidden: int = 16) -> None:
        super().__init__()
        self.layers, self.hidden = layers, hidden
        self.rnn = nn.GRU(8, hidden, layers, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x, torch.zeros(self.layers, x.size(0), self.hidden))
        return y


class Turned(nn.Module):
    """Batches that a layer reads as lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(x, hx=torch.zeros(1, x.size(0), 16))
        return y


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.stack(x, mask)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.layer(x, src_key_padding_mask=mask)


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        return self.net(x, y, memory_mask=mask)


class Rows(nn.Module):
    """A number unpacked from a shape is asserted."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(16), nn.Conv2d(4, 4, 2))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.cnn(x)
        _, _, h, _ = maps.size()
        assert h == 1
        return maps.squeeze(2)


class Multiple(nn.Module):
    """Two sizes must be multiples."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.window = nn.Conv2d(3, 4, 3, padding=1), 32

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if y.shape[-1] % self.window or y.shape[-2] % self.window != 0:
            raise ValueError("multiples are wanted")
        return y


class Blocked(nn.Module):
    """At the size that the condition asks for, a layer behind it does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4 * 16 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        h = y.shape[2]
        if h != 20:
            raise RuntimeError("20 rows are wanted")
        return self.fc(y.flatten(1))


class Unclear(nn.Module):
    """A condition that is not about sizes alone."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() < 1e9 or x.shape[1] != 4:
            raise ValueError("no")
        return x


class Projected(nn.Module):
    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, 32), nn.Linear(dim, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))
