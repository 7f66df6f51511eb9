# From: microsoft/CSWin-Transformer#5. Asked: split sizes 1, 2, 12, 12 and an image of 224 end in an invalid view.
# Run: archscope check 15_stripes_of_12.py:Stripes --input 1x3x224x224
from torch import Tensor, nn


class Stripes(nn.Module):
    def __init__(self, dim: int = 24, split: int = 12) -> None:
        super().__init__()
        self.split = split
        self.patches = nn.Conv2d(3, dim, 16, stride=16)
        self.mix = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        n, c, h, w = x.shape
        x = x.view(n, c, 1, h, w // self.split, self.split)
        x = x.permute(0, 2, 4, 3, 5, 1).reshape(-1, h * self.split, c)
        return self.mix(x)
