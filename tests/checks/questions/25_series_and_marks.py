# From: wanghq21/MICN#14. Asked: the embeddings of the values (120 steps) and of the dates (72 steps) cannot be added.
# Run: archscope check 25_series_and_marks.py:Forecast --input x=1x96x7 --input marks=1x72x4
import torch
from torch import Tensor, nn


class Forecast(nn.Module):
    def __init__(self, horizon: int = 24, dim: int = 16) -> None:
        super().__init__()
        self.horizon = horizon
        self.values = nn.Conv1d(7, dim, 3, padding=1)
        self.dates = nn.Linear(4, dim)
        self.head = nn.Linear(dim, 7)

    def forward(self, x: Tensor, marks: Tensor) -> Tensor:
        x = torch.cat([x, x.new_zeros(x.size(0), self.horizon, x.size(2))], dim=1)
        value = self.values(x.transpose(1, 2)).transpose(1, 2)
        h = value + self.dates(marks)
        return self.head(torch.relu(h))[:, -self.horizon :]
