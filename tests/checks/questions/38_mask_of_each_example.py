# From: pytorch/pytorch#64706. Asked: a mask (batch, length, length) is refused; why batch * heads?
# Run: archscope check 38_mask_of_each_example.py:Reader --input x=3x10x8 --input mask=bool:3x10x10
from torch import Tensor, nn


class Reader(nn.Module):
    def __init__(self, dim: int = 8, heads: int = 4) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y, _ = self.attention(x, x, x, attn_mask=mask)
        return y
