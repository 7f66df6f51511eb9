# From: Tramac/awesome-semantic-segmentation-pytorch#71. Asked: torch.bmm of the attention of PSANet does not fit.
# Run: archscope check 30_psa_of_480.py:Psa --input 1x3x400x640
import torch
from torch import Tensor, nn


class Psa(nn.Module):
    def __init__(self, places: int = 60 * 60, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, width, 8, stride=8)
        self.reduce = nn.Conv2d(width, width, 1)
        self.attention = nn.Conv2d(width, places, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        n, c, h, w = x.shape
        weights = self.attention(x).view(n, -1, h * w).softmax(1)
        y = torch.bmm(self.reduce(x).view(n, c, h * w), weights)
        return y.view(n, c, h, w)
