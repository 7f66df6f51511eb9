# From: junyuchen245/TransMorph_Transformer_for_Medical_Image_Registration#2
# Asked: windows of 5×6×7 were made for 160×192×224; another volume ends in an invalid view (here at half the size).
# Run: archscope check 16_volume_windows.py:Windows --input 1x2x96x96x104
from torch import Tensor, nn


class Windows(nn.Module):
    def __init__(self, dim: int = 6, window: tuple[int, int, int] = (5, 6, 7)) -> None:
        super().__init__()
        self.window = window
        self.patches = nn.Conv3d(2, dim, 2, stride=2)
        self.attend = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 4, 1).contiguous()
        n, d, h, w, c = x.shape
        a, b, e = self.window
        x = x.view(n, d // a, a, h // b, b, w // e, e, c)
        x = x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, a * b * e, c)
        return self.attend(x)
