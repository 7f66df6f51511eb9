"""What a window reads of its input: the row of a convolution or pooling → one ReceptiveWindow for each axis that it
moves along.

Window, sizes of input and output → ReceptiveWindow → positions read, positions left out, kernel positions that meet the
input
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd

from archscope.report.windows import Window, window_of
from archscope.trace import Row


@dataclass(frozen=True)
class ReceptiveWindow:
    """A window along one axis of a value: that axis, its size, the window's arguments, how many outputs it gives."""

    axis: int
    size: int
    outputs: int
    kernel: int
    stride: int
    dilation: int
    padding: int

    @property
    def span(self) -> int:
        """From the first to the last position that one output reads, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def read_share(self) -> Fraction:
        """The share of positions that the stride lets some output read, edges aside."""
        different = self.stride // gcd(self.dilation, self.stride)  # the places that any kernel could reach
        return Fraction(min(self.kernel, different), self.stride)

    @cached_property
    def unread_tail(self) -> int:
        """How many positions at the end come after the last one that is read."""
        return self.size - 1 - max(map(self._last, self._telling()))

    def _telling(self) -> Iterable[int]:
        """Positions of the kernel among which is the one that reads last: of those that every output reads, the last;
        of those after it, a round of the stride, which repeats."""
        room = self.size - 1 + self.padding - (self.outputs - 1) * self.stride
        inside = min(room // self.dilation, self.kernel - 1)  # the last that every output reads
        turn = self.stride // gcd(self.dilation, self.stride)
        after = max(inside + 1, 0)
        return (max(inside, 0), *range(after, min(after + turn, self.kernel)))

    def _last(self, offset: int) -> int:
        """The last position that the kernel's position `offset` lies on; -1 where it meets padding alone."""
        start = offset * self.dilation - self.padding
        steps = min(self.outputs - 1, (self.size - 1 - start) // self.stride)
        return max(-1, start + steps * self.stride) if steps >= 0 else -1

    @cached_property
    def used_positions(self) -> int:
        """How many of the kernel's positions ever lie on the input, and not on its padding."""
        if self.stride > self.size:  # a step may jump over the input
            return sum(self._last(offset) >= 0 for offset in range(self.kernel))
        first = -(-(self.padding - (self.outputs - 1) * self.stride) // self.dilation)
        last = (self.padding + self.size - 1) // self.dilation
        return max(0, min(last, self.kernel - 1) - max(first, 0) + 1)


def window_and_axes(row: Row) -> tuple[Window | None, tuple[int, ...]]:
    """The window of a convolution or pooling, and the axes that it moves along; None where a row has none."""
    window = window_of(row) if row.inputs and row.outputs else None
    if window is None or len(row.outputs[0].shape) != len(row.inputs[0].value.shape):
        return None, ()
    rank = len(row.outputs[0].shape)
    return window, tuple(range(rank - window.axes, rank))


def receptive_windows(row: Row) -> tuple[ReceptiveWindow, ...]:
    """The window axis by axis; () of a transposed convolution, whose output is the larger side, and of other rows."""
    window, axes = window_and_axes(row)
    if window is None or window.transposed:
        return ()
    given, sizes = row.inputs[0].value.shape, row.outputs[0].shape
    arguments = zip(axes, window.kernel, window.stride, window.dilation, window.padding, strict=True)
    return tuple(ReceptiveWindow(axis, given[axis], sizes[axis], k, s, d, p) for axis, k, s, d, p in arguments)
