"""The positions that a window reads: a row of a convolution or pooling → one ReceptiveWindow per spatial axis.

A ReceptiveWindow computes the positions read and left out, and the kernel positions that ever lie on the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd

from archscope.ops.windows import Window, window_of
from archscope.trace import Row


@dataclass(frozen=True)
class ReceptiveWindow:
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
        return (self.kernel - 1) * self.dilation + 1

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


def receptive_windows(row: Row) -> tuple[ReceptiveWindow, ...]:
    """Return the window for each axis; () for a transposed convolution, whose output is the larger side, and for other
    rows."""
    window, axes = window_and_axes(row)
    if window is None or window.transposed:
        return ()
    given, sizes = row.inputs[0].value.shape, row.outputs[0].shape
    arguments = zip(axes, window.kernel, window.stride, window.dilation, window.padding, strict=True)
    return tuple(ReceptiveWindow(axis, given[axis], sizes[axis], k, s, d, p) for axis, k, s, d, p in arguments)
