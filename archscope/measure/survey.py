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

from archscope.backends import Clock, backend_of, busy, is_on
from archscope.measure.graphs import captured
from archscope.measure.kernels import Profiled, kernel_row_times, profiled
from archscope.measure.machine import load, machine
from archscope.measure.memory import peak_of
from archscope.measure.rows import Lap, Tally, lapped, row_times
from archscope.measure.runs import Ask, Collected, collect
from archscope.measure.workload import PARTS, Workload
from archscope.measurement import Measurement, Samples
from archscope.record import Holding, walk
from archscope.record.belongings import kept_belongings
from archscope.record.originals import kept_tensors
from archscope.record.state import has_modes, kept_modes, kept_settings, resting, set_mode, turn
from archscope.record.trees import leaves
from archscope.warned import attributed

WENT_OTHERWISE = "rows have no time: the runs that were timed called other functions than the recorded one, or none"
NO_KERNELS = "rows have no time: the profiler saw no kernel (another is at work, or it needs a permission)"
ROOM = 0.25
"""The share of what a GPU has free that copies of a live module's tensors may take."""
DROPPED, PROFILED = 2, 5
"""Runs under the profiler, of which the first do not count: kernels' own times differ little."""


@contextmanager
def kept(workload: Workload, *, live: bool) -> Iterator[None]:
    """Inside, the module is in its mode and gradients are on or off. Flags, settings, modes and random states are as
    before afterwards; of a live module also its parameters, gradients, buffers, inputs and all that hangs on it."""
    module, holding = workload.plain, walk(workload.plain)
    parts = [part for _, part in holding.modules]
    flags = [(part, part.training) for part in parts if has_modes(part)]
    with ExitStack() as stack:
        stack.enter_context(resting())
        stack.enter_context(kept_settings())
        stack.enter_context(kept_modes())
        stack.enter_context(backend_of(workload.device).current())
        stack.enter_context(torch.set_grad_enabled(workload.train or workload.grad))
        if live:
            stack.enter_context(untouched(workload, holding))
        try:
            if has_modes(module) and module.training != workload.train:
                set_mode(module, parts, train=workload.train)
            yield
        finally:
            workload.forget()
            turn(flags)


@contextmanager
def untouched(workload: Workload, holding: Holding) -> Iterator[None]:
    """Whatever a live module's steps change is as before afterwards. All of it is copied first, since nobody looks on
    while they run; inside, nothing has a gradient yet."""
    parts = [part for _, part in holding.modules]
    given = [tree for args, kwargs in workload.calls[:1] for tree in (*args, *kwargs.values())]
    with kept_belongings(parts, given) as belongings:
        beside = [part for layer in belongings.layers for part in layer.modules()]
        belongings.keep(*parts, *beside)
        held = [
            *(tensor for _, tensor in (*holding.parameters, *holding.buffers)),
            *(tensor for part in beside for tensor in (*part.parameters(), *part.buffers())),
            *(tensor for tree in given for _, tensor in leaves(tree)),
            *belongings.tensors,
        ]
        distinct = list({id(tensor): tensor for tensor in held}.values())
        with kept_tensors(distinct, aside=aside(distinct, workload.device)):
            for tensor in held:
                if tensor.is_leaf and tensor.grad is not None:
                    tensor.grad = None
            yield


def aside(held: Sequence[torch.Tensor], device: str) -> str | None:
    """Where copies of tensors go: to the processor's memory, if they would take much of what a GPU has free."""
    backend = backend_of(device)
    free = backend.free_bytes() if backend.traits.queued else None
    size = sum(tensor.numel() * tensor.element_size() for tensor in held if is_on(tensor, device))
    return "cpu" if free is not None and size > ROOM * free else None


