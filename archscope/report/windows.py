"""Windows that slide over an image: the row of a convolution or a pool → Window → the size of what it gives.

The formulas are those of torch.nn.Conv2d, ConvTranspose2d and MaxPool2d.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archscope.trace import Row

KINDS = re.compile(r"(conv|conv_transpose|max_pool|avg_pool|lp_pool)([123])d")
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation along each spatial axis.

    extra: the output padding; with padding="same" of an even reach, by how much the end is padded more than the start.
    """

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    extra: Sizes
    transposed: bool = False
    ceil: bool = False

    @property
    def axes(self) -> int:
        """How many spatial axes it slides along: the last ones."""
        return len(self.kernel)

    @property
    def is_accepted(self) -> bool:
        """Whether torch slides it: an output padding must be smaller than the stride or the dilation."""
        extras = zip(self.extra, self.stride, self.dilation, strict=True)
        return not self.transposed or all(extra < max(stride, dilation) for extra, stride, dilation in extras)

    def reach(self, axis: int) -> int:
        """How many rows of the input one position covers, those between dilated taps included."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def size(self, n: int, axis: int) -> int:
        """The length of the output for an input of length n along one spatial axis."""
        stride, padding = self.stride[axis], self.padding[axis]
        if self.transposed:
            return (n - 1) * stride - 2 * padding + self.reach(axis) + self.extra[axis]
        room = n + 2 * padding + self.extra[axis] - self.reach(axis)
        steps = -(-room // stride) if self.ceil else room // stride
        if self.ceil and steps * stride >= n + padding:  # the last window must start inside
            steps -= 1
        return steps + 1


def window_of(row: Row) -> Window | None:
    """The window of a convolution's or a pool's row; None for every other row."""
    match = KINDS.fullmatch(row.short)
    if match is None:
        return None
    axes, conv = int(match[2]), match[1].startswith("conv")
    kernel = row.inputs[1].value.shape[-axes:] if conv else each(row.get("kernel_size"), axes)
    if len(kernel) != axes:
        return None
    stride = each(row.get("stride"), axes) or (kernel if not conv else (1,) * axes)
    dilation = each(row.get("dilation"), axes) or (1,) * axes
    sides = each(row.get("padding"), axes) or (0,) * axes
    extra = each(row.get("output_padding"), axes) or (0,) * axes
    if row.get("padding") == "same":
        spare = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        sides, extra = tuple(n // 2 for n in spare), tuple(n % 2 for n in spare)
    if min(*kernel, *stride, *dilation) < 1:
        return None  # no window slides so
    ceil = row.get("ceil_mode") is True
    return Window(kernel, stride, sides, dilation, extra, match[1] == "conv_transpose", ceil)


def each(value: object, axes: int) -> Sizes:
    """One number for each axis; none where there is no such number."""
    if isinstance(value, int):
        return (value,) * axes
    if not isinstance(value, tuple) or len(value) not in (1, axes) or not all(isinstance(n, int) for n in value):
        return ()
    return (value * axes)[:axes]
