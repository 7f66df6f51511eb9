"""`time` and `time_grid`: the measured time and memory of a target, with the ceilings of the device.

PreparedTiming → Measurement, Ceilings, predicted memory → Timing        batch sizes × dtypes → Grid
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.api.batch_capacity import largest_batch, refuse_out_of_memory, refuse_over_free_memory
from archscope.api.device_ceilings import device as ceilings_of
from archscope.api.device_ceilings import warn_unused_gpu
from archscope.api.given_inputs import GivenInputs
from archscope.api.keyword_checks import keyword_names, merge_inputs, unknown_keyword_error
from archscope.api.option_parsing import parse_option, parse_options
from archscope.api.rerun import with_request
from archscope.api.timing_setup import PreparedTiming, ShareProgress, TimingOptions, prepared_timing
from archscope.errors import ArchscopeError, ForwardError, Problem, Span, UsageError, clear_frames, did_you_mean
from archscope.profiling.grid import Grid
from archscope.profiling.measurement import Measurement
from archscope.profiling.predicted_memory import OPTIMIZERS, PredictedMemory, predict_memory
from archscope.profiling.timing import Footprint, Timing

if TYPE_CHECKING:
    from archscope.profiling.workload import Workload
    from archscope.report import Report

ShownOptions = tuple[tuple[str, object], ...]


def time(
    target: Any,
    *inputs: Any,
    variant: str | None = None,
    set: Mapping[str, Any] | None = None,
    input: Any = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    batch: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    **wanted: Any,
) -> Timing:
    """Return the time of a spec, a Python target or a live nn.Module on a device, in whole and for each row, with the
    least time that the device allows, and its memory.

    Options are those of `summarize`, and: seconds (5.0: the budget of all runs), rows (time each row), roofline
    (compare with the device's ceilings, which are measured if they are not cached), train (a step: forward, backward,
    optimizer), optimizer (`sgd`, `momentum`, `adam`, `adamw`), compile (torch.compile; then there are no rows),
    channels_last, threads, tf32 (on a GPU; None leaves torch's settings), seed, allow_python, progress (called with
    messages), ask (called with the share that is done). A live module is not changed. A KeyboardInterrupt ends the
    measurement, and the result so far is returned. Raises SpecError, UsageError, ForwardError.
    """
    how = _parse_timing_options(parse_options(wanted))
    set, batch = parse_option("set", set), parse_option("batch", batch)
    device, dtype, variant = (
        parse_option(name, value) for name, value in (("device", device), ("dtype", dtype), ("variant", variant))
    )
    given = GivenInputs(merge_inputs(inputs, input), args, kwargs, batch)
    options = {"set": set, "input": given.input, "args": args, "kwargs": kwargs, "batch": batch, "device": device}
    options |= {"dtype": dtype, "train": how.train, "seed": how.seed, "allow_python": how.allow_python}
    with prepared_timing(target, variant, set or {}, given, device, dtype, how) as ready:
        if device == "auto" and not ready.live:
            warn_unused_gpu(ready.device)
        return _time_prepared(replace(ready, report=with_request(ready.report, target, options)), how)


def time_grid(
    target: Any,
    *,
    batch: Sequence[int | None] = (None,),
    dtype: Sequence[str | None] = (None,),
    **options: Any,
) -> Grid:
    """Return the timings for every dtype at every batch size, without rows; after a KeyboardInterrupt, those so far.

    A combination that cannot run has its reason in the grid; if none can run, the first error is raised.
    """
    from archscope.render import grids, notebook_views

    dtype = [parse_option("dtype", kind) for kind in dtype]
    cells = [(size, kind) for kind in dtype for size in batch]
    if not cells:
        raise UsageError("there is no batch size, or no dtype, to time", "batch=(1, 8)")
    from archscope import targets

    for kind in dtype:
        targets.resolve_dtype(kind)  # an unknown one is refused before anything is measured
    ask: ShareProgress = options.pop("ask", lambda _: None)
    timings: list[Timing] = []
    refused: list[str] = []
    first: ArchscopeError | None = None
    for done, (size, kind) in enumerate(cells):
        own = {"rows": False, "fit": False, **options, "ask": _share_of_cell(ask, done, len(cells))}
        try:
            timings.append(time(target, batch=size, dtype=kind, **own))
        except KeyboardInterrupt:
            break
        except ArchscopeError as error:
            clear_frames(error)
            first = first or error
            refused.append(f"{kind or ''} batch {size}: {error}".strip())
        if timings and timings[-1].measurement.interrupted:
            break
    if not timings:
        raise first or KeyboardInterrupt
    return Grid(tuple(timings), len(cells), tuple(refused), notebook_views.sheet_views(grids.grid_sheet))


def _share_of_cell(ask: ShareProgress, done: int, of: int) -> ShareProgress:
    return lambda share: ask((done + share) / of)


def _parse_timing_options(options: Mapping[str, Any]) -> TimingOptions:
    """Return the options of a measurement. Raises KeywordError for an unknown option, UsageError for an invalid
    value.
    """
    unknown = [name for name in options if name not in TimingOptions.__dataclass_fields__]
    if unknown:
        raise unknown_keyword_error("time", unknown[0], [*keyword_names(time), *TimingOptions.__dataclass_fields__])
    parsed = TimingOptions(**options)
    if not isinstance(parsed.seconds, int | float) or not 0 < parsed.seconds < math.inf:
        raise UsageError(f"a budget of {parsed.seconds!r} seconds measures nothing", "seconds=5")
    most = 16 * (os.cpu_count() or 1)
    threads, optimizer = parsed.threads, parsed.optimizer
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= most):
        raise UsageError(f"{threads!r} threads on {os.cpu_count()} cores", f"from 1 to {most}")
    if optimizer is not None and optimizer not in OPTIMIZERS:
        suggestion = did_you_mean(str(optimizer), OPTIMIZERS) or ", ".join(OPTIMIZERS)
        raise UsageError(f"unknown optimizer {optimizer!r}", suggestion)
    if optimizer is not None and not parsed.train:
        raise UsageError("an optimizer steps in training only", "train=True")
    return parsed


# ------------------------------------------------------------ measured
def _time_prepared(prepared: PreparedTiming, how: TimingOptions) -> Timing:
    from archscope.profiling.machine_state import describe_machine
    from archscope.render import notebook_views, timings

    predicted = predict_memory(prepared.report.trace, optimizer=how.optimizer_name)
    if prepared.device == "meta":
        found = Measurement(
            describe_machine("meta"), notes=("nothing is computed on meta, so no time is known",)
        )
        return Timing(
            prepared.report, found, None, Footprint(predicted), (), notebook_views.sheet_views(timings.timing_sheet)
        )
    refuse_over_free_memory(predicted, prepared.device, prepared.report.target)
    ceilings = None
    if how.roofline:
        ceilings = ceilings_of(prepared.device, threads=how.threads, progress=how.progress)
    found, options, free = _measure_prepared(prepared, how)
    if prepared.report.trace.device != prepared.device:
        note = f"the model and its inputs lie on {prepared.report.trace.device}: what {prepared.device} does is timed"
        found = replace(found, notes=(*found.notes, note))
    if found.whole_run is None:
        raise KeyboardInterrupt
    footprint, interrupted = _make_footprint(prepared, predicted, found, free, how)
    found = replace(found, interrupted=found.interrupted or interrupted)
    return Timing(
        prepared.report, found, ceilings, footprint, options, notebook_views.sheet_views(timings.timing_sheet)
    )


def _measure_prepared(prepared: PreparedTiming, how: TimingOptions) -> tuple[Measurement, ShownOptions, int | None]:
    """Return the measurement, the options to be shown, and the bytes that were free beside the allocated ones. Raises
    ForwardError if the module fails.
    """
    from archscope import targets
    from archscope.profiling.benchmark import measure_workload, prepared_workload
    from archscope.profiling.workload import StepError, time_first_call

    workload, options = _make_workload(prepared, how)
    tally = prepared.row_map if how.rows and not how.compile else None
    try:
        with prepared_workload(workload, live=prepared.live):
            compile_seconds = time_first_call(workload) if how.compile else None
            found = measure_workload(
                workload, tally, len(prepared.report.rows), seconds=how.seconds, on_round=how.ask
            )
            free = targets.free_bytes(prepared.device)
    except (StepError, RuntimeError) as failure:
        cause = failure.__cause__ or failure
        failure.__cause__ = None
        refuse_out_of_memory(cause, prepared.device, f"{prepared.report.target}, while it was timed")
        raise _timing_error(cause, prepared.report) from cause
    return replace(found, compile_seconds=compile_seconds), options, free


def _timing_error(error: BaseException, report: Report) -> ForwardError:
    message, kind = " ".join(str(error).split())[:200], type(error).__name__
    fix = 'optimizer="sgd"' if "sparse gradients" in message else ""
    return ForwardError(Problem(Span(report.target, 0, 0), f"while it was timed: {kind}: {message}", fix), report)


def _make_workload(prepared: PreparedTiming, how: TimingOptions) -> tuple[Workload, ShownOptions]:
    """Return the workload that is measured, and the options to be shown."""
    from archscope.profiling.machine_state import describe_machine
    from archscope.profiling.workload import Workload, calls_in_turn, compile_module, make_optimizer, to_channels_last
    from archscope.record import DIFFERENTIATES_NOTE, NEEDS_GRADIENTS_NOTE

    module, call = prepared.module, prepared.call
    if how.channels_last:
        module, call = to_channels_last(module, call)
    optimizer = make_optimizer(how.optimizer_name, module) if how.train else None
    calls = calls_in_turn(call, describe_machine(prepared.device).cache)
    called = compile_module(module) if how.compile else module
    options: dict[str, object] = {"compile": how.compile, "channels_last": how.channels_last}
    options |= {"optimizer": how.optimizer_name if optimizer is not None else None} if how.train else {}
    grad = not {DIFFERENTIATES_NOTE, NEEDS_GRADIENTS_NOTE}.isdisjoint(prepared.report.trace.notes)
    workload = Workload(called, module, calls, prepared.device, how.train, optimizer, grad)
    return workload, tuple(options.items())


def _make_footprint(
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
