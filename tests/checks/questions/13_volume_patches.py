# From: bmaltais/kohya_ss#2659. Asked: embeddings of 3-D patches cannot be added to their 2744 positions.
# Run: archscope check 13_volume_patches.py:Patches --input 1x8x56x56x56
import torch
from torch import Tensor, nn


class Patches(nn.Module):
    def __init__(self, channels: int = 8, image: int = 56, patch: int = 4) -> None:
        super().__init__()
        self.cut = nn.Conv3d(channels, channels, 1, stride=patch)
        self.places = nn.Parameter(torch.zeros(1, (image // patch) ** 3, channels))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.cut(x).flatten(2)
        tokens = tokens + self.places
        return self.norm(tokens)
