"""A report with its measured times and memory, compared with what the device can do at most.

    Report + Measurement + Ceilings + Footprint → Timing: TimedRows (seconds, bound, least time), totals
    Timing.sum_rows → TimeSum of any rows          Grid: several Timings side by side

timing     data classes, rows and totals
fusion     the time that fusing norms and element-wise operations would save
document   the JSON document
grid       one target at several batch sizes and dtypes
"""

from archscope.timing.grid import Grid
from archscope.timing.timing import Footprint, TimedRow, TimeSum, Timing

__all__ = ["Footprint", "Grid", "TimeSum", "TimedRow", "Timing"]
