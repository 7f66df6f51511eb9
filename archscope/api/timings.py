"""Timings: a target → its recorded run → the module as it is called in use → measured → Timing.

spec: plan → report (driven, with a Tally beside it) → built module      Python: subject → report → the same module
report + Measurement + Ceilings + predicted memory → Timing        batch sizes × dtypes → Grid
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.api.devices import device as ceilings_of
from archscope.api.runs import Given, Progress, examples, room_for, subject_of, summarize_plan, summarize_subject
from archscope.api.specs import plan_of, split
from archscope.errors import ArchscopeError, ForwardError, Problem, Span, UsageError
from archscope.liveness import Memory, largest_batch, memory_of
from archscope.measurement import Measurement
from archscope.timing import Footprint, Grid, Timing

if TYPE_CHECKING:
    from archscope.measure import Tally, Workload
    from archscope.report import Report

Ask = Callable[[float], object]


@dataclass(frozen=True)
class Wanted:
    """How a target is to be measured. seconds: the budget of all runs together. rows: each row's time as well."""

    train: bool = False
    optimizer: str = "adamw"
    seconds: float = 5.0
    compile: bool = False
    channels_last: bool = False
    threads: int | None = None
    tf32: bool | None = None
    rows: bool = True
    roofline: bool = True
    seed: int | None = None
    allow_python: bool = False
    progress: Progress | None = None
    ask: Ask = lambda _: None


@dataclass(frozen=True)
class Prepared:
    """A module and a call of it, with the report of a recorded run; another: the report at another batch size, if one
    can be made."""

    module: Any
    call: tuple[tuple[Any, ...], Mapping[str, Any]]
    report: Report
    device: str
    live: bool = False
    tally: Tally | None = None
    another: Callable[[int], Report] | None = None