@dataclass
class Course:
    """One measurement on its way: what its cases leave behind beside their seconds."""

    workload: Workload
    clock: Clock
    turns: Iterator[int] = field(default_factory=count)
    marks: list[list[Any]] = field(default_factory=list)
    laps: list[Lap] = field(default_factory=list)

    def whole(self) -> None:
        if not self.workload.train:
            self.workload.forward(next(self.turns))
            return
        marks = [self.clock.mark()]
        self.workload.step(next(self.turns), mark=lambda: marks.append(self.clock.mark()))
        self.marks.append([*marks, self.clock.mark()])

    def lap(self) -> None:
        workload, this = self.workload, next(self.turns)
        workload.forget()
        backward = workload.backward if workload.train else None
        self.laps.append(lapped(lambda: workload.forward(this, module=workload.plain), backward))

    def parts(self, warm: int) -> tuple[tuple[str, Samples], ...]:
        """The parts of every step after the warm-up; of a step that was broken off, its marks may not be passed yet."""
        self.clock.wait()
        steps = [marks for marks in self.marks[warm:] if len(marks) == len(PARTS) + 1]
        between = self.clock.between
        return tuple(
            (name, Samples(tuple(between(marks[at], marks[at + 1]) for marks in steps)))
            for at, name in enumerate(PARTS)
            if steps and (name != "optimizer" or self.workload.optimizer is not None)
        )


@attributed()
def measured(workload: Workload, tally: Tally | None, rows: int, *, seconds: float, ask: Ask) -> Measurement:
    """Everything that can be measured of a workload that is `kept`.

    tally: of the recorded run, which had so many rows; None where rows are not timed. A KeyboardInterrupt ends it with
    what is known so far; whatever else the model raises goes on.
    """
    backend = backend_of(workload.device)
    host, course = not backend.traits.queued, Course(workload, backend.clock())
    cases: dict[str, Callable[[], object]] = {"whole": course.whole}
    if tally is not None and host:
        cases["rows"] = course.lap
    probe = load(workload.device)
    collected = collect(cases, course.clock, seconds=seconds, ask=ask)
    found = Measurement(
        machine(workload.device),
        whole=collected.samples("whole"),
        parts=course.parts(collected.warm.get("whole", 0)),
        load=probe.seen(),
        inputs=len(workload.calls),
        interrupted=collected.interrupted,
    )
    try:
        if tally is not None and host:
            found = with_rows(found, course, collected, tally, rows, host=host)
        if not collected.interrupted:
            found = replace(found, peak=peak(workload), held=workload.held)
            found = with_graph(found, workload, course.clock, seconds=seconds / 4)
        if tally is not None and not host:  # the profiler's library stays, and makes every launch slower
            found = with_rows(found, course, collected, tally, rows, host=host)
    except KeyboardInterrupt:
        return replace(found, interrupted=True)
    return found


def with_rows(
    found: Measurement, course: Course, collected: Collected, tally: Tally, rows: int, *, host: bool
) -> Measurement:
    """And the time of each row, or a note that says why there is none."""
    workload = course.workload
    if host:
        laps: Sequence[Lap] = course.laps[collected.warm.get("rows", 0) :]
        times, measured, why = row_times(laps, tally, rows, backward=workload.train), bool(laps), WENT_OTHERWISE
    else:
        runs = [] if collected.interrupted or busy() else under_profiler(workload)
        times = kernel_row_times(runs, tally, rows, backward=workload.train)
        why = WENT_OTHERWISE if any(seen.forward for _, seen in runs) else NO_KERNELS
        measured = not collected.interrupted
    return replace(found, rows=times, notes=(*found.notes, *([why] if measured and times is None else [])))


def under_profiler(workload: Workload) -> list[Profiled]:
    """Runs in one session, without the first ones, in which the GPU's clock rises."""
    backward, backend = workload.backward if workload.train else None, backend_of(workload.device)

    def forward() -> Any:
        return workload.forward(module=workload.plain)

    return profiled(forward, backward, backend, before=workload.forget, times=DROPPED + PROFILED)[DROPPED:]


def with_graph(found: Measurement, workload: Workload, clock: Clock, *, seconds: float) -> Measurement:
    """And the step as one graph."""
    replay, refused = captured(workload)
    if replay is None:
        return replace(found, no_graph=refused)
    collected = collect({"graph": replay}, clock, seconds=seconds)
    return replace(found, graph=collected.samples("graph"), interrupted=collected.interrupted)


def peak(workload: Workload) -> int | None:
    """Bytes above what is held, at the highest of one step."""
    workload.forget()
    return peak_of(workload.step, workload.device)
