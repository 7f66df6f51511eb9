# From: mrdbourke/pytorch-deep-learning#763. Asked: the classifier behind two pools; which in_features?
# Run: archscope check 42_hidden_units_10.py:TinyVgg --input 32x1x28x28
from torch import Tensor, nn


class TinyVgg(nn.Module):
    def __init__(self, hidden_units: int = 10, classes: int = 10) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(1, hidden_units, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(hidden_units, hidden_units, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(hidden_units, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.block(x))