def time(
    target: Any,
    *,
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
    """How long a spec, a Python target or a live nn.Module takes on a device, as a whole and row by row, beside the
    least that the device allows; and how much memory it needs.

    Options are those of `summarize`, and: seconds (5.0: the budget of all runs), rows (each row's time), roofline (held
    against the device's ceilings, which are measured once if they never were), train (a step: forward, backward,
    optimizer), optimizer (`sgd`, `momentum`, `adam`, `adamw`), compile (torch.compile: then there are no rows),
    channels_last, threads, tf32 (on a GPU; None leaves torch's settings), seed, allow_python, progress (told in words),
    ask (told the share that is done). A live module stays as it is. A KeyboardInterrupt ends it, with what is measured
    so far. Raises SpecError, UsageError, ForwardError.
    """
    how = _wanted(wanted)
    given = Given(input, args, kwargs, batch)
    with _prepared(target, variant, set or {}, given, device, dtype, how) as prepared:
        return _timing(prepared, how)


def time_grid(
    target: Any,
    *,
    batch: Sequence[int | None] = (None,),
    dtype: Sequence[str | None] = (None,),
    **options: Any,
) -> Grid:
    """`time` for every dtype at every batch size, without rows; what was measured so far after a KeyboardInterrupt."""
    from archscope.render import grids, views

    cells = [(size, kind) for kind in dtype for size in batch]
    if not cells:
        raise UsageError("there is no batch size, or no dtype, to time", "batch=(1, 8)")
    ask: Ask = options.pop("ask", lambda _: None)
    timings: list[Timing] = []
    for done, (size, kind) in enumerate(cells):
        try:
            own = {"rows": False, **options, "ask": _part(ask, done, len(cells))}
            timings.append(time(target, batch=size, dtype=kind, **own))
        except KeyboardInterrupt:
            break
        if timings[-1].measurement.interrupted:
            break
    if not timings:
        raise KeyboardInterrupt
    return Grid(tuple(timings), len(cells), views.shown_as(grids.sheet))


def _part(ask: Ask, done: int, of: int) -> Ask:
    return lambda share: ask((done + share) / of)


def _wanted(options: Mapping[str, Any]) -> Wanted:
    """Raises TypeError for an option that there is none of, UsageError for one that makes no sense."""
    unknown = [name for name in options if name not in Wanted.__dataclass_fields__]
    if unknown:
        raise TypeError(f"time() got an unexpected keyword argument {unknown[0]!r}")
    wanted = Wanted(**options)
    if not wanted.seconds > 0:
        raise UsageError(f"a budget of {wanted.seconds} seconds measures nothing", "seconds=5")
    if wanted.threads is not None and wanted.threads < 1:
        raise UsageError(f"{wanted.threads} threads compute nothing", "threads=1")
    return wanted


# ------------------------------------------------------------ what is measured
@contextmanager
def _prepared(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    how: Wanted,
) -> Iterator[Prepared]:
    from archscope import targets
    from archscope.measure import refuse_unknown_optimizer, with_settings

    refuse_unknown_optimizer(how.optimizer)
    place = targets.device_of(device)
    with with_settings(place, threads=how.threads, tf32=how.tf32), targets.seeded(how.seed or 0):
        if split(target) is None:
            with targets.surroundings(target):
                yield _of_module(target, arguments, given, device, dtype, how)
        else:
            if given.by_call:
                raise UsageError("a spec's inputs are shapes, not args or kwargs", "input=(1, 3, 224, 224)")
            yield _of_spec(target, variant, arguments, given, place, dtype, how)


def _of_spec(
    target: Any,
    variant: str | None,
    arguments: Mapping[str, Any],
    given: Given,
    device: str,
    dtype: str | None,
    how: Wanted,
) -> Prepared:
    from archscope import compile as workshop

    def planned(batch: int | None) -> Any:
        return plan_of(
            target,
            variant=variant,
            set=arguments,
            input=given.input,
            batch=batch,
            train=how.train,
            allow_python=how.allow_python,
        )

    def recorded(plan: Any, **beside: Any) -> Report:
        return summarize_plan(
            plan, device=device, dtype=dtype, train=how.train, backward=how.train, lives=True, **beside
        )

    plan = planned(given.batch)
    place, kind = room_for(plan, device, dtype)
    watch = Watch()
    report = recorded(plan, beside=watch.over, tell=how.progress)
    module = workshop.build(plan, device=place, dtype=kind).train(how.train)
    call = tuple(examples(plan, place, kind).values()), dict[str, Any]()
    another = None if given.input is not None else lambda batch: recorded(planned(batch))
    return Prepared(module, call, report, place, tally=watch.tally, another=another)


def _of_module(
    target: Any, arguments: Mapping[str, Any], given: Given, device: str, dtype: str | None, how: Wanted
) -> Prepared:
    subject, args, kwargs = subject_of(target, arguments, given, device, dtype)
    if subject.live and how.channels_last:
        raise UsageError("a live module is measured as it is", "model.to(memory_format=torch.channels_last) first")
    watch = Watch()

    def recorded(args: Any, kwargs: Any, **beside: Any) -> Report:
        own = {"train": how.train, "backward": how.train, "lives": True, **beside}
        return summarize_subject(subject, args, kwargs, given, **own)

    def at(batch: int) -> Report:
        return recorded(*subject_of(subject.module, {}, replace(given, batch=batch), "auto", None)[1:])

    report = recorded(args, kwargs, beside=watch.over)
    _refuse_misfits(report)
    another = at if given.input is not None and not given.by_call else None
    return Prepared(subject.module, (args, kwargs), report, subject.door.device, subject.live, watch.tally, another)


class Watch:
    """Keeps the Tally of the last recorded run."""

    def __init__(self) -> None:
        self.tally: Tally | None = None

    def over(self, recorder: Any) -> Tally:
        from archscope.measure import Tally

        self.tally = Tally(recorder)
        return self.tally


def _refuse_misfits(report: Report) -> None:
    """Raises ForwardError where operands do not fit: such a model does not run."""
    if report.trace.mismatches:
        finding = next(finding for finding in report.findings if finding.level == "error")
        where = finding.place or Span(report.target, 0, 0)
        raise ForwardError(Problem(where, finding.message, "archscope check shows where the shapes part"), report)


# ------------------------------------------------------------ measured
def _timing(prepared: Prepared, how: Wanted) -> Timing:
    from archscope import measure
    from archscope.render import timings, views

    optimizer = how.optimizer if how.train else ""
    predicted = memory_of(prepared.report.trace, optimizer=optimizer)
    if prepared.device == "meta":
        found = Measurement(measure.machine("meta"), notes=("nothing is computed on meta, so no time is known",))
        return Timing(prepared.report, found, None, Footprint(predicted), (), views.shown_as(timings.sheet))
    _refuse_too_big(prepared, predicted)
    workload, options = _workload(prepared, how)
    ceilings = None
    if how.roofline:
        ceilings = ceilings_of(prepared.device, threads=how.threads, progress=how.progress)
    found = _measured(prepared, how, workload)
    if found.whole is None:
        raise KeyboardInterrupt
    footprint = _footprint(prepared, predicted, found, optimizer)
    return Timing(prepared.report, found, ceilings, footprint, options, views.shown_as(timings.sheet))


def _refuse_too_big(prepared: Prepared, predicted: Memory | None) -> None:
    """Raises UsageError where the prediction says that memory does not suffice; parameters and inputs are there."""
    from archscope import targets

    if predicted is not None:
        needed = predicted.peak - predicted.params - predicted.buffers - predicted.inputs
        targets.refuse_too_big(needed, prepared.device, f"{prepared.report.target}, beside its parameters,")


def _measured(prepared: Prepared, how: Wanted, workload: Workload) -> Measurement:
    """Raises ForwardError where the module fails, though its recorded run did not."""
    from archscope import measure

    tally = prepared.tally if how.rows and not how.compile else None
    try:
        with measure.kept(workload, live=prepared.live):
            compile_seconds = measure.first_call(workload) if how.compile else None
            found = measure.measured(workload, tally, len(prepared.report.rows), seconds=how.seconds, ask=how.ask)
    except measure.StepError as failure:
        raise _failed(failure.__cause__ or failure, prepared.report) from failure.__cause__
    return replace(found, compile_seconds=compile_seconds)


def _failed(error: BaseException, report: Report) -> ForwardError:
    said, kind = " ".join(str(error).split())[:200], type(error).__name__
    full = kind in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in said
    cure = "a smaller batch needs less memory" if full else ""
    return ForwardError(Problem(Span(report.target, 0, 0), f"while it was timed: {kind}: {said}", cure), report)


def _workload(prepared: Prepared, how: Wanted) -> tuple[Workload, tuple[tuple[str, object], ...]]:
    """What is measured, and the options to be shown."""
    from archscope import measure
    from archscope.record import DERIVES

    module, call = prepared.module, prepared.call
    if how.channels_last:
        module, call = measure.in_channels_last(module, call)
    optimizer = measure.optimizer_of(how.optimizer, module) if how.train else None
    calls = measure.turns(call, measure.machine(prepared.device).cache)
    called = measure.compiled(module) if how.compile else module
    options: dict[str, object] = {"compile": how.compile, "channels_last": how.channels_last}
    options |= {"optimizer": how.optimizer if optimizer is not None else None} if how.train else {}
    grad = DERIVES in prepared.report.trace.notes
    workload = measure.Workload(called, module, calls, prepared.device, how.train, optimizer, grad)
    return workload, tuple(options.items())


def _footprint(prepared: Prepared, predicted: Memory | None, found: Measurement, optimizer: str) -> Footprint:
    from archscope import targets

    measured = None if found.peak is None or found.held is None else found.peak + found.held
    free = targets.free_bytes(prepared.device)
    available = None if free is None or found.held is None else free + found.held
    known = predicted is not None and available is not None and not found.interrupted
    largest = _largest_batch(prepared, predicted, available, optimizer) if known else None  # type: ignore[arg-type]
    return Footprint(predicted, measured, available, largest)


def _largest_batch(prepared: Prepared, predicted: Memory, available: int, optimizer: str) -> int | None:
    """By the prediction at a second batch size; None where the target cannot run at another."""
    batch = prepared.report.batch
    if prepared.another is None or not batch:
        return None
    other = batch // 2 if batch >= 4 else 2 * batch
    try:
        second = memory_of(prepared.another(other).trace, optimizer=optimizer)
    except ArchscopeError:
        return None
    if second is None:
        return None
    small, large = sorted([(batch, predicted.peak), (other, second.peak)])
    return largest_batch(small, large, available)
