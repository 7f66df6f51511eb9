# tengshaofeng/ResidualAttentionNetwork-pytorch#37: a size written into the code, fed with small images.
# archscope check r45_attention_interpolate.py:Stage --input 1x3x32x32
# Residual attention stage made for 14×14 maps (images of 224), fed with 32×32 images.
from torch import nn


class Stage(nn.Module):
    def __init__(self, c=16, size=(14, 14)):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, c, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(c, c, 3, 2, 1), nn.Conv2d(c, c, 3, 2, 1))
        self.soft = nn.Conv2d(c, c, 3, 1, 1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.deep = nn.Conv2d(c, c, 3, 1, 1)
        self.up = nn.UpsamplingBilinear2d(size=size)

    def forward(self, x):
        x = self.stem(x)
        a = self.soft(x)
        b = self.up(self.deep(self.pool(x))) + a
        return x * b.sigmoid()
