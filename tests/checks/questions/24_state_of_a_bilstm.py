# From: programmerah.com/...-39265, "RuntimeError: Expected hidden[0] size (x, x, x), got (x, x, x)"
# Asked: the states (layers × directions, batch, hidden) of a bidirectional LSTM are refused: (4, 10, 100) is wanted.
# Run: archscope check 24_state_of_a_bilstm.py:Tagger --input 4x10x300
import torch
from torch import Tensor, nn


class Tagger(nn.Module):
    def __init__(self, features: int = 300, hidden: int = 100, layers: int = 2) -> None:
        super().__init__()
        self.layers, self.hidden = layers, hidden
        self.lstm = nn.LSTM(features, hidden, layers, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 5)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.zeros(2 * self.layers, x.size(0), self.hidden)
        y, _ = self.lstm(x, (start, start))
        return self.head(y)
