# From: cvlab-columbia/videopolicy#1. Asked: "The shape of the 2D attn_mask is [77, 77], but should be (25, 25)"
# Run: archscope check 37_text_mask_of_77.py:Text --input int64:25x77:0..100
import torch
from torch import Tensor, nn


class Text(nn.Module):
    def __init__(self, length: int = 77, dim: int = 8) -> None:
        super().__init__()
        self.words = nn.Embedding(100, dim)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.register_buffer("mask", torch.full((length, length), float("-inf")).triu(1))

    def forward(self, text: Tensor) -> Tensor:
        x = self.words(text).permute(1, 0, 2)
        y, _ = self.attention(x, x, x, attn_mask=self.mask)
        return y.permute(1, 0, 2)
