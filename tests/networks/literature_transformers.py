"""Twins of literature/: transformers, as plain PyTorch; layers are declared in the order they run."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(a: int, b: int) -> nn.Linear:
    return nn.Linear(a, b, bias=False)


def mlp(a: int, hidden: int, b: int, act: type[nn.Module] = nn.GELU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(a, hidden), act(), nn.Linear(hidden, b))


def rotated(x: Tensor, start: int = 0) -> Tensor:
    """Rotary positions, by halves."""
    t, d = x.shape[-2:]
    frequencies = 10000.0 ** (torch.arange(0, d, 2) / -d)
    angles = torch.outer(torch.arange(start, start + t).float(), frequencies)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1)


class SwiGlu(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up, self.down = linear(dim, hidden), linear(dim, hidden), linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


# ------------------------------------------------------------ Mixtral
class GroupedAttention(nn.Module):
    def __init__(self, dim: int = 32, heads: int = 4, kv_heads: int = 2) -> None:
        super().__init__()
        self.d, self.groups = dim // heads, heads // kv_heads
        self.q, self.k = linear(dim, dim), linear(dim, kv_heads * self.d)
        self.v, self.out = linear(dim, kv_heads * self.d), linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, dim = x.shape
        q, k, v = (layer(x).view(n, t, -1, self.d).transpose(1, 2) for layer in (self.q, self.k, self.v))
        keys = rotated(k).repeat_interleave(self.groups, dim=1)
        scores = rotated(q) @ keys.transpose(-2, -1) * self.d**-0.5
        weights = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -1e9).softmax(dim=-1)
        mixed = weights @ v.repeat_interleave(self.groups, dim=1)
        return self.out(mixed.transpose(1, 2).reshape(n, t, dim))


class Mixture(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.router = linear(dim, 4)
        self.experts = nn.ModuleList(SwiGlu(dim, 48) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        best, which = self.router(x).topk(2, dim=-1)
        shares = best.softmax(dim=-1)
        total = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            total = total + (shares * (which == number)).sum(-1, keepdim=True) * expert(x)
        return total


class MixtralLayer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.norm1, self.attention = nn.RMSNorm(dim), GroupedAttention()
        self.norm2, self.mixture = nn.RMSNorm(dim), Mixture()

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.norm1(x)) + x
        return self.mixture(self.norm2(x)) + x


def mixtral() -> nn.Module:
    layers = (MixtralLayer() for _ in range(2))
    return nn.Sequential(nn.Embedding(200, 32), *layers, nn.RMSNorm(32), linear(32, 200))


# ------------------------------------------------------------ MLA
def turned(x: Tensor) -> Tensor:
    """Rotary positions, by neighbours."""
    t, d = x.shape[-2:]
    angles = torch.arange(t).unsqueeze(1) * 10000.0 ** (-2 * torch.arange(d // 2) / d)
    even, odd = x.unflatten(-1, (d // 2, 2)).unbind(-1)
    sin, cos = angles.sin(), angles.cos()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class Mla(nn.Module):
    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim)
        self.q_down, self.q_norm, self.q_up = linear(dim, 24), nn.RMSNorm(24), linear(24, 4 * 20)
        self.kv_down, self.kv_norm, self.kv_up = linear(dim, 16 + 8), nn.RMSNorm(16), linear(16, 4 * 24)
        self.out = linear(4 * 12, dim)

    def forward(self, whole: Tensor) -> Tensor:
        x = self.norm(whole)
        n, t, _ = x.shape
        q, q_turned = self.q_up(self.q_norm(self.q_down(x))).view(n, t, 4, 20).transpose(1, 2).split([12, 8], dim=-1)
        latent, k_turned = self.kv_down(x).split([16, 8], dim=-1)
        k, v = self.kv_up(self.kv_norm(latent)).view(n, t, 4, 24).transpose(1, 2).split([12, 12], dim=-1)
        keys = torch.cat([k, turned(k_turned.unsqueeze(1)).expand(-1, 4, -1, -1)], dim=-1)
        scores = torch.cat([q, turned(q_turned)], dim=-1) @ keys.transpose(2, 3) * 20**-0.5
        weights = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -1e9).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, 48)) + whole


# ------------------------------------------------------------ T5
class T5Layer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.norm1, self.qkv, self.out = nn.RMSNorm(dim), linear(dim, 3 * dim), linear(dim, dim)
        self.wide = nn.Sequential(nn.RMSNorm(dim), linear(dim, 64), nn.ReLU(), linear(64, dim))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) + bias).softmax(dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, t, d))
        return self.wide(x) + x


class T5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bias = nn.Embedding(120, 32), nn.Embedding(16, 4)
        self.layers, self.norm = nn.ModuleList(T5Layer() for _ in range(2)), nn.RMSNorm(32)

    @staticmethod
    def bucket(t: int, half: int = 8, near: int = 4, furthest: int = 64) -> Tensor:
        distance = torch.arange(t).unsqueeze(0) - torch.arange(t).unsqueeze(1)
        away = distance.abs()
        far = near + torch.log(away.clamp(min=1) / near) / math.log(furthest / near) * (half - near)
        return half * (distance > 0) + torch.where(away < near, away, far.long().clamp(max=half - 1))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        bias = self.bias(self.bucket(tokens.shape[1])).permute(2, 0, 1).unsqueeze(0)
        for layer in self.layers:
            x = layer(x, bias)
        return self.norm(x)


# ------------------------------------------------------------ Whisper
class WhisperAttention(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (
            nn.Linear(dim, dim),
            linear(dim, dim),
            nn.Linear(dim, dim),
            nn.Linear(dim, dim),
        )

    def forward(self, x: Tensor, source: Tensor, causal: bool = False) -> Tensor:
        n, t, dim = x.shape
        s, d = source.shape[1], dim // 4
        q = self.q(x).view(n, t, 4, d).transpose(1, 2)
        k, v = (layer(source).view(n, s, 4, d).transpose(1, 2) for layer in (self.k, self.v))
        scores = (q * d**-0.25) @ (k * d**-0.25).transpose(-1, -2)
        if causal:
            scores = scores + torch.full((t, t), -torch.inf).triu(1)
        return self.out((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))


class WhisperLayer(nn.Module):
    def __init__(self, dim: int = 32, cross: bool = False) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), WhisperAttention()
        self.norm2, self.cross = (nn.LayerNorm(dim), WhisperAttention()) if cross else (None, None)
        self.wide = nn.Sequential(nn.LayerNorm(dim), mlp(dim, 4 * dim, dim))

    def forward(self, x: Tensor, audio: Tensor | None = None) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, causal=audio is not None)
        if audio is not None:
            x = x + self.cross(self.norm2(x), audio)
        return self.wide(x) + x


class Whisper(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(32, dim))
        self.conv1, self.conv2 = nn.Conv1d(16, dim, 3, padding=1), nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.encoder, self.encoded = nn.Sequential(*(WhisperLayer() for _ in range(2))), nn.LayerNorm(dim)
        self.embed = nn.Embedding(150, dim)
        self.decoder, self.norm = nn.ModuleList(WhisperLayer(cross=True) for _ in range(2)), nn.LayerNorm(dim)

    def forward(self, mel: Tensor, tokens: Tensor) -> Tensor:
        audio = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        t, d = audio.shape[1:]
        angles = torch.arange(t).unsqueeze(1) * torch.exp(torch.arange(d // 2) * (-math.log(10000) / (d // 2 - 1)))
        audio = self.encoded(self.encoder(audio + torch.cat([angles.sin(), angles.cos()], dim=1)))
        x = self.embed(tokens) + self.positions[: tokens.shape[1]]
        for layer in self.decoder:
            x = layer(x, audio)
        return F.linear(self.norm(x), self.embed.weight)


# ------------------------------------------------------------ LLaMA with a cache
class CachedAttention(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = linear(dim, dim), linear(dim, 16), linear(dim, 16), linear(dim, dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, t, _ = x.shape
        past = keys.shape[2]
        q, k, v = (layer(x).view(n, t, -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k = torch.cat([keys, rotated(k, past)], dim=2)
        v = torch.cat([values, v], dim=2)
        seen = torch.ones(t, past + t).tril(past).bool()
        mixed = F.scaled_dot_product_attention(rotated(q, past), k, v, attn_mask=seen, enable_gqa=True)
        return self.out(mixed.transpose(1, 2).reshape(n, t, -1)), k, v


class CachedLayer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.norm1, self.attention = nn.RMSNorm(dim), CachedAttention()
        self.wide = nn.Sequential(nn.RMSNorm(dim), SwiGlu(dim, 64))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        attended, k, v = self.attention(self.norm1(x), keys, values)
        x = x + attended
        return self.wide(x) + x, k, v


class LlamaCache(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.embed, self.layers = nn.Embedding(160, dim), nn.ModuleList(CachedLayer() for _ in range(2))
        self.norm, self.head = nn.RMSNorm(dim), linear(dim, 160)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> dict[str, object]:
        x = self.embed(tokens)
        turns = []
        for number, layer in enumerate(self.layers):
            turn = layer(x, keys[number], values[number])
            turns.append(turn)
            x = turn[0]
        return {"logits": self.head(self.norm(x)), "caches": turns}


# ------------------------------------------------------------ RetNet
class Retention(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.qkv, self.gate, self.out = linear(dim, 3 * dim), linear(dim, dim), linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, dim = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 4, dim // 4).permute(2, 0, 3, 1, 4)
        rates = torch.log(1 - torch.exp(torch.linspace(math.log(1 / 32), math.log(1 / 512), 4)))
        distance = torch.arange(t).unsqueeze(1) - torch.arange(t)
        decay = torch.exp(distance.clamp(min=0) * rates.view(4, 1, 1)).tril()
        mixed = (q @ k.transpose(-2, -1) / math.sqrt(dim // 4) * decay) @ v
        normed = F.group_norm(mixed.transpose(1, 2).reshape(n * t, dim), 4).view(n, t, dim)
        return self.out(F.silu(self.gate(x)) * normed)


class RetLayer(nn.Module):
    def __init__(self, dim: int = 32) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.LayerNorm(dim), Retention())
        self.second = nn.Sequential(nn.LayerNorm(dim), mlp(dim, 2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) + x
        return self.second(x) + x


def retnet() -> nn.Module:
    return nn.Sequential(nn.Embedding(90, 32), RetLayer(), RetLayer(), nn.LayerNorm(32), linear(32, 90))
