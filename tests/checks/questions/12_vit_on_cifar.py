# From: jeonsworld/ViT-pytorch#3. Asked: images of CIFAR-10 give 5 tokens where the model has 197 positions.
# Run: archscope check 12_vit_on_cifar.py:Vit --input 1x3x32x32
import torch
from torch import Tensor, nn


class Vit(nn.Module):
    def __init__(self, image: int = 224, patch: int = 16, dim: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.places = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, dim))
        self.layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, batch_first=True)
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.size(0), -1, -1), x], dim=1)
        x = x + self.places
        return self.head(self.layer(x)[:, 0])
