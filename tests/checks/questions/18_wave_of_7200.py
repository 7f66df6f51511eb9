# From: ivanvovk/WaveGrad#5. Asked: which segment length belongs to factors 4, 4, 4, 2, 2 (a hop of 256)? 7200 fails.
# Run: archscope check 18_wave_of_7200.py:Vocoder --input mels=1x80x28 --input noisy=1x1x7200
from torch import Tensor, nn


class Vocoder(nn.Module):
    def __init__(self, factors: tuple[int, ...] = (4, 4, 4, 2, 2), width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv1d(80, width, 3, padding=1)
        self.ups = nn.ModuleList([nn.Upsample(scale_factor=f) for f in factors])
        self.mixes = nn.ModuleList([nn.Conv1d(width, width, 3, padding=1) for _ in factors])
        self.wave = nn.Conv1d(1, width, 5, padding=2)
        self.downs = nn.ModuleList([nn.Conv1d(width, width, f, stride=f) for f in factors[:0:-1]])
        self.last = nn.Conv1d(width, 1, 3, padding=1)

    def forward(self, mels: Tensor, noisy: Tensor) -> Tensor:
        shifts = [self.wave(noisy)]
        for down in self.downs:
            shifts.append(down(shifts[-1]))
        x = self.first(mels)
        for up, mix, shift in zip(self.ups, self.mixes, reversed(shifts), strict=True):
            x = mix(up(x)) + shift
        return self.last(x)
