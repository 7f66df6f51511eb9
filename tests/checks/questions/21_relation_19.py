# From: floodsung/LearningToCompare_FSL#41. Asked: pairs of features of other images do not fit a view of 19×19.
# Run: archscope check 21_relation_19.py:Relation --input sample=1x3x80x80 --input query=1x3x80x80
import torch
from torch import Tensor, nn


class Relation(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Sequential(
            nn.Conv2d(3, width, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.compare = nn.Conv2d(2 * width, 1, 3)

    def forward(self, sample: Tensor, query: Tensor) -> Tensor:
        pairs = torch.cat([self.embed(sample), self.embed(query)], dim=1)
        pairs = pairs.view(-1, 2 * self.width, 19, 19)
        return torch.sigmoid(self.compare(pairs))
