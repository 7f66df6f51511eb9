# From: chinhsuanwu/coatnet-pytorch#20. Asked: with images of 50×50 scores and relative bias have other sizes.
# Run: archscope check 27_relative_bias_50.py:Coat --input 1x3x50x50
import itertools

import torch
from torch import Tensor, nn


class Coat(nn.Module):
    def __init__(self, image: int = 50, dim: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        widths = [3, dim, dim, dim]
        self.stages = nn.Sequential(
            *[nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)]
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.qkv = nn.Linear(dim, 3 * dim)
        places = (image // 16) ** 2
        self.bias = nn.Parameter(torch.zeros(heads, places, places))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stages(x)).flatten(2).transpose(1, 2)
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1)
        scores = scores + self.bias
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c)
