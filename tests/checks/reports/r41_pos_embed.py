# SHI-Labs/Compact-Transformers#74, jeonsworld/ViT-pytorch#3: a ViT for 32x32 images given 224x224: tokens (3137) and table (65).
# archscope check r41_pos_embed.py:ViT --input 2x3x224x224
import torch
from torch import nn


class ViT(nn.Module):
    def __init__(self, img_size=32, patch=4, dim=128, depth=2):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.positional_emb = nn.Parameter(torch.zeros(1, (img_size // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(dim, 2, 2 * dim, batch_first=True) for _ in range(depth)))
        self.fc = nn.Linear(dim, 102)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1)
        x += self.positional_emb
        return self.fc(self.blocks(x)[:, 0])
