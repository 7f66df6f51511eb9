# Reagan1311/DABNet#24, Eromera/erfnet_pytorch#8: conv(stride 2) and max-pool joined by cat; breaks on odd sizes.
# archscope check r01_downsampler_odd.py:Net --input 1x3x65x97
import torch
from torch import nn


class Down(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout - cin, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, stride=2)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        return torch.relu(self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.d1 = Down(3, 16)
        self.d2 = Down(16, 64)
        self.head = nn.Conv2d(64, 19, 1)

    def forward(self, x):
        return self.head(self.d2(self.d1(x)))
