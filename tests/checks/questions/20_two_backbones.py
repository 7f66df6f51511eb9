# From: zwx8981/DBCNN-PyTorch#2. Asked: an image of 764 by 960 breaks the view before the bilinear product.
# Run: archscope check 20_two_backbones.py:Bilinear --input 1x3x764x960
import torch
from torch import Tensor, nn


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pooled: list[nn.Module] = []
        strided: list[nn.Module] = []
        for i in range(4):
            pooled += [nn.Conv2d(8 if i else 3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            strided += [nn.Conv2d(4 if i else 3, 4, 3, stride=2, padding=1), nn.ReLU()]
        self.pooled, self.strided = nn.Sequential(*pooled), nn.Sequential(*strided)
        self.score = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.pooled(x), self.strided(x)
        n, _, h, w = a.shape
        a = a.view(n, 8, h * w)
        b = b.view(n, 4, h * w)
        return self.score(torch.bmm(a, b.transpose(1, 2)).flatten(1))
