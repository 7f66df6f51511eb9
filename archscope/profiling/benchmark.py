"""All measurements of a workload: whole step, parts, rows, CUDA graph and memory.

prepared_workload ⊃ measure_workload: whole and rows in turn → peak → graph → the kernels' own times → Measurement
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import torch

from archscope.devices import Clock, backend_of, is_on, is_profiler_active
from archscope.gc_pause import gc_paused
from archscope.profiling.cuda_graph import capture_step
from archscope.profiling.machine_state import describe_machine, start_probe
from archscope.profiling.measurement import Measurement, Samples
from archscope.profiling.peak_memory import peak_bytes
from archscope.profiling.rows_cpu import CallRowMap, TimedRun, row_times, time_run
from archscope.profiling.rows_cuda import ProfiledRun, kernel_row_times, profile_runs
from archscope.profiling.sampling import CollectedSamples, OnRound, collect_samples
from archscope.profiling.workload import STEP_PARTS, Workload
from archscope.record import ModuleContents, walk_modules
from archscope.record.named_tensors import named_tensors
from archscope.record.state.objects import preserved_objects
from archscope.record.state.process import (
    has_training_flag,
    preserved_modes,
    preserved_settings,
    set_training_flags,
    set_training_mode,
)
from archscope.record.state.tensors import preserved_tensors
from archscope.user_warnings import attributed_warnings

CALLS_DIFFER = "rows have no time: the runs that were timed called other functions than the recorded one, or none"
NO_KERNELS = "rows have no time: the profiler saw no kernel (another is at work, or it needs a permission)"
COPY_SHARE = 0.25
"""The share of a GPU's free memory that copies of a live module's tensors may take."""
DROPPED_RUNS, PROFILED_RUNS = 2, 5
"""Numbers of runs under the profiler: the first ones are dropped; few suffice, since kernel times differ little."""


@contextmanager
def prepared_workload(workload: Workload, *, live: bool) -> Iterator[None]:
    """Inside, the module is in its mode, and gradients are on or off. Afterwards flags, settings, modes and random
    states are as before; of a live module also its parameters, gradients, buffers, inputs and attributes."""
    module, contents = workload.eager_module, walk_modules(workload.eager_module)
    parts = [part for _, part in contents.modules]
    flags = [(part, part.training) for part in parts if has_training_flag(part)]
    with ExitStack() as stack:
        stack.enter_context(gc_paused())
        stack.enter_context(preserved_settings())
        stack.enter_context(preserved_modes())
        stack.enter_context(backend_of(workload.device).as_current())
        stack.enter_context(torch.set_grad_enabled(workload.train or workload.grad))
        if live:
            stack.enter_context(preserved_live_module(workload, contents))
        try:
            if has_training_flag(module) and module.training != workload.train:
                set_training_mode(module, parts, train=workload.train)
            yield
        finally:
            workload.drop_gradients()
            set_training_flags(flags)


@contextmanager
def preserved_live_module(workload: Workload, contents: ModuleContents) -> Iterator[None]:
    """Inside, no tensor has a gradient; afterwards everything that the steps of a live module change is as before.
    All of it is copied first, since no mode observes the steps."""
    parts = [part for _, part in contents.modules]
    inputs = [tree for args, kwargs in workload.calls[:1] for tree in (*args, *kwargs.values())]
    with preserved_objects(parts, inputs) as objects:
        extra_modules = [part for layer in objects.extra_modules for part in layer.modules()]
        objects.take_snapshots(*parts, *extra_modules)
        tensors = [
            *(tensor for _, tensor in (*contents.parameters, *contents.buffers)),
            *(tensor for part in extra_modules for tensor in (*part.parameters(), *part.buffers())),
            *(tensor for tree in inputs for _, tensor in named_tensors(tree)),
            *objects.tensors,
        ]
        distinct = list({id(tensor): tensor for tensor in tensors}.values())
        with preserved_tensors(distinct, aside=backup_device(distinct, workload.device)):
            for tensor in tensors:
                if tensor.is_leaf and tensor.grad is not None:
                    tensor.grad = None
            yield


def backup_device(tensors: Sequence[torch.Tensor], device: str) -> str | None:
    """Return the device for copies of tensors: the CPU if they would take much of a GPU's free memory, else None."""
    backend = backend_of(device)
    free = backend.free_bytes() if backend.traits.is_async else None
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors if is_on(tensor, device))
    return "cpu" if free is not None and size > COPY_SHARE * free else None


