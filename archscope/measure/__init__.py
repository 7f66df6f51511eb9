"""The measuring room: a module on a device → how long it takes, as a whole and row by row, and how much memory.

    Workload (module, inputs that take turns, optimizer) ─ kept as in use ─→ collect → Measurement
    device → Machine → Ceilings

machine    settings that times depend on, and what others do meanwhile
ceilings   what the device can do at most
workload   what is measured, and what one step of it does
runs       warm-up and interleaved rounds, until the median is sure or the time is spent
rows       on CPU: clocks around every function, and around the kernels that derive it
kernels    on a GPU: the profiler's kernels, put down to rows
graphs     a step as one graph
memory     bytes at the highest
survey     all of it, for one workload
"""

from archscope.measure.machine import load, machine, with_settings
from archscope.measure.rows import Tally
from archscope.measure.survey import kept, measured
from archscope.measure.workload import (
    StepError,
    Workload,
    compiled,
    first_call,
    in_channels_last,
    optimizer_of,
    turns,
)

__all__ = [
    "StepError",
    "Tally",
    "Workload",
    "compiled",
    "first_call",
    "in_channels_last",
    "kept",
    "load",
    "machine",
    "measured",
    "optimizer_of",
    "turns",
    "with_settings",
]
