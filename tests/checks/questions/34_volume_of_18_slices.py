# From: ccarliu/m3ae#3. Asked: a volume of 18 slices fails in the decoder; is the size of the input restricted?
# Run: archscope check 34_volume_of_18_slices.py:Volume --input 1x4x18x64x64
import torch
from torch import Tensor, nn


class Volume(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv3d(4, width, 3, padding=1)
        self.downs = nn.ModuleList([nn.Conv3d(width, width, 3, stride=2, padding=1) for _ in range(3)])
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for down in self.downs:
            levels.append(torch.relu(down(levels[-1])))
        y = levels.pop()
        while levels:
            y = self.up(y) + levels.pop()
        return y
