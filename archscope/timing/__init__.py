"""A report with what was measured of it, held against what the device can do.

    Report + Measurement + Ceilings + Memory → Timing: TimedRows (seconds, bound, least time), totals
    Timing + lines of the report → Spent, of any part        Grid: several Timings side by side

model      the nouns, rows and totals
fusion     what would go if norms and element-wise operations were fused
document   the JSON document
grid       one target at several batch sizes and dtypes
"""

from archscope.timing.grid import Grid
from archscope.timing.timing import Footprint, TimedRow, TimeSum, Timing

__all__ = ["Footprint", "Grid", "TimeSum", "TimedRow", "Timing"]
