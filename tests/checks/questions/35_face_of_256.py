# From: a312863063/SimSwapHD#21. Asked: "mat1 and mat2 shapes cannot be multiplied (1x131072 and 25088x512)"
# Run: archscope check 35_face_of_256.py:Face --input 1x3x256x256
from itertools import pairwise

from torch import Tensor, nn


class Face(nn.Module):
    def __init__(self, width: int = 512) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, width)
        self.body = nn.Sequential(
            *[nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)]
        )
        self.fc = nn.Linear(width * 7 * 7, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).flatten(1))
