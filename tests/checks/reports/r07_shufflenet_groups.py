# jaxony/ShuffleNet#5, kuangliu/pytorch-cifar#84: groups=8 with the paper's widths; "in_channels must be divisible by groups", which layer?
# archscope check r07_shufflenet_groups.py:ShuffleNet --arg groups=8 --input 1x3x224x224
import torch
from torch import nn


class Unit(nn.Module):
    def __init__(self, cin, cout, groups, stride):
        super().__init__()
        self.stride = stride
        branch = cout - cin if stride == 2 else cout
        mid = branch // 4
        self.conv1 = nn.Conv2d(cin, mid, 1, groups=groups if cin != 24 else 1)
        self.dw = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid)
        self.conv2 = nn.Conv2d(mid, branch, 1, groups=groups)

    def forward(self, x):
        y = self.conv2(self.dw(torch.relu(self.conv1(x))))
        if self.stride == 2:
            return torch.relu(torch.cat([y, nn.functional.avg_pool2d(x, 3, 2, 1)], 1))
        return torch.relu(y + x)


class ShuffleNet(nn.Module):
    WIDTHS = {3: (240, 480, 960), 8: (384, 768, 1536)}

    def __init__(self, groups=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.MaxPool2d(3, 2, 1))
        units, cin = [], 24
        for cout, n in zip(self.WIDTHS[groups], (4, 8, 4)):
            for i in range(n):
                units.append(Unit(cin, cout, groups, 2 if i == 0 else 1))
                cin = cout
        self.units = nn.Sequential(*units)

    def forward(self, x):
        return self.units(self.stem(x))
