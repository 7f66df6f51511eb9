"""A Python target or a live module → Timing: it is recorded, and measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archscope import targets
from archscope.analysis.device_ceilings import warn_unused_gpu
from archscope.analysis.measured_timings import measure_timing
from archscope.analysis.module_runs import PreparedCall, prepare_target, summarize_call
from archscope.analysis.prepared_timing import PreparedTiming, RowMapHolder, fused_kernels_device, timing_settings
from archscope.analysis.report_requests import with_request
from archscope.analysis.timing_options import TimingOptions
from archscope.errors import ForwardError, Problem, Span, UsageError
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.profiling.timing import Timing
from archscope.report import Report


def time_module(target: Any, how: TimingOptions) -> Timing:
    """Return the time of a Python target or a live module. Raises UsageError, ForwardError."""
    with timing_settings(how), targets.target_import_path(target):
        ready = prepare_module(target, how)
        if how.run.device == "auto" and not ready.live:
            warn_unused_gpu(ready.device)
        return measure_timing(replace(ready, report=with_request(ready.report, target, how.run)), how)


def prepare_module(target: Any, how: TimingOptions) -> PreparedTiming:
    """Return the module with the report of a recorded run."""
    call = prepare_target(target, how.run)
    target_module, given = call.target_module, call.given
    place = target_module.main_device
    if target_module.live and how.channels_last:
        raise UsageError("a live module is measured as it is", "model.to(memory_format=torch.channels_last) first")
    holder = RowMapHolder()

    def recorded(call: PreparedCall, **extra: Any) -> Report:
        train, fused_like = how.run.train, fused_kernels_device(place)
        return summarize_call(call, train=train, backward=train, track_memory=True, fused_like=fused_like, **extra)

    def on_meta(batch: int) -> PredictedMemory | None:
        there = prepare_target(target, replace(how.run, batch=batch, device="meta"))
        return predict_memory(recorded(there).trace, optimizer=how.optimizer_name)

    report = recorded(call, extra_context=holder.attach)
    if report.trace.mismatches:  # such a model does not run
        finding = next(finding for finding in report.findings if finding.level == "error")
        where = finding.place or Span(report.target, 0, 0)
        raise ForwardError(Problem(where, finding.message, "archscope check shows where the shapes differ"), report)
    predict = None if target_module.live or given.input is None or given.has_call_arguments else on_meta
    arguments = call.args, call.kwargs
    return PreparedTiming(call.module, arguments, report, place, target_module.live, holder.row_map, predict)
