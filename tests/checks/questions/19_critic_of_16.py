# From: Ha0Tang/SelectionGAN#5. Asked: "padded input size per channel: (3 x 3), kernel size: (4 x 4)" in the critic.
# Run: archscope check 19_critic_of_16.py:critic --input 1x3x16x16
from torch import nn


def critic(width: int = 8) -> nn.Module:
    steps: list[nn.Module] = []
    channels = 3
    for level in range(3):
        steps += [nn.Conv2d(channels, width << level, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width << level
    steps += [nn.Conv2d(channels, 2 * channels, 4, padding=1), nn.LeakyReLU(0.2)]
    steps += [nn.Conv2d(2 * channels, 1, 4, padding=1)]
    return nn.Sequential(*steps)
