"""A workload → its time as a whole, in parts and by rows, as a CUDA graph, and the memory that it needs.

kept ─ as it is called in use ⊃ collect: whole and rows in turn → peak → graph → kernels' own times → Measurement
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import torch

from archscope.backends import Clock, backend_of, is_on, is_profiler_active
from archscope.measure.cuda_graph import capture_step
from archscope.measure.machine import describe_machine, start_probe
from archscope.measure.memory import peak_bytes
from archscope.measure.rows_cpu import CallRowMap, TimedRun, row_times, time_run
from archscope.measure.rows_cuda import ProfiledRun, kernel_row_times, profile_runs
from archscope.measure.sampling import CollectedSamples, OnRound, collect_samples
from archscope.measure.workload import STEP_PARTS, Workload
from archscope.measurement import Measurement, Samples
from archscope.record import ModuleContents, walk_modules
from archscope.record.named_tensors import named_tensors
from archscope.record.object_state import preserved_objects
from archscope.record.preserved_state import (
    gc_paused,
    has_training_flag,
    preserved_modes,
    preserved_settings,
    set_training_flags,
    set_training_mode,
)
from archscope.record.tensor_backup import preserved_tensors
from archscope.user_warnings import attributed_warnings

CALLS_DIFFER = "rows have no time: the runs that were timed called other functions than the recorded one, or none"
NO_KERNELS = "rows have no time: the profiler saw no kernel (another is at work, or it needs a permission)"
COPY_SHARE = 0.25
"""The share of what a GPU has free that copies of a live module's tensors may take."""
DROPPED_RUNS, PROFILED_RUNS = 2, 5
"""Runs under the profiler, of which the first do not count: kernels' own times differ little."""


@contextmanager
def prepared_workload(workload: Workload, *, live: bool) -> Iterator[None]:
    """Inside, the module is in its mode and gradients are on or off. Flags, settings, modes and random states are as
    before afterwards; of a live module also its parameters, gradients, buffers, inputs and all that hangs on it."""
    module, holding = workload.eager_module, walk_modules(workload.eager_module)
    parts = [part for _, part in holding.modules]
    flags = [(part, part.training) for part in parts if has_training_flag(part)]
    with ExitStack() as stack:
        stack.enter_context(gc_paused())
        stack.enter_context(preserved_settings())
        stack.enter_context(preserved_modes())
        stack.enter_context(backend_of(workload.device).as_current())
        stack.enter_context(torch.set_grad_enabled(workload.train or workload.grad))
        if live:
            stack.enter_context(preserved_live_module(workload, holding))
        try:
            if has_training_flag(module) and module.training != workload.train:
                set_training_mode(module, parts, train=workload.train)
            yield
        finally:
            workload.drop_gradients()
            set_training_flags(flags)


@contextmanager
def preserved_live_module(workload: Workload, holding: ModuleContents) -> Iterator[None]:
    """Whatever a live module's steps change is as before afterwards. All of it is copied first, since nobody looks on
    while they run; inside, nothing has a gradient yet."""
    parts = [part for _, part in holding.modules]
    given = [tree for args, kwargs in workload.calls[:1] for tree in (*args, *kwargs.values())]
    with preserved_objects(parts, given) as belongings:
        beside = [part for layer in belongings.extra_modules for part in layer.modules()]
        belongings.take_snapshots(*parts, *beside)
        held = [
            *(tensor for _, tensor in (*holding.parameters, *holding.buffers)),
            *(tensor for part in beside for tensor in (*part.parameters(), *part.buffers())),
            *(tensor for tree in given for _, tensor in named_tensors(tree)),
            *belongings.tensors,
        ]
        distinct = list({id(tensor): tensor for tensor in held}.values())
        with preserved_tensors(distinct, aside=backup_device(distinct, workload.device)):
            for tensor in held:
                if tensor.is_leaf and tensor.grad is not None:
                    tensor.grad = None
            yield


def backup_device(held: Sequence[torch.Tensor], device: str) -> str | None:
    """Where copies of tensors go: to the processor's memory, if they would take much of what a GPU has free."""
    backend = backend_of(device)
    free = backend.free_bytes() if backend.traits.is_async else None
    size = sum(tensor.numel() * tensor.element_size() for tensor in held if is_on(tensor, device))
    return "cpu" if free is not None and size > COPY_SHARE * free else None


