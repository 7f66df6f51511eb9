"""Modules that fit by chance and modules that do not, as users report them; small, each with one fault or none."""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Convolved(nn.Module):
    """The first layers of the other modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.after = nn.Conv2d(8, 8, 3, padding=1)


# ------------------------------------------------------------ square images only
class WidthTwice(Convolved):
    """Attention over positions whose result is viewed as width × width."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        b, c, w, _ = y.shape
        flat = y.flatten(2)
        return self.after((flat @ torch.softmax(flat.transpose(1, 2) @ flat, -1)).view(b, c, w, w))


class RootOfTokens(Convolved):
    """Tokens back to an image by the root of their number."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2)
        side = int(math.sqrt(tokens.shape[2]))
        return self.after(tokens.reshape(x.shape[0], 8, side, side))


class Turned(Convolved):
    """Tokens back to an image with width and height in the wrong order, which runs at every size."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        b, c, h, w = y.shape
        return self.after(y.flatten(2).view(b, c, w, h))


class Volume(nn.Module):
    """Depth and height change places in a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + y.transpose(2, 3)


# ------------------------------------------------------------ one batch only
class HardView(Convolved):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(1, 512))


class Grouped(Convolved):
    """A grouped convolution over the examples without as many groups."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        y = self.conv(x).reshape(1, n * 8, h, w)
        return F.conv2d(y, self.after.weight.repeat(n, 1, 1, 1), padding=1).view(n, 8, h, w)


class OneSequence(nn.Module):
    """All examples as one sequence, which runs at every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(100, 16), nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.table(tokens).view(1, -1, 16))


class Squeezed(Convolved):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.conv(x), 1).squeeze()


class HiddenOfOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, torch.zeros(1, 1, 16, device=x.device))[0]  # type: ignore[no-any-return]


class Refuses(Convolved):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[0] == 1, "one image at a time"
        return self.conv(x)


# ------------------------------------------------------------ good ones
class Fixed(Convolved):
    """A linear layer on flattened maps: bound to its size, not to square images."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1))


class Positions(Convolved):
    """A table of positions, and a view of a fixed size behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, 8, 64))

    def forward(self, x: Tensor) -> Tensor:
        return self.after((self.conv(x).flatten(2) + self.table).view(-1, 8, 8, 8))


class SequenceFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][-1])


class WithState(nn.Module):
    """Its states have the batch in their second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 16, batch_first=True)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        return self.rnn(x, (hidden, cell))[0]  # type: ignore[no-any-return]


class Unbatched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten())


class Detector(Convolved):
    """Boxes of every example, and anchors that are the same for all."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        b, _, h, w = y.shape
        rows, columns = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
        anchors = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).view(-1, 2)
        return y.view(b, 2, 4, h * w).permute(0, 3, 1, 2).reshape(b, -1, 4), anchors


class Loss(Convolved):
    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.conv(x).mean([2, 3]), labels)


class EveryToken(nn.Module):
    """Examples and positions in one axis, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 8), nn.Linear(8, 50)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.table(tokens)).view(-1, 50)


class Windows(Convolved):
    """Windows in the axis of the batch, and back."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        b, c, h, w = y.shape
        parts = y.view(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 4, 4)
        back = self.after(parts).view(b, h // 4, w // 4, c, 4, 4).permute(0, 3, 1, 4, 2, 5)
        return back.reshape(b, c, h, w)


class Prototype(nn.Module):
    """The mean of all examples, on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).mean(0, keepdim=True)


class ChannelsLast(Convolved):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Frames(Convolved):
    """Four frames of a film for each example, in the axis of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).unflatten(0, (-1, 4)).mean(1)


class ByValue(Convolved):
    """Branches on a computed value."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y[y > 0][:3].view(1, -1) if int((y > 0).sum()) > 3 else y


class Counting(Convolved):
    """Prints, counts its runs, updates buffers and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.calls = nn.BatchNorm2d(8), 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        sys.stdout.write("running\n")
        self.calls += 1
        self.seen += 1
        return F.dropout(self.norm(self.conv(x)), training=True).mean([2, 3])


class Heavy(nn.Module):
    """Enough work to be looked at on meta, and a view of one example behind it."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__()
        self.batch = batch
        self.convs = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(3))
        self.rnn = nn.GRU(64, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        b, c, h, w = x.shape
        return self.rnn(x.view(self.batch or b, c, h * w).transpose(1, 2))[0][:, -1]  # type: ignore[no-any-return]
