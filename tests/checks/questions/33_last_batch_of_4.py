# From: udacity/deep-learning-v2-pytorch#398. Asked: with batches of 64 the last one has 4 examples, and is refused.
# Run: archscope check 33_last_batch_of_4.py:Sentiment --input int64:4x20:0..100
import torch
from torch import Tensor, nn


class Sentiment(nn.Module):
    def __init__(self, batch: int = 64, hidden: int = 16) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 8)
        self.lstm = nn.LSTM(8, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.register_buffer("start", torch.zeros(2, batch, hidden))

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(self.words(x), (self.start, self.start))
        return self.head(y[:, -1])
