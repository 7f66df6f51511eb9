# pytorch/pytorch#122959: cross attention with 1 query and 23 keys, tensors are batch first, the module is not.
# archscope check r09_mha_batch_first.py:Net --input query=1x1x1536 --input memory=1x23x1536 ; same with batch 2
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(1536, 4)
        self.out = nn.Linear(1536, 10)

    def forward(self, query, memory):
        x, _ = self.attention(query, memory, memory)
        return self.out(x)
