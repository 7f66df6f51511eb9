# From: OpenGVLab/InternImage#236. Asked: "mat1 and mat2 shapes cannot be multiplied (63488x31 and 64x64)".
# Run: archscope check 22_linear_on_maps.py:Deform --input 2x3x31x31
from torch import Tensor, nn


class Deform(nn.Module):
    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.value(x)
        return self.out(x)
