"""Models of every kind whose rows are timed: name → a function that returns a module and the arguments of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Model = tuple[nn.Module, tuple[Any, ...]]


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(4, 4)), nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(F.linear(x, self.weight, self.bias))
        return torch.tanh(y) * y


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        y += x
        return self.relu(y)


class Borrowing(nn.Module):
    """Calls another module's forward, twice, and views."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc.forward(x).t().relu()
        return self.fc(y[:3].flatten(1))


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x).relu() if x.sum() > 0 else self.second(x).tanh().mul(2)


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.vmap(lambda item: self.fc(item).relu())(x).sum()


class Around(nn.Module):
    """A part between a linear layer and a product."""

    def __init__(self, part: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.fc, self.part = nn.Linear(4, 4), part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(self.fc(x)) * 2


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Changeable(nn.Module):
    """Takes the next of these branches at each call; the choice is not restored."""

    def __init__(self, *ways: int) -> None:
        super().__init__()
        self.ways = (way for way in ways)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        way = next(self.ways)
        x = self.first(x).relu() if way > 0 else x
        x = self.second(x).relu()
        return x.tanh() if way > 1 else x


class Wrapped:
    """Not a tensor, but it implements two torch functions."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return torch.tanh(args[0].tensor) + torch.sum(args[0].tensor)


class Wrapping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(Wrapped(self.fc(x))) * 2


def scripted() -> nn.Module:
    return Around(torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())))


def compiled() -> nn.Module:
    return Around(torch.compile(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), backend="eager"))


def x(*shape: int) -> tuple[torch.Tensor]:
    return (torch.rand(*(shape or (3, 4))),)


MODELS: dict[str, Callable[[], Model]] = {
    "sequential": lambda: (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2)), x()),
    "functional": lambda: (Functional(), x()),
    "residual in place": lambda: (Residual(), x()),
    "normed": lambda: (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)), x(2, 2, 5, 5)),
    "borrowing": lambda: (Borrowing(), x(4, 4)),
    "deciding": lambda: (Deciding(), x()),
    "mapped": lambda: (Mapped(), x()),
    "attending": lambda: (Attending(), x(2, 3, 4)),
    "encoder": lambda: (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), x(2, 3, 4)),
    "lstm": lambda: (nn.LSTM(4, 5, num_layers=2, bidirectional=True), x(6, 2, 4)),
    "gru": lambda: (nn.GRU(4, 5), x(6, 2, 4)),
    "embedding": lambda: (nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4)), (torch.tensor([[1, 2]]),)),
    "compiled": lambda: (compiled(), x()),
}
