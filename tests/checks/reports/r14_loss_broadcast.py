# timeseriesAI/tsai#22, deepset-ai/FARM#229: regression does not learn; prediction (16, 1), target (16): MSE of a 16x16 table.
# archscope check r14_loss_broadcast.py:Step --input x=16x1x60 --input target=16
import torch.nn.functional as F
from torch import nn


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 1))

    def forward(self, x, target):
        return F.mse_loss(self.net(x), target)


class StepByHand(Step):
    def forward(self, x, target):
        return ((self.net(x) - target) ** 2).mean()
