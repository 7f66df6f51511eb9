# From: weka511/hpa-scc#38. Asked: "shape '[-1, 115200]' is invalid for input of size 72000" on the last batch, of 5.
# Run: archscope check 29_batch_in_a_view.py:Cells --input 5x4x1x32x32
from torch import Tensor, nn
from torch.nn import functional as F


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(4, 16, (1, 3, 3))
        self.head = nn.Linear(8 * 16 * 1 * 30 * 30, 18)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        x = x.view(-1, 8 * 16 * 1 * 30 * 30)
        return self.head(x)
