"""Broken models as their authors would write them, each with one mistake."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projected(nn.Module):
    """Both sides have a layer; the main one lacks a channel. `Turned` adds them the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 31, 3, 1, 1)
        self.down = nn.Conv2d(16, 32, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.down(x) + self.conv2(torch.relu(self.conv1(x))))


class Turned(Projected):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.down(x))


class Strided(nn.Module):
    """A residual with a stride whose shortcut is the identity."""

    def __init__(self, out: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(16, 16, 3, 2, 1)
        self.conv2 = nn.Conv2d(16, out, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


class Even(nn.Module):
    """A kernel of even size with the padding of an odd one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(8, 8, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(x)


class Grouped(nn.Module):
    """96 channels are stated, 90 arrive, and 8 groups do not divide them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 90, 1)
        self.b = nn.Conv2d(96, 360, 1, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Squeeze(nn.Module):
    """The second layer gets the rate instead of the width."""

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        reduced = channels // rate
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(rate, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Squeezes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = Squeeze(32, 4), Squeeze(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.wide(x))


class Down(nn.Module):
    """A convolution that rounds up beside a pool that rounds down."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout - cin, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x), self.pool(x)], dim=1)


class Downs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d1, self.d2 = Down(3, 16), Down(16, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.d2(self.d1(x))


class Crossed(nn.Module):
    """Attention over tensors whose batch comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4)
        self.out = nn.Linear(16, 3)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        return self.out(self.attention(query, memory, memory)[0])


class Flattened(nn.Module):
    """A linear layer with the features of another map."""

    def __init__(self, features: int = 1024, norm: int = 16) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.norm = nn.BatchNorm2d(norm)
        self.fc = nn.Linear(features, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        return self.fc(self.pool(self.norm(self.conv2(x))).flatten(1))


class Comprehended(nn.Module):
    """`b` is the width of the last hidden layer, and no name outside the comprehension."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in ((8, 6), (6, 4))])
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)


class Looped(nn.Module):
    """Layers from a loop: of one of them only its path is known."""

    def __init__(self, widths: tuple[int, ...] = (8, 8, 9)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(8, width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x))


class Recurring(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(7)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(torch.relu(self.norm(x)))


class Viewed(nn.Module):
    """A view of the wrong size; the layer behind it is no fault of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(13, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).view(2, 3, 13))


class Gate(nn.Module):
    """Twice the width, in two layers: no change of one layer fixes it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(50, 100, batch_first=True, bidirectional=True)
        self.score, self.out = nn.Linear(50, 100), nn.Linear(100, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out((self.gru(x)[0] * self.score(x).softmax(1)).sum(1))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mlp = nn.Conv2d(3, 64, 3, 2, 1), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.stem(x))


class Positions(nn.Module):
    """A table for another resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.table = nn.Parameter(torch.zeros(1, 64, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.patch(x).flatten(2).transpose(1, 2) + self.table


class Growing(nn.Module):
    """A transition that halves the channels, and a count of them that does not: stated in two layers after it."""

    def __init__(self) -> None:
        super().__init__()
        self.less = nn.Conv2d(24, 12, 1)
        self.norm1, self.conv1 = nn.BatchNorm2d(24), nn.Conv2d(24, 12, 3, padding=1)
        self.fc = nn.Linear(36, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.less(x)
        x = torch.cat([x, self.conv1(self.norm1(x))], 1)
        return self.fc(x.mean((2, 3)))


class Unstrided(nn.Module):
    """A bottleneck whose shortcut lacks the stride."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.c, self.down = nn.Conv2d(8, 32, 1), nn.Conv2d(16, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.c(self.b(self.a(x))) + self.down(x))
