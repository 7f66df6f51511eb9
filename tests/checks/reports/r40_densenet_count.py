# BIGBALLON/cifar-10-cnn#2 (a PyTorch version of it): the transition halves the channels, the running count of them is not halved.
# archscope check r40_densenet_count.py:DenseNet --input 1x3x32x32
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, cin, growth):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(cin), nn.Conv2d(cin, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(torch.relu(self.bn(x)))], 1)


class DenseNet(nn.Module):
    def __init__(self, growth=12, n=5):
        super().__init__()
        layers, c = [nn.Conv2d(3, 24, 3, padding=1, bias=False)], 24
        for stage in range(3):
            for _ in range(n):
                layers.append(Layer(c, growth))
                c += growth
            if stage < 2:
                layers += [nn.Conv2d(c, c // 2, 1, bias=False), nn.AvgPool2d(2)]      # and c stays as it was
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(c, 10)

    def forward(self, x):
        return self.fc(self.features(x))
