"""Twins of literature/: networks over time, as plain PyTorch; layers are declared in the order they run."""

from __future__ import annotations

from itertools import pairwise

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


# ------------------------------------------------------------ Elman
class Elman(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.see, self.recall = nn.Embedding(50, 16), nn.Linear(16, 24), nn.Linear(24, 24, bias=False)
        self.out = nn.Linear(24, 50)

    def forward(self, tokens: Tensor) -> Tensor:
        words = self.embed(tokens)
        state, states = torch.zeros(tokens.shape[0], 24), []
        for t in range(words.shape[1]):
            state = torch.tanh(self.see(words[:, t]) + self.recall(state))
            states.append(state)
        return self.out(torch.stack(states, dim=1))


# ------------------------------------------------------------ LSTM cells
class LstmCells(nn.Module):
    def __init__(self, hidden: int = 12) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates, self.cell = nn.Linear(8 + hidden, 4 * hidden), nn.LSTMCell(hidden, hidden)
        self.out = nn.Linear(hidden, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = c = torch.zeros(x.shape[0], self.hidden)
        states = []
        for seen in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([seen, h], dim=-1)).chunk(4, dim=-1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        state = torch.zeros(x.shape[0], self.hidden), torch.zeros(x.shape[0], self.hidden)
        for seen in states:
            state = self.cell(seen, state)
        return self.out(state[0])


# ------------------------------------------------------------ seq2seq
class Seq2Seq(nn.Module):
    def __init__(self, dim: int = 16, hidden: int = 20) -> None:
        super().__init__()
        self.source = nn.Embedding(80, dim)
        self.encoder = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.keys, self.start = nn.Linear(2 * hidden, hidden, bias=False), nn.Linear(hidden, hidden)
        self.target = nn.Embedding(80, dim)
        self.state, self.energy = nn.Linear(hidden, hidden), nn.Linear(hidden, 1, bias=False)
        self.cell = nn.GRUCell(dim + 2 * hidden, hidden)
        self.out = nn.Linear(hidden, 80)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, last = self.encoder(self.source(source))
        keys, state, states = self.keys(memory), torch.tanh(self.start(last[1])), []
        for word in self.target(target).unbind(1):
            weights = self.energy(torch.tanh(keys + self.state(state).unsqueeze(1))).softmax(dim=1)
            state = self.cell(torch.cat([word, (weights * memory).sum(1)], dim=-1), state)
            states.append(state)
        return self.out(torch.stack(states, dim=1))


# ------------------------------------------------------------ Mamba
class MambaMixer(nn.Module):
    def __init__(self, dim: int = 16, states: int = 4) -> None:
        super().__init__()
        wide = 2 * dim
        self.rate, self.skip = nn.Parameter(torch.randn(wide, states)), nn.Parameter(torch.ones(wide))
        self.inner, self.conv = nn.Linear(dim, 2 * wide, bias=False), nn.Conv1d(wide, wide, 4, padding=3, groups=wide)
        self.chosen, self.delta = nn.Linear(wide, 1 + 2 * states, bias=False), nn.Linear(1, wide)
        self.out = nn.Linear(wide, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        inner, gate = self.inner(x).chunk(2, dim=-1)
        u = F.silu(self.conv(inner.transpose(1, 2))[..., :t].transpose(1, 2))
        states = self.rate.shape[1]
        narrow, b, c = self.chosen(u).split([1, states, states], dim=-1)
        delta = F.softplus(self.delta(narrow))
        decay = torch.exp(delta.unsqueeze(-1) * -torch.exp(self.rate))
        grown = (delta * u).unsqueeze(-1) * b.unsqueeze(2)
        state, scanned = torch.zeros(n, u.shape[2], states), []
        for step in range(t):
            state = state * decay[:, step] + grown[:, step]
            scanned.append(state)
        y = (torch.stack(scanned, dim=1) * c.unsqueeze(2)).sum(-1) + u * self.skip
        return self.out(y * F.silu(gate))


class Mamba(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, dim)
        self.layers = nn.ModuleList(nn.Sequential(nn.RMSNorm(dim), MambaMixer()) for _ in range(2))
        self.norm, self.head = nn.RMSNorm(dim), nn.Linear(dim, 100, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x) + x
        return self.head(self.norm(x))


# ------------------------------------------------------------ RWKV
class Mixed(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        before = F.pad(x, (0, 0, 1, -1))
        return x * self.share + before * (1 - self.share)


def mixed(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(Mixed(dim), nn.Linear(dim, out, bias=False))


class TimeMix(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.fading, self.bonus = nn.Parameter(torch.randn(dim)), nn.Parameter(torch.randn(dim))
        self.keys, self.values, self.gate = mixed(dim, dim), mixed(dim, dim), mixed(dim, dim)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        keys, values, fading = self.keys(x), self.values(x), -torch.exp(self.fading)
        num = den = torch.zeros_like(x[:, 0])
        top, outs = torch.full_like(num, -1e30), []
        for k, v in zip(keys.unbind(1), values.unbind(1), strict=True):
            now = torch.maximum(top, k + self.bonus)
            old, new = torch.exp(top - now), torch.exp(k + self.bonus - now)
            outs.append((old * num + new * v) / (old * den + new))
            later = torch.maximum(top + fading, k)
            kept, added = torch.exp(top + fading - later), torch.exp(k - later)
            num, den, top = kept * num + added * v, kept * den + added, later
        return self.out(torch.sigmoid(self.gate(x)) * torch.stack(outs, dim=1))


class ChannelMix(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.gate, self.up, self.down = mixed(dim, dim), mixed(dim, 4 * dim), nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(x)) * self.down(F.relu(self.up(x)) ** 2)


class Rwkv(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.embed, self.first = nn.Embedding(100, dim), nn.LayerNorm(dim)
        parts = (part for _ in range(2) for part in (TimeMix(), ChannelMix()))
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(dim), part) for part in parts)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 100, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.first(self.embed(tokens))
        for layer in self.layers:
            x = layer(x) + x
        return self.head(self.norm(x))


# ------------------------------------------------------------ TCN
class Cut(nn.Module):
    def __init__(self, a: int, b: int, dilation: int) -> None:
        super().__init__()
        self.conv, self.dropout = nn.Conv1d(a, b, 3, padding=2 * dilation, dilation=dilation), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(F.relu(self.conv(x)[..., : x.shape[2]]))


class TcnBlock(nn.Module):
    def __init__(self, a: int, b: int, dilation: int) -> None:
        super().__init__()
        self.main = nn.Sequential(Cut(a, b, dilation), Cut(b, b, dilation))
        self.shortcut = nn.Conv1d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


class Tcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [2, 16, 16, 24, 24]
        self.blocks = nn.Sequential(*(TcnBlock(a, b, 2**i) for i, (a, b) in enumerate(pairwise(widths))))
        self.out = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.blocks(x)[:, :, -1])


# ------------------------------------------------------------ ConvLSTM
class ConvLstm(nn.Module):
    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.hidden = hidden
        self.give = nn.Parameter(torch.randn(hidden, 1, 1))
        self.gates = nn.Conv2d(1 + hidden, 4 * hidden, 3, padding=1)
        self.kept = nn.ParameterList([torch.randn(hidden, 1, 1), torch.randn(hidden, 1, 1)])
        self.out = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, _, height, width = x.shape
        forget, take = self.kept
        h = c = torch.zeros(n, self.hidden, height, width)
        for frame in x.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame, h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f + c * forget) * c + torch.sigmoid(i + c * take) * torch.tanh(g)
            h = torch.sigmoid(o + c * self.give) * torch.tanh(c)
        return torch.sigmoid(self.out(h))


# ------------------------------------------------------------ PatchTST
class PatchTst(nn.Module):
    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 11, dim))
        self.embed = nn.Linear(8, dim)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(dim, 4, 2 * dim, batch_first=True) for _ in range(2))
        self.out = nn.Linear(11 * dim, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, length, series = x.shape
        centre = x.mean(1, keepdim=True)
        spread = torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5)
        y = ((x - centre) / spread).transpose(1, 2).reshape(n * series, length)
        y = self.embed(y.unfold(-1, 8, 4)) + self.positions
        for layer in self.layers:
            y = layer(y)
        return self.out(y.flatten(1)).view(n, series, 12).transpose(1, 2) * spread + centre
