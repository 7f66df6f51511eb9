# phlippe/uvadlc_notebooks#51: home-made attention whose input width is not its embedding width; the last reshape uses the wrong one.
# archscope check r04_mha_reshape.py:Attention --input 3x11x13
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, input_dim=13, embed_dim=323, heads=19):
        super().__init__()
        self.heads, self.head_dim = heads, embed_dim // heads
        self.qkv = nn.Linear(input_dim, 3 * embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        batch, length, embed_dim = x.size()              # this is the input's width
        q, k, v = self.qkv(x).reshape(batch, length, self.heads, 3 * self.head_dim).permute(0, 2, 1, 3).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(-2, -1) / self.head_dim**0.5, dim=-1)
        values = (weights @ v).permute(0, 2, 1, 3).reshape(batch, length, embed_dim)
        return self.out(values)
