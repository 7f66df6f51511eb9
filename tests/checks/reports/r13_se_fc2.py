# braindecode/braindecode#955 (issue 889): squeeze-and-excite whose second 1x1 convolution is told the reduction rate instead of the reduced width.
# archscope check r13_se_fc2.py:Net --input 1x16x22x100
import torch
from torch import nn


class SqueezeExcite(nn.Module):
    def __init__(self, channels, rate):
        super().__init__()
        reduced = channels // rate
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(rate, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(self.gap(x)))))


class Net(nn.Module):
    def __init__(self, rate=4):
        super().__init__()
        self.conv = nn.Conv2d(16, 32, (1, 25), padding="same")
        self.se = SqueezeExcite(32, rate)
        self.head = nn.Conv2d(32, 4, (22, 100))

    def forward(self, x):
        return self.head(self.se(self.conv(x))).flatten(1)
