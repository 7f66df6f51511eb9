"""Timings of sketched nets: times, ceilings and memory that nobody measured, so that every rendering is known."""

from __future__ import annotations

from dataclasses import replace
from math import fsum

from archscope.devices.cuda import CUDA_TRAITS
from archscope.machine import Machine, MachineLoad
from archscope.profiling.grid import Grid
from archscope.profiling.measurement import Measurement, RowTimes, Samples
from archscope.profiling.predicted_memory import PredictedMemory
from archscope.profiling.roofline import Ceilings
from archscope.profiling.timing import Footprint, Timing
from archscope.report import Report
from tests.sketches import awkward, residual_mnist, stages, trained

CPU = Machine(
    device="cpu",
    name="A Processor (R) with a Name",
    cores=4,
    memory=16 * 1024**3,
    cache=32 * 1024**2,
    driver="",
    versions=(("python", "3.12.1"), ("torch", "2.13.0")),
    settings=(("threads", 4),),
)
GPU = replace(
    CPU,
    device="cuda:0",
    name="A GPU",
    driver="550.54",
    versions=(*CPU.versions, ("cuda", "13.0"), ("cudnn", "91002")),
    settings=(("threads", 4), ("tf32", False), ("tf32_conv", True)),
    traits=CUDA_TRAITS,
)


def ceilings(machine: Machine = CPU) -> Ceilings:
    """100 GFLOP/s, 20 GB/s from caches and 10 from memory, a microsecond for a launch."""
    peaks = ("float32", 100e9), ("float32 (TF32)", 400e9), ("bfloat16", 800e9)
    return Ceilings(
        machine, peaks, ((1 << 20, 20e9), (1 << 28, 10e9)), 1e-6, "2026-01-01T00:00:00+00:00", MachineLoad(0.0, 0)
    )


def samples(median: float, *, spread: float = 0.02) -> Samples:
    """Eleven runs around a median."""
    return Samples(tuple(median * (1 + spread * step) for step in (0, -2, 1, 0, -1, 0, 2, 0, -1, 0, 1)))


def seconds(report: Report) -> tuple[float, ...]:
    """10 µs for the first row, 20 µs for the next …"""
    return tuple(10e-6 * (row.index + 1) for row in report.rows)


def timed(report: Report, **changes: object) -> Timing:
    """On a CPU, the rows sum to 90 % of the whole."""
    times = RowTimes(seconds(report), runs=6, method="clocks around each function")
    measurement = Measurement(
        CPU, whole_run=samples(times.known_seconds / 0.9), rows=times, inputs=3, load=MachineLoad(0.0)
    )
    footprint = Footprint(PredictedMemory(166_056, 0, 3136, 0, 0, 40, 250_000, 0, False), 260_000, 8 * 1024**3, 100_000)
    return replace(Timing(report, measurement, ceilings(), footprint), **changes)


def timed_mnist() -> Timing:
    return timed(residual_mnist())


def timed_stages() -> Timing:
    return timed(stages())


def timed_awkward() -> Timing:
    """With an operation that has no price, a row that nobody saw, runs that differ, other load, and a Ctrl-C."""
    timing = timed(awkward())
    own = timing.measurement
    assert own.rows is not None
    assert own.whole_run is not None
    rows = replace(own.rows, forward=(None, *own.rows.forward[1:]))
    noisy = samples(own.whole_run.median, spread=0.3)
    return replace(
        timing,
        measurement=replace(own, rows=rows, whole_run=noisy, load=MachineLoad(1.26), interrupted=True),
        memory=Footprint(),
    )


def timed_training() -> Timing:
    """A step on a GPU, with a graph."""
    report = trained()
    forward = seconds(report)
    backward = tuple(2 * one if index in report.backward_by_row else 0.0 for index, one in enumerate(forward))
    times = RowTimes(forward, backward, 5e-6, 5, "the kernels' own times")
    optimizer = 40e-6
    whole = (times.known_seconds + optimizer) / 0.95
    parts = tuple(
        (name, samples(part))
        for name, part in (("forward", fsum(forward)), ("backward", fsum(backward)), ("optimizer", optimizer))
    )
    measurement = Measurement(
        GPU, samples(whole), parts, times, samples(whole * 0.97), load=MachineLoad(None, 3 * 1024**3)
    )
    memory = Footprint(PredictedMemory(4096, 64, 1024, 4096, 8192, 20_480, 65_536, 1, True), 64_000, 80 * 1024**3, 12)
    options = ("compile", False), ("channels_last", True), ("optimizer", "adamw")
    return Timing(report, measurement, ceilings(GPU), memory, options)


def timed_compiled() -> Timing:
    """Compiled: the whole alone, without ceilings."""
    timing = timed_mnist()
    measurement = replace(timing.measurement, rows=None, compile_seconds=8.5)
    return replace(
        timing, measurement=measurement, ceilings=None, options=(("compile", True), ("channels_last", False))
    )


def timed_meta() -> Timing:
    """On meta: the memory of a step alone."""
    machine = replace(CPU, device="meta", name="meta")
    found = Measurement(machine, notes=("nothing is computed on meta, so no time is known",))
    return Timing(trained(), found, None, replace(timed_training().memory, measured=None, largest_batch=None))


def grid() -> Grid:
    """Two of four, the second of them noisy."""
    one = timed_mnist()
    rowless = replace(one, measurement=replace(one.measurement, rows=None))
    noisy = replace(rowless.measurement, whole_run=samples(2e-3, spread=0.4))
    return Grid((rowless, replace(rowless, measurement=noisy)), 4)
