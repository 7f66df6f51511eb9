"""Measurements of a module on a device: time of the whole step and of each row, and memory.

    Workload (module, calls in turn, optimizer) → prepared_workload ─ measure_workload ─→ Measurement
    device → describe_machine → Machine; measure_ceilings → Ceilings

machine     settings that times depend on, and the load of other processes
ceilings    the highest speeds of the device
workload    what is measured: a module, its calls, and one step of it
sampling    warm-up and interleaved rounds, until the median is certain or the time is spent
rows_cpu    on CPU: clocks around each function and around the autograd nodes of its backward pass
rows_cuda   on a GPU: the profiler's kernels, assigned to rows
cuda_graph  a step as one CUDA graph
memory      peak memory
benchmark   all measurements of one workload
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
