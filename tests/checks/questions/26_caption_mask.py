# From: microsoft/SwinBERT#52. Asked: max_seq_length 30 and max_img_seq_length 18, and the scores are 471 wide, not 48.
# Run: archscope check 26_caption_mask.py:Captions --input words=int64:1x30:0..50 --input video=1x441x32
import torch
from torch import Tensor, nn


class Captions(nn.Module):
    def __init__(self, max_words: int = 30, max_video: int = 18, dim: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, dim)
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        longest = max_words + max_video
        self.register_buffer("mask", torch.zeros(1, longest, longest))

    def forward(self, words: Tensor, video: Tensor) -> Tensor:
        x = torch.cat([self.embed(words), video], dim=1)
        scores = self.q(x) @ self.k(x).transpose(1, 2)
        scores = scores + self.mask
        return scores.softmax(-1) @ self.v(x)
