# From: Pang-Yatian/Point-MAE#24. Asked: which other numbers change with an embedding of 512 instead of 384?
# Run: archscope check 23_six_heads_512.py:Attention --arg dim=512 --input 1x64x512
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int = 384, heads: int = 6) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, c))
