"""A module that is ready to be timed → Measurement, Ceilings, predicted memory → Timing."""

from __future__ import annotations

from dataclasses import replace

from archscope import targets
from archscope.analysis.batch_capacity import largest_batch, refuse_over_free_memory
from archscope.analysis.device_ceilings import device_ceilings
from archscope.analysis.out_of_memory import refuse_out_of_memory
from archscope.analysis.prepared_timing import PreparedTiming
from archscope.analysis.timing_options import TimingOptions
from archscope.errors import ForwardError, Problem, Span
from archscope.profiling.benchmark import measure_workload, prepared_workload
from archscope.profiling.machine_state import describe_machine
from archscope.profiling.measurement import Measurement
from archscope.profiling.predicted_memory import PredictedMemory, predict_memory
from archscope.profiling.timing import Footprint, Timing
from archscope.profiling.workload import (
    StepError,
    Workload,
    calls_in_turn,
    compile_module,
    make_optimizer,
    time_first_call,
    to_channels_last,
)
from archscope.record import DIFFERENTIATES_NOTE, NEEDS_GRADIENTS_NOTE
from archscope.render import notebook_views, timings
from archscope.report import Report

ShownOptions = tuple[tuple[str, object], ...]


def measure_timing(prepared: PreparedTiming, how: TimingOptions) -> Timing:
    """Return the time and memory of a module that is ready to be timed. Raises UsageError, ForwardError."""
    predicted = predict_memory(prepared.report.trace, optimizer=how.optimizer_name)
    if prepared.device == "meta":
        found = Measurement(describe_machine("meta"), notes=("nothing is computed on meta, so no time is known",))
        return Timing(
            prepared.report, found, None, Footprint(predicted), (), notebook_views.sheet_views(timings.timing_sheet)
        )
    refuse_over_free_memory(predicted, prepared.device, prepared.report.target)
    ceilings = None
    if how.roofline:
        ceilings = device_ceilings(prepared.device, threads=how.threads, progress=how.run.progress)
    found, options, free = measure_module(prepared, how)
    if prepared.report.trace.device != prepared.device:
        note = f"the model and its inputs lie on {prepared.report.trace.device}: what {prepared.device} does is timed"
        found = replace(found, notes=(*found.notes, note))
    if found.whole_run is None:
        raise KeyboardInterrupt
    footprint, interrupted = make_footprint(prepared, predicted, found, free, how)
    found = replace(found, interrupted=found.interrupted or interrupted)
    return Timing(
        prepared.report, found, ceilings, footprint, options, notebook_views.sheet_views(timings.timing_sheet)
    )


def measure_module(prepared: PreparedTiming, how: TimingOptions) -> tuple[Measurement, ShownOptions, int | None]:
    """Return the measurement, the options to be shown, and the bytes that were free beside the allocated ones. Raises
    ForwardError if the module fails.
    """
    workload, options = make_workload(prepared, how)
    tally = prepared.row_map if how.rows and not how.compile else None
    try:
        with prepared_workload(workload, live=prepared.live):
            compile_seconds = time_first_call(workload) if how.compile else None
            found = measure_workload(workload, tally, len(prepared.report.rows), seconds=how.seconds, on_round=how.ask)
            free = targets.free_bytes(prepared.device)
    except (StepError, RuntimeError) as failure:
        cause = failure.__cause__ or failure
        failure.__cause__ = None
        refuse_out_of_memory(cause, prepared.device, f"{prepared.report.target}, while it was timed")
        raise timing_error(cause, prepared.report) from cause
    return replace(found, compile_seconds=compile_seconds), options, free


def timing_error(error: BaseException, report: Report) -> ForwardError:
    message, kind = " ".join(str(error).split())[:200], type(error).__name__
    fix = 'optimizer="sgd"' if "sparse gradients" in message else ""
    return ForwardError(Problem(Span(report.target, 0, 0), f"while it was timed: {kind}: {message}", fix), report)


def make_workload(prepared: PreparedTiming, how: TimingOptions) -> tuple[Workload, ShownOptions]:
    """Return the workload that is measured, and the options to be shown."""
    module, call = prepared.module, prepared.call
    if how.channels_last:
        module, call = to_channels_last(module, call)
    optimizer = make_optimizer(how.optimizer_name, module) if how.run.train else None
    calls = calls_in_turn(call, describe_machine(prepared.device).cache)
    called = compile_module(module) if how.compile else module
    options: dict[str, object] = {"compile": how.compile, "channels_last": how.channels_last}
    options |= {"optimizer": how.optimizer_name if optimizer is not None else None} if how.run.train else {}
    grad = not {DIFFERENTIATES_NOTE, NEEDS_GRADIENTS_NOTE}.isdisjoint(prepared.report.trace.notes)
    workload = Workload(called, module, calls, prepared.device, how.run.train, optimizer, grad)
    return workload, tuple(options.items())


def make_footprint(
    prepared: PreparedTiming,
    predicted: PredictedMemory | None,
    found: Measurement,
    free: int | None,
    how: TimingOptions,
) -> tuple[Footprint, bool]:
    """Return the memory, and whether the search for the largest batch was interrupted. free: bytes beside the
    allocated ones.
    """
    measured = None if found.peak is None or found.held is None else found.peak + found.held
    batch = prepared.report.batch
    available = None if free is None or found.held is None else free + found.held
    known = Footprint(predicted, measured, available)
    usable = None if available is None else int(available * (1 - found.machine.traits.fragmentation_share))
    if found.interrupted or not how.fit or None in (prepared.predict, predicted, available, batch):
        return known, False
    try:
        largest = largest_batch(prepared.predict, predicted, batch, usable)  # type: ignore[arg-type]  # none is None
    except KeyboardInterrupt:
        return known, True
    return replace(known, largest_batch=largest), False
