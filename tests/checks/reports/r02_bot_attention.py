# leaderj1001/BottleneckTransformers#13 (and #6): attention with position tables for a fixed resolution, fed CIFAR images.
# archscope check r02_bot_attention.py:Net --input 2x3x32x32
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, width=14, height=14, heads=4):
        super().__init__()
        self.heads = heads
        self.query = nn.Conv2d(dim, dim, 1)
        self.key = nn.Conv2d(dim, dim, 1)
        self.value = nn.Conv2d(dim, dim, 1)
        self.rel_h = nn.Parameter(torch.randn(1, heads, dim // heads, 1, height))
        self.rel_w = nn.Parameter(torch.randn(1, heads, dim // heads, width, 1))

    def forward(self, x):
        b, c, h, w = x.shape
        q = self.query(x).view(b, self.heads, c // self.heads, -1)
        k = self.key(x).view(b, self.heads, c // self.heads, -1)
        v = self.value(x).view(b, self.heads, c // self.heads, -1)
        content = q.transpose(2, 3) @ k
        position = (self.rel_h + self.rel_w).view(1, self.heads, c // self.heads, -1).permute(0, 1, 3, 2) @ q
        weights = torch.softmax(content + position, dim=-1)
        return (v @ weights.transpose(2, 3)).view(b, c, h, w)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(), nn.Conv2d(128, 256, 3, 2, 1), nn.ReLU())
        self.attention = Attention(256)
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        x = self.attention(self.body(self.stem(x)))
        return self.fc(x.mean((2, 3)))
