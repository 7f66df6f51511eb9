# From: deepset-ai/FARM#229. Asked: what does "target size (32, 1) that is different to the input size (32)" mean?
# Run: archscope check 28_regression_loss.py:Regression --input x=32x16 --input labels=32x1
from torch import Tensor, nn
from torch.nn import functional as F


class Regression(nn.Module):
    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.body = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        score = self.head(F.relu(self.body(x))).squeeze(-1)
        return F.mse_loss(score, labels)