@dataclass
class BenchmarkSession:
    """The state of one measurement: what its cases collect beside their seconds."""

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
        workload, turn = self.workload, next(self.turn_numbers)
        workload.drop_gradients()
        backward = workload.backward if workload.train else None
        self.timed_runs.append(time_run(lambda: workload.forward(turn, module=workload.eager_module), backward))

    def parts(self, warm: int) -> tuple[tuple[str, Samples], ...]:
        """Return samples of the parts of each step after the warm-up; steps that were interrupted do not count."""
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
    workload: Workload, call_rows: CallRowMap | None, rows: int, *, seconds: float, on_round: OnRound
) -> Measurement:
    """Measure everything of a workload, inside `prepared_workload`.

    call_rows: of the recorded run, which had `rows` rows; None if rows are not timed. A KeyboardInterrupt ends the
    measurement with what is known so far; other exceptions of the model are raised.
    """
    backend = backend_of(workload.device)
    on_host, session = not backend.traits.is_async, BenchmarkSession(workload, backend.clock())
    cases: dict[str, Callable[[], object]] = {"whole": session.run_whole}
    if call_rows is not None and on_host:
        cases["rows"] = session.run_rows
    probe = start_probe(workload.device)
    collected = collect_samples(cases, session.clock, seconds=seconds, on_round=on_round)
    found = Measurement(
        describe_machine(workload.device),
        whole_run=collected.samples("whole"),
        parts=session.parts(collected.warmup_runs.get("whole", 0)),
        load=probe.load_since(),
        inputs=len(workload.calls),
        interrupted=collected.interrupted,
    )
    try:
        if call_rows is not None and on_host:
            found = with_rows(found, session, collected, call_rows, rows, on_host=on_host)
        if not collected.interrupted:
            found = replace(found, peak=step_peak(workload), held=workload.held_bytes)
            found = with_graph(found, workload, session.clock, seconds=seconds / 4)
        # last, since the profiler's library stays loaded and slows down every launch
        if call_rows is not None and not on_host:
            found = with_rows(found, session, collected, call_rows, rows, on_host=on_host)
    except KeyboardInterrupt:
        return replace(found, interrupted=True)
    return found


def with_rows(
    found: Measurement,
    session: BenchmarkSession,
    collected: CollectedSamples,
    call_rows: CallRowMap,
    rows: int,
    *,
    on_host: bool,
) -> Measurement:
    """Return the measurement with the time of each row, or with a note that says why there is none."""
    workload = session.workload
    if on_host:
        timed_runs: Sequence[TimedRun] = session.timed_runs[collected.warmup_runs.get("rows", 0) :]
        times = row_times(timed_runs, call_rows, rows, backward=workload.train)
        measured, reason = bool(timed_runs), CALLS_DIFFER
    else:
        runs = [] if collected.interrupted or is_profiler_active() else profile_workload(workload)
        times = kernel_row_times(runs, call_rows, rows, backward=workload.train)
        reason = CALLS_DIFFER if any(kernels.forward for _, kernels in runs) else NO_KERNELS
        measured = not collected.interrupted
    return replace(found, rows=times, notes=(*found.notes, *([reason] if measured and times is None else [])))


def profile_workload(workload: Workload) -> list[ProfiledRun]:
    """Return profiled runs of one profiler session, without the first ones, in which the GPU's clock still rises."""
    backward, backend = workload.backward if workload.train else None, backend_of(workload.device)

    def forward() -> Any:
        return workload.forward(module=workload.eager_module)

    return profile_runs(forward, backward, backend, before=workload.drop_gradients, times=DROPPED_RUNS + PROFILED_RUNS)[
        DROPPED_RUNS:
    ]


def with_graph(found: Measurement, workload: Workload, clock: Clock, *, seconds: float) -> Measurement:
    """Return the measurement with the time of the step as one graph, or with the reason why there is none."""
    replay, refused = capture_step(workload)
    if replay is None:
        return replace(found, no_graph_reason=refused)
    collected = collect_samples({"graph": replay}, clock, seconds=seconds)
    return replace(found, graph_replays=collected.samples("graph"), interrupted=collected.interrupted)


def step_peak(workload: Workload) -> int | None:
    """Return the peak bytes of one step above what was allocated before it."""
    workload.drop_gradients()
    return peak_bytes(workload.step, workload.device)
