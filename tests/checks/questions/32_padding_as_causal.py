# From: openillumi.com, "PyTorch Transformer attention_mask"
# Asked: the mask (batch, length) of a tokenizer, given to a decoder as tgt_mask, should be (length, length).
# Run: archscope check 32_padding_as_causal.py:Decoder --input words=4x9x8 --input memory=4x7x8 --input mask=bool:4x9
from torch import Tensor, nn


class Decoder(nn.Module):
    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(dim, 4, 64, batch_first=True), 1)
        self.head = nn.Linear(dim, 100)

    def forward(self, words: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        y = self.decoder(words, memory, tgt_mask=mask)
        return self.head(y)
