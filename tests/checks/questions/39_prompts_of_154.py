# From: hlky/nataili#145. Asked: "Sizes of tensors must match except in dimension 0. Expected 77 but got 154"
# Run: archscope check 39_prompts_of_154.py:Guided --input x=1x16x8 --input uncond=1x77x8 --input cond=1x154x8
import torch
from torch import Tensor, nn


class Guided(nn.Module):
    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)

    def forward(self, x: Tensor, uncond: Tensor, cond: Tensor) -> Tensor:
        both = torch.cat([uncond, cond])
        y, _ = self.attention(x.repeat(2, 1, 1), both, both)
        return y
