# From: Verg-Avesta/CounTR#18. Asked: "Input image size (960*384) doesn't match model (384*384)"
# Run: archscope check 36_count_in_960.py:Counter --input 1x3x960x384
from torch import Tensor, nn


class Patches(nn.Module):
    def __init__(self, size: int, patch: int = 16, dim: int = 8) -> None:
        super().__init__()
        self.img_size = (size, size)
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        _, _, h, w = x.shape
        if h != self.img_size[0] or w != self.img_size[1]:
            raise ValueError("the image does not match the model")
        return self.proj(x).flatten(2).transpose(1, 2)


class Counter(nn.Module):
    def __init__(self, size: int = 384) -> None:
        super().__init__()
        self.patches = Patches(size)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.patches(x))
