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

from archscope.measure.benchmark import measure_workload, prepared_workload
from archscope.measure.machine import describe_machine, start_probe, with_settings
from archscope.measure.rows_cpu import CallRowMap
from archscope.measure.workload import (
    StepError,
    Workload,
    calls_in_turn,
    compile_module,
    make_optimizer,
    time_first_call,
    to_channels_last,
)

__all__ = [
    "CallRowMap",
    "StepError",
    "Workload",
    "calls_in_turn",
    "compile_module",
    "describe_machine",
    "make_optimizer",
    "measure_workload",
    "prepared_workload",
    "start_probe",
    "time_first_call",
    "to_channels_last",
    "with_settings",
]
