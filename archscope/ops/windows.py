"""Windows of convolutions and poolings: a row → Window → output sizes.

The formulas are those of torch.nn.Conv2d, ConvTranspose2d and MaxPool2d.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archscope.trace import Row

WINDOW_FUNCTIONS = re.compile(r"(conv|conv_transpose|max_pool|avg_pool|lp_pool)([123])d")
SpatialSizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation along each spatial axis.

    extra: the output padding; with padding="same" and an even effective kernel, the padding at the end beyond that at
    the start.
    """

    kernel: SpatialSizes
    stride: SpatialSizes
    padding: SpatialSizes
    dilation: SpatialSizes
    extra: SpatialSizes
    transposed: bool = False
    ceil: bool = False

    @property
    def axes(self) -> int:
        """The number of spatial axes that it moves along: the last ones."""
        return len(self.kernel)

    @property
    def is_accepted(self) -> bool:
        """True if torch accepts it: an output padding must be smaller than the stride or the dilation."""
        extras = zip(self.extra, self.stride, self.dilation, strict=True)
        return not self.transposed or all(extra < max(stride, dilation) for extra, stride, dilation in extras)

    def effective_kernel(self, axis: int) -> int:
        """Return the number of input positions that the kernel spans, gaps of the dilation included."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def size(self, n: int, axis: int) -> int:
        """Return the length of the output for an input of length n along one spatial axis."""
        stride, padding = self.stride[axis], self.padding[axis]
        if self.transposed:
            return (n - 1) * stride - 2 * padding + self.effective_kernel(axis) + self.extra[axis]
        slack = n + 2 * padding + self.extra[axis] - self.effective_kernel(axis)
        steps = -(-slack // stride) if self.ceil else slack // stride
        if self.ceil and steps * stride >= n + padding:  # the last window must start inside
            steps -= 1
        return steps + 1


def window_of(row: Row) -> Window | None:
    """Return the window of a convolution's or a pooling's row; None for every other row."""
    match = WINDOW_FUNCTIONS.fullmatch(row.short_name)
    if match is None:
        return None
    axes, conv = int(match[2]), match[1].startswith("conv")
    kernel = row.inputs[1].value.shape[-axes:] if conv else per_axis(row.get("kernel_size"), axes)
    if len(kernel) != axes:
        return None
    stride = per_axis(row.get("stride"), axes) or (kernel if not conv else (1,) * axes)
    dilation = per_axis(row.get("dilation"), axes) or (1,) * axes
    sides = per_axis(row.get("padding"), axes) or (0,) * axes
    extra = per_axis(row.get("output_padding"), axes) or (0,) * axes
    if row.get("padding") == "same":
        spare = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        sides, extra = tuple(n // 2 for n in spare), tuple(n % 2 for n in spare)
    if min(*kernel, *stride, *dilation) < 1:
        return None  # torch rejects it
    ceil = row.get("ceil_mode") is True
    return Window(kernel, stride, sides, dilation, extra, match[1] == "conv_transpose", ceil)


def per_axis(value: object, axes: int) -> SpatialSizes:
    """Return one number for each axis; () if the value is no such number or tuple."""
    if isinstance(value, int):
        return (value,) * axes
    if not isinstance(value, tuple) or len(value) not in (1, axes) or not all(isinstance(n, int) for n in value):
        return ()
    return (value * axes)[:axes]


def stride_between(main: SpatialSizes, shortcut: SpatialSizes) -> int:
    """Return the stride of a 1×1 convolution from the shortcut's spatial size to the main path's; 0 if there is
    none."""
    if len(main) != len(shortcut) or len(main) < 3 or 0 in main[2:]:
        return 0
    stride = -(-shortcut[2] // main[2])
    fits = all(-(-before // stride) == after for before, after in zip(shortcut[2:], main[2:], strict=True) if stride)
    return stride if fits else 0
