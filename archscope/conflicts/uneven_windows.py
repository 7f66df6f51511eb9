"""Windows whose output size differs from input size / stride, and crops that do not correct what they add.

the steps of one side of a conflict ─→ UnevenWindows, without those whose surplus a later crop removes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archscope.conflicts.axis_history import AxisChange
from archscope.ops.windows import window_of

CROP_OPS = ("getitem", "narrow")
"""Functions that cut a piece out of an axis."""


@dataclass(frozen=True)
class UnevenWindow:
    """A window with the sizes before and after it, and its stride, on the first uneven axis.

    crop: a later step that removes another number than it adds, or None.
    """

    change: AxisChange
    before: int
    after: int
    stride: int
    crop: AxisChange | None = None

    @property
    def rounds(self) -> bool:
        """True if the stride does not divide the size, and the output is one of the two numbers next to the ratio."""
        return bool(self.before % self.stride) and abs(self.after * self.stride - self.before) < self.stride

    @property
    def surplus(self) -> int:
        """The number of positions that a window of stride 1 adds; 0 for others."""
        return self.after - self.before if self.stride == 1 else 0

    @property
    def cut(self) -> int:
        """The number of positions that the crop after it removes; 0 without a crop."""
        return -size_difference(self.crop) if self.crop is not None else 0


def first_uneven_window(side: Sequence[AxisChange]) -> UnevenWindow | None:
    """Return the first window of a side that rounds; else the first uneven one."""
    found = [
        window
        for number, change in enumerate(side)
        for window in find_uneven_windows(change, side[number + 1 : number + 2])
    ]
    left = [window for window in found if not window.surplus or window.cut != window.surplus]
    return next((window for window in left if window.before % window.stride), left[0] if left else None)


def find_uneven_windows(change: AxisChange, behind: Sequence[AxisChange]) -> list[UnevenWindow]:
    """Return the step as UnevenWindow if it is one, else []. behind: the next step, if there is one."""
    window = window_of(change.row)
    for axis, before, after in change.axes if window is not None and not window.transposed else ():
        spatial = axis - len(change.shape) + window.axes if window is not None else -1
        if window is not None and spatial >= 0 and before is not None and after * window.stride[spatial] != before:
            crops = (step for step in behind if step.row.short_name in CROP_OPS and size_difference(step) < 0)
            return [UnevenWindow(change, before, after, window.stride[spatial], next(crops, None))]
    return []


def size_difference(change: AxisChange) -> int:
    """Return by how much a step lengthens the first axis in question."""
    return next((after - before for _, before, after in change.axes if before is not None), 0)
