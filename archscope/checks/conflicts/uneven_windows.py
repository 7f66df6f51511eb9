"""Windows that give another size than their stride alone would, and crops that do not take back what they add.

the steps of one side of a conflict ─→ UnevenWindow steps, without those whose surplus a crop behind them takes back
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archscope.checks.conflicts.axis_history import AxisChange
from archscope.report.windows import window_of

CROP_OPS = ("getitem", "narrow")
"""Functions that cut a piece out of an axis."""


@dataclass(frozen=True)
class UnevenWindow:
    """A window's step: the sizes before and after it, and its stride, on the first axis where its stride alone would
    give another one. crop: a step behind it that takes back another number than it adds, or None."""

    change: AxisChange
    before: int
    after: int
    stride: int
    crop: AxisChange | None = None

    @property
    def rounds(self) -> bool:
        """Whether the stride does not divide the size, and the step gives one of the two numbers next to the ratio."""
        return bool(self.before % self.stride) and abs(self.after * self.stride - self.before) < self.stride

    @property
    def surplus(self) -> int:
        """How much a step of stride 1 adds; 0 for others."""
        return self.after - self.before if self.stride == 1 else 0

    @property
    def cut(self) -> int:
        """How much the crop behind it takes away; 0 where there is none."""
        return -size_difference(self.crop) if self.crop is not None else 0


def first_uneven_window(side: Sequence[AxisChange]) -> UnevenWindow | None:
    """Of one side the first window that rounds; else the first that gives another size than its stride alone would."""
    found = [
        one for number, change in enumerate(side) for one in find_uneven_windows(change, side[number + 1 : number + 2])
    ]
    left = [one for one in found if not one.surplus or one.cut != one.surplus]
    return next((one for one in left if one.before % one.stride), left[0] if left else None)


def find_uneven_windows(change: AxisChange, behind: Sequence[AxisChange]) -> list[UnevenWindow]:
    """The step, if its stride alone would give another size on an axis. behind: the next step, if there is one."""
    window = window_of(change.row)
    for axis, before, after in change.axes if window is not None and not window.transposed else ():
        spatial = axis - len(change.shape) + window.axes if window is not None else -1
        if window is not None and spatial >= 0 and before is not None and after * window.stride[spatial] != before:
            crops = (step for step in behind if step.row.short_name in CROP_OPS and size_difference(step) < 0)
            return [UnevenWindow(change, before, after, window.stride[spatial], next(crops, None))]
    return []


def size_difference(change: AxisChange) -> int:
    """By how much a step makes the first axis in question longer."""
    return next((after - before for _, before, after in change.axes if before is not None), 0)