@dataclass
class BenchmarkSession:
    """One measurement on its way: what its cases leave behind beside their seconds."""

    workload: Workload
    clock: Clock
    turn_numbers: Iterator[int] = field(default_factory=count)
    marks: list[list[Any]] = field(default_factory=list)
    timed_runs: list[TimedRun] = field(default_factory=list)

    def run_whole(self) -> None:
        if not self.workload.train:
            self.workload.forward(next(self.turn_numbers))
            return
        marks = [self.clock.mark()]
        self.workload.step(next(self.turn_numbers), mark=lambda: marks.append(self.clock.mark()))
        self.marks.append([*marks, self.clock.mark()])

    def run_rows(self) -> None:
        workload, this = self.workload, next(self.turn_numbers)
        workload.drop_gradients()
        backward = workload.backward if workload.train else None
        self.timed_runs.append(time_run(lambda: workload.forward(this, module=workload.eager_module), backward))

    def parts(self, warm: int) -> tuple[tuple[str, Samples], ...]:
        """The parts of every step after the warm-up; of a step that was broken off, its marks may not be passed yet."""
        self.clock.synchronize()
        steps = [marks for marks in self.marks[warm:] if len(marks) == len(STEP_PARTS) + 1]
        between = self.clock.seconds_between
        return tuple(
            (name, Samples(tuple(between(marks[at], marks[at + 1]) for marks in steps)))
            for at, name in enumerate(STEP_PARTS)
            if steps and (name != "optimizer" or self.workload.optimizer is not None)
        )


@attributed_warnings()
def measure_workload(
    workload: Workload, tally: CallRowMap | None, rows: int, *, seconds: float, ask: OnRound
) -> Measurement:
    """Everything that can be measured of a workload that is `kept`.

    tally: of the recorded run, which had so many rows; None where rows are not timed. A KeyboardInterrupt ends it with
    what is known so far; whatever else the model raises goes on.
    """
    backend = backend_of(workload.device)
    host, course = not backend.traits.is_async, BenchmarkSession(workload, backend.clock())
    cases: dict[str, Callable[[], object]] = {"whole": course.run_whole}
    if tally is not None and host:
        cases["rows"] = course.run_rows
    probe = start_probe(workload.device)
    collected = collect_samples(cases, course.clock, seconds=seconds, ask=ask)
    found = Measurement(
        describe_machine(workload.device),
        whole_run=collected.samples("whole"),
        parts=course.parts(collected.warmup_runs.get("whole", 0)),
        load=probe.load_since(),
        inputs=len(workload.calls),
        interrupted=collected.interrupted,
    )
    try:
        if tally is not None and host:
            found = with_rows(found, course, collected, tally, rows, host=host)
        if not collected.interrupted:
            found = replace(found, peak=step_peak(workload), held=workload.held_bytes)
            found = with_graph(found, workload, course.clock, seconds=seconds / 4)
        if tally is not None and not host:  # the profiler's library stays, and makes every launch slower
            found = with_rows(found, course, collected, tally, rows, host=host)
    except KeyboardInterrupt:
        return replace(found, interrupted=True)
    return found


def with_rows(
    found: Measurement,
    course: BenchmarkSession,
    collected: CollectedSamples,
    tally: CallRowMap,
    rows: int,
    *,
    host: bool,
) -> Measurement:
    """And the time of each row, or a note that says why there is none."""
    workload = course.workload
    if host:
        laps: Sequence[TimedRun] = course.timed_runs[collected.warmup_runs.get("rows", 0) :]
        times, measured, why = row_times(laps, tally, rows, backward=workload.train), bool(laps), CALLS_DIFFER
    else:
        runs = [] if collected.interrupted or is_profiler_active() else profile_workload(workload)
        times = kernel_row_times(runs, tally, rows, backward=workload.train)
        why = CALLS_DIFFER if any(seen.forward for _, seen in runs) else NO_KERNELS
        measured = not collected.interrupted
    return replace(found, rows=times, notes=(*found.notes, *([why] if measured and times is None else [])))


def profile_workload(workload: Workload) -> list[ProfiledRun]:
    """Runs in one session, without the first ones, in which the GPU's clock rises."""
    backward, backend = workload.backward if workload.train else None, backend_of(workload.device)

    def forward() -> Any:
        return workload.forward(module=workload.eager_module)

    return profile_runs(forward, backward, backend, before=workload.drop_gradients, times=DROPPED_RUNS + PROFILED_RUNS)[
        DROPPED_RUNS:
    ]


def with_graph(found: Measurement, workload: Workload, clock: Clock, *, seconds: float) -> Measurement:
    """And the step as one graph."""
    replay, refused = capture_step(workload)
    if replay is None:
        return replace(found, no_graph_reason=refused)
    collected = collect_samples({"graph": replay}, clock, seconds=seconds)
    return replace(found, graph_replays=collected.samples("graph"), interrupted=collected.interrupted)


def step_peak(workload: Workload) -> int | None:
    """Bytes above what is held, at the highest of one step."""
    workload.drop_gradients()
    return peak_bytes(workload.step, workload.device)
