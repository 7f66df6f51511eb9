# From: AndreaCodegoni/Tiny_model_4_CD#2. Asked: `x * y` of the decoder of a change detector finds 64 and 256.
# Run: archscope check 17_change_mask.py:Changes --input reference=1x3x256x256 --input later=1x3x256x256
import torch
from torch import Tensor, nn


class Changes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3 if i == 0 else 8, 8, 3, stride=2, padding=1) for i in range(3)])
        self.up = nn.Upsample(scale_factor=2)
        self.mask = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Sigmoid())
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, reference: Tensor, later: Tensor) -> Tensor:
        levels = [(reference - later).abs()]
        for down in self.down:
            levels.append(torch.relu(down(levels[-1])))
        x = self.up(levels[-1])
        x = x * self.mask(levels[0])
        return self.head(x)
