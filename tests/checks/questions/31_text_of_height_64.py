# From: meijieru/crnn.pytorch#4. Asked: lines of text 64 pixels high stop at the assertion that the height is 1.
# Run: archscope check 31_text_of_height_64.py:Reader --input 1x1x64x128
from torch import Tensor, nn


class Reader(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
            nn.Conv2d(width, width, 2), nn.ReLU(),
        )
        self.rnn = nn.LSTM(width, width, bidirectional=True)
        self.head = nn.Linear(2 * width, 37)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.cnn(x)
        assert maps.size(2) == 1, "one row of features is wanted"
        y, _ = self.rnn(maps.squeeze(2).permute(2, 0, 1))
        return self.head(y)
