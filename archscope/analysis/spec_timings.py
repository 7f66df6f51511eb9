"""A spec → Timing: it is recorded, built, and measured."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from archscope import compile as compiler
from archscope.analysis.batch_capacity import refuse_large_spec
from archscope.analysis.device_ceilings import warn_unused_gpu
from archscope.analysis.measured_timings import measure_timing
from archscope.analysis.prepared_timing import PreparedTiming, RowMapHolder, fused_kernels_device, timing_settings
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import Progress
from archscope.analysis.spec_plans import compile_library
from archscope.analysis.spec_runs import device_and_dtype, example_inputs, summarize_plan
from archscope.analysis.timing_options import TimingOptions
from archscope.compile import Plan
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.profiling.timing import Timing
from archscope.report import Report
from archscope.spec import Library


def time_spec(library: Library, target: str | os.PathLike[str], how: TimingOptions) -> Timing:
    """Return the time of a loaded spec. Raises SpecError, UsageError, ForwardError."""
    with timing_settings(how) as place:
        ready = prepare_spec(library, target, place, how)
        if how.run.device == "auto":
            warn_unused_gpu(ready.device)
        return measure_timing(replace(ready, report=with_request(ready.report, target, how.run)), how)


def prepare_spec(library: Library, target: str | os.PathLike[str], device: str, how: TimingOptions) -> PreparedTiming:
    """Return the built net with the report of a recorded run on this device."""

    def planned(batch: int | None) -> Plan:
        return compile_library(library, target, replace(how.run, batch=batch))

    def recorded(plan: Plan, place: str, progress: Progress | None = None, **extra: Any) -> Report:
        options = replace(how.run, device=place, seed=None, progress=progress)
        return summarize_plan(plan, options, track_memory=True, fused_like=fused_kernels_device(device), **extra)

    def on_meta(plan: Plan) -> PredictedMemory | None:
        return predict_memory(recorded(plan, "meta").trace, optimizer=how.optimizer_name)

    plan = planned(how.run.batch)
    place, kind = device_and_dtype(plan, device, how.run.dtype)
    if place != "meta":
        width = kind.itemsize if kind else 4
        refuse_large_spec(plan, place, width, train=how.run.train, predict=lambda: on_meta(plan))
    holder = RowMapHolder()
    report = recorded(plan, device, how.run.progress, extra_context=holder.attach)
    module = compiler.build(plan, device=place, dtype=kind).train(how.run.train)
    call = tuple(example_inputs(plan, place, kind).values()), dict[str, Any]()
    predict = None if how.run.input is not None else lambda batch: on_meta(planned(batch))
    return PreparedTiming(module, call, report, place, row_map=holder.row_map, predict=predict)
