# OpenGVLab/InternImage#236: a layer for channels-last maps is given N C H W.
# archscope check r47_channels_last.py:Net --input 1x3x62x62
# A layer for channels-last maps is given N C H W: the error speaks of 31 and 64.
from torch import nn


class Net(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        self.stem = nn.Conv2d(3, c, 3, 2, 1)
        self.mlp = nn.Sequential(nn.Linear(c, c), nn.GELU(), nn.Linear(c, c))

    def forward(self, x):
        return self.mlp(self.stem(x))
