# From: braindecode/braindecode#758. Asked: CTNet takes emb_size=40 only; with 256 it stops at the positions.
# Run: archscope check 14_eeg_embedding.py:Eeg --arg emb_size=256 --input 1x64x500
import torch
from torch import Tensor, nn


class Eeg(nn.Module):
    def __init__(self, emb_size: int = 40, filters: int = 20, depth: int = 2) -> None:
        super().__init__()
        maps = filters * depth
        self.time = nn.Conv2d(1, filters, (1, 65), padding=(0, 32), bias=False)
        self.space = nn.Conv2d(filters, maps, (64, 1), groups=filters, bias=False)
        self.norm = nn.BatchNorm2d(maps)
        self.pool = nn.AvgPool2d((1, 56))
        self.places = nn.Parameter(torch.zeros(1, 100, emb_size))
        self.layer = nn.TransformerEncoderLayer(emb_size, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.pool(self.norm(self.space(self.time(x.unsqueeze(1)))))
        tokens = maps.squeeze(2).transpose(1, 2)
        tokens = tokens + self.places[:, : tokens.size(1)]
        return self.layer(tokens)
