"""Windows of convolutions and poolings: the arithmetic of their sizes along one axis, the Window of a row, and which
positions of an axis it reads (AxisWindow).

The formulas are those of torch.nn.Conv2d, ConvTranspose2d and MaxPool2d, under Shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd
from numbers import Integral

from archscope.trace import Row, Shape

WINDOW_FUNCTIONS = re.compile(r"(conv|conv_transpose|max_pool|avg_pool|lp_pool)([123])d")


def effective_kernel(kernel: int, dilation: int) -> int:
    """Return the number of input positions that a kernel spans, gaps of the dilation included."""
    return dilation * (kernel - 1) + 1


def window_output_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, *, extra: int = 0, ceil: bool = False
) -> int:
    """Return the number of positions of a convolution or pooling along one axis.

    extra: padding at the end beyond that on both sides. ceil: the last window may extend beyond the input, if it begins
    before the padding at the end.
    """
    slack = size + 2 * padding + extra - effective_kernel(kernel, dilation)
    if not ceil:
        return slack // stride + 1
    steps = -(-slack // stride)
    return steps if steps * stride >= size + padding else steps + 1


def transposed_output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, extra: int) -> int:
    """Return the number of positions of a transposed convolution along one axis. extra: its output padding."""
    return (size - 1) * stride - 2 * padding + effective_kernel(kernel, dilation) + extra


def is_kernel_too_large(size: int, kernel: int, padding: int, dilation: int) -> bool:
    """Return whether a kernel is larger than its input with the padding on both sides."""
    return size + 2 * padding < effective_kernel(kernel, dilation)


def largest_pool_padding(kernel: int) -> int:
    """Return the largest padding that torch accepts for a pooling."""
    return kernel // 2


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation along each spatial axis.

    extra: the output padding; with padding="same" and an even effective kernel, the padding at the end beyond that at
    the start.
    """

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    extra: Shape
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
        return effective_kernel(self.kernel[axis], self.dilation[axis])

    def size(self, n: int, axis: int) -> int:
        """Return the length of the output for an input of length n along one spatial axis."""
        numbers = (self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis])
        if self.transposed:
            return transposed_output_size(n, *numbers, self.extra[axis])
        return window_output_size(n, *numbers, extra=self.extra[axis], ceil=self.ceil)

    def largest_kernel(self, n: int, axis: int) -> int:
        """Return the largest kernel that fits an input of length n with this padding and dilation."""
        return (n + 2 * self.padding[axis] - 1) // self.dilation[axis] + 1

    def leftover(self, n: int, axis: int) -> int:
        """Return the number of positions at the end of the padded input that the last window does not reach; 0 for a
        transposed convolution."""
        slack = n + 2 * self.padding[axis] - self.effective_kernel(axis)
        return 0 if self.transposed else slack % self.stride[axis]


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
        spare = [effective_kernel(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        sides, extra = tuple(n // 2 for n in spare), tuple(n % 2 for n in spare)
    if min(*kernel, *stride, *dilation) < 1:
        return None  # torch rejects it
    ceil = row.get("ceil_mode") is True
    return Window(kernel, stride, sides, dilation, extra, match[1] == "conv_transpose", ceil)


def per_axis(value: object, axes: int) -> Shape:
    """Return one number for each axis; () if the value is no whole number, also of numpy, or tuple or list of them."""
    if isinstance(value, Integral):
        return (int(value),) * axes
    if not isinstance(value, tuple | list) or len(value) not in (1, axes):
        return ()
    return (tuple(map(int, value)) * axes)[:axes] if all(isinstance(n, Integral) for n in value) else ()


@dataclass(frozen=True)
class AxisWindow:
    """A window along one axis of a value: the axis, its size, the number of outputs, and the window's arguments."""

    axis: int
    size: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    padding: int

    @property
    def span(self) -> int:
        """The number of positions from the first to the last one that an output reads."""
        return effective_kernel(self.kernel, self.dilation)

    @property
    def read_share(self) -> Fraction:
        """The share of positions that some output reads at this stride, apart from the edges."""
        # a kernel of any size reads at most so many different positions modulo the stride
        different = self.stride // gcd(self.dilation, self.stride)
        return Fraction(min(self.kernel, different), self.stride)

    @cached_property
    def unread_tail(self) -> int:
        """The number of positions at the end after the last one that is read."""
        return self.size - 1 - max(map(self._last, self._last_candidates()))

    def _last_candidates(self) -> Iterable[int]:
        """Return kernel positions that include the one which reads last: the last one that every output reads, and one
        period of the stride after it."""
        span = self.size - 1 + self.padding - (self.outputs - 1) * self.stride
        inside = min(span // self.dilation, self.kernel - 1)  # the last that every output reads
        period = self.stride // gcd(self.dilation, self.stride)
        after = max(inside + 1, 0)
        return (max(inside, 0), *range(after, min(after + period, self.kernel)))

    def _last(self, offset: int) -> int:
        """Return the last position that the kernel's position `offset` lies on; -1 if it only meets padding."""
        start = offset * self.dilation - self.padding
        steps = min(self.outputs - 1, (self.size - 1 - start) // self.stride)
        return max(-1, start + steps * self.stride) if steps >= 0 else -1

    @cached_property
    def used_positions(self) -> int:
        """The number of kernel positions that ever lie on the input, and not on its padding."""
        if self.stride > self.size:  # a step may jump over the input
            return sum(self._last(offset) >= 0 for offset in range(self.kernel))
        first = -(-(self.padding - (self.outputs - 1) * self.stride) // self.dilation)
        last = (self.padding + self.size - 1) // self.dilation
        return max(0, min(last, self.kernel - 1) - max(first, 0) + 1)


def window_and_axes(row: Row) -> tuple[Window | None, tuple[int, ...]]:
    """Return the window of a convolution or pooling, and the axes that it moves along; (None, ()) for other rows."""
    window = window_of(row) if row.inputs and row.outputs else None
    if window is None or len(row.outputs[0].shape) != len(row.inputs[0].value.shape):
        return None, ()
    rank = len(row.outputs[0].shape)
    return window, tuple(range(rank - window.axes, rank))


def axis_windows(row: Row) -> tuple[AxisWindow, ...]:
    """Return the window for each axis; () for a transposed convolution, whose output is the larger side, and for other
    rows."""
    window, axes = window_and_axes(row)
    if window is None or window.transposed:
        return ()
    given, sizes = row.inputs[0].value.shape, row.outputs[0].shape
    arguments = zip(axes, window.kernel, window.stride, window.dilation, window.padding, strict=True)
    return tuple(AxisWindow(axis, given[axis], sizes[axis], k, s, d, p) for axis, k, s, d, p in arguments)


def stride_between(main: Shape, shortcut: Shape) -> int:
    """Return the stride of a 1×1 convolution from the shortcut's spatial size to the main path's; 0 if there is
    none."""
    if len(main) != len(shortcut) or len(main) < 3 or 0 in main[2:]:
        return 0
    stride = -(-shortcut[2] // main[2])
    fits = all(-(-before // stride) == after for before, after in zip(shortcut[2:], main[2:], strict=True) if stride)
    return stride if fits else 0
