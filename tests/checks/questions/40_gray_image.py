# From: jacobgil/pytorch-grad-cam#141. Asked: "expected input[1, 1, 100, 100] to have 3 channels, but got 1 channels"
# Run: archscope check 40_gray_image.py:Net --input 1x1x100x100
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv1(x)).relu()
