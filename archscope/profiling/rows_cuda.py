"""The time of each row's kernels on a GPU: the profiler's own durations, assigned to rows.

forward:   kernel → its launch → the range around it (LabelMode puts one around each function) → call → row
backward:  kernel → its launch → autograd node → its sequence number → the call during which it was assigned → row

The duration of a kernel does not depend on Python, so launches and waiting do not count. Where several kernels run at
once, each gets its part of that time: rows sum to the time in which the GPU was busy.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._C._autograd import DeviceType

from archscope.devices import Backend, quiet_profile
from archscope.profiling.measurement import RowTimes
from archscope.profiling.rows_cpu import NO_ROW, CallRowMap, match_calls
from archscope.record.backward import SequenceRange, next_sequence_number, range_index
from archscope.record.override_queries import FunctionMode, override_queries_patched

LABEL_PREFIX, RUN_PREFIX = "archscope call ", "archscope run "
RUNTIME_PREFIXES = ("cuda", "cuLaunch", "cuMem")
"""Prefixes of CUDA runtime and driver calls: they have ids of their own, which may be equal to an operator's."""
USER_SCOPE, BACKWARD_SCOPE = 7, 1
"""The profiler's scope of a range (`RecordScope::USER_SCOPE`), and of an autograd node (`BACKWARD_FUNCTION`)."""

ENGINE_EVENT_PREFIX = "autograd::engine::evaluate_function: "
"""The event around a node, in which the engine adds gradients and sums those of broadcast dimensions."""


@dataclass
class CallLabels:
    """The functions of one run in the order of their calls, and the sequence numbers assigned while each ran."""

    functions: list[Any] = field(default_factory=list)
    spans: list[SequenceRange] = field(default_factory=list)


class LabelMode(FunctionMode):
    """A function mode that puts a range with the numbers of the run and the call around every call of a function."""

    def __init__(self, labels: CallLabels, run: int = 0):
        super().__init__()
        self._labels, self._run = labels, run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        labels, index, number = self._labels, len(self._labels.functions), next_sequence_number()
        labels.functions.append(func)
        labels.spans.append((number, number))
        with torch.profiler.record_function(f"{LABEL_PREFIX}{self._run} {index}"):
            out = func(*args, **(kwargs or {}))
        labels.spans[index] = number, next_sequence_number()
        return out


@dataclass
class KernelTimes:
    """Seconds of kernels by the call that launched them, in the forward and backward pass; ownerless: of no call."""

    forward: dict[int, float] = field(default_factory=dict)
    backward: dict[int, float] = field(default_factory=dict)
    ownerless: float = 0.0

    def add(self, call: int | None, in_backward: bool, seconds: float) -> None:
        if call is None:
            self.ownerless += seconds
        else:
            times = self.backward if in_backward else self.forward
            times[call] = times.get(call, 0.0) + seconds


ProfiledRun = tuple[CallLabels, KernelTimes]


def profile_runs(
    forward: Callable[[], Any],
    backward: Callable[[Any], object] | None,
    backend: Backend,
    *,
    before: Callable[[], object] = lambda: None,
    times: int = 1,
) -> list[ProfiledRun]:
    """Return `times` runs of one profiler session, since a GPU slows down while it idles between sessions.

    before: is called before each run.
    """
    runs = [CallLabels() for _ in range(times)]
    with quiet_profile(activities=backend.activities) as profiler:
        for number, labels in enumerate(runs):
            before()
            with torch.profiler.record_function(f"{RUN_PREFIX}{number}"):
                with override_queries_patched(), LabelMode(labels, number):
                    out = forward()
                if backward is not None:
                    backward(out)
                del out
                backend.synchronize()
    return list(zip(runs, kernel_times(profiler.events() or [], runs), strict=True))


def kernel_times(events: Iterable[Any], runs: Sequence[CallLabels]) -> list[KernelTimes]:
    """Return the seconds by call from the profiler's events, for each run.

    An event has `name`, `scope`, `sequence_nr`, `thread`, `fwd_thread`, `cpu_parent`, `time_range`, `device_type`. An
    event on the GPU's timeline has the `id` of the runtime call that launched it; ranges appear there, too.
    """
    found, all_events = [KernelTimes() for _ in runs], list(events)
    timeline = HostTimeline(all_events, runs)
    for kernel, seconds in split_overlaps(gpu_events(all_events)):
        run, call, in_backward = timeline.owner_of(kernel)
        if run is not None:
            found[run].add(call, in_backward, seconds)
    return found


def gpu_events(events: Sequence[Any]) -> list[Any]:
    """Return the events that ran on the GPU: kernels, copies, fills, but not the copies of ranges."""
    ranges = {event.name for event in events if event.device_type == DeviceType.CPU and event.scope == USER_SCOPE}
    return [
        event
        for event in events
        if event.device_type != DeviceType.CPU and not event.is_user_annotation and event.name not in ranges
    ]


def split_overlaps(kernels: Sequence[Any]) -> Iterator[tuple[Any, float]]:
    """Yield each kernel with its seconds; where several ran on one device at once, each gets an equal part.

    A kernel whose end the profiler did not see, or that took no time, has none.
    """
    for device in {kernel.device_index for kernel in kernels}:
        own = [kernel for kernel in kernels if kernel.device_index == device]
        ran = [(kernel.time_range.start, kernel.time_range.end, at) for at, kernel in enumerate(own)]
        lasting = [(start, end, at) for start, end, at in ran if end > start]
        moments = [(start, True, at) for start, _, at in lasting] + [(end, False, at) for _, end, at in lasting]
        spent, running, last = [0.0] * len(own), set[int](), 0.0
        for moment, begins, at in sorted(moments):
            for other in running:
                spent[other] += (moment - last) / len(running)
            last = moment
            (running.add if begins else running.discard)(at)
        yield from ((kernel, time * 1e-6) for kernel, time in zip(own, spent, strict=True))


class HostTimeline:
    """The profiler's events on the host, which tell which call launched a kernel."""

    def __init__(self, events: Sequence[Any], runs: Sequence[CallLabels]):
        host = [event for event in events if event.device_type == DeviceType.CPU]
        labels = [event for event in host if event.name.startswith(LABEL_PREFIX)]
        self._launches = {event.id: event for event in host if event.name.startswith(RUNTIME_PREFIXES)}
        self._operators = operators_by_kernel(host)
        self._inside = [*labels, *(event for event in host if is_node_event(event))]
        self._runs = [(int(e.name.removeprefix(RUN_PREFIX)), e) for e in host if e.name.startswith(RUN_PREFIX)]
        self._nodes = NodeCalls([span for run in runs for span in run.spans], {event.thread for event in labels})
        self._calls = [(number, call) for number, run in enumerate(runs) for call in range(len(run.functions))]

    def owner_of(self, kernel: Any) -> tuple[int | None, int | None, bool]:
        """Return the run and the call that launched a kernel (None if unknown), and whether it did so in the backward
        pass."""
        launch = self._launches.get(kernel.id)
        if launch is None:
            operators = self._operators.get((kernel.name, kernel.time_range.end - kernel.time_range.start), [])
            event = operators.pop() if operators else None
        else:
            event = launch.cpu_parent or self.innermost_range(launch.time_range.start)
        owner, in_backward = find_owner(event, self._nodes)
        if isinstance(owner, tuple):
            return *owner, in_backward
        if owner is not None:
            return *self._calls[owner], in_backward
        at = (launch or event or kernel).time_range.start
        return next((number for number, run in self._runs if covers(run, at)), None), None, in_backward

    def innermost_range(self, moment: float) -> Any:
        """Return the range or node, of any thread, in which something was launched outside of any operator."""
        around = [event for event in self._inside if covers(event, moment)]
        return max(around, key=lambda event: event.time_range.start, default=None)


def covers(event: Any, moment: float) -> bool:
    return bool(event.time_range.start <= moment < event.time_range.end)


def operators_by_kernel(host: Sequence[Any]) -> Mapping[tuple[str, float], list[Any]]:
    """Return operators by the kernels that the profiler assigns to them, for kernels whose launch it did not see."""
    found: dict[tuple[str, float], list[Any]] = {}
    for event in host:
        for kernel in event.kernels if not event.name.startswith(RUNTIME_PREFIXES) else ():
            found.setdefault((kernel.name, kernel.duration), []).append(event)
    return found


def is_node_event(event: Any) -> bool:
    """Return whether an event is an autograd node, or the engine's work for one."""
    return bool(
        event.sequence_nr >= 0 and (event.scope == BACKWARD_SCOPE or event.name.startswith(ENGINE_EVENT_PREFIX))
    )


class NodeCalls:
    """Finds the call that made an autograd node.

    Each thread numbers its own nodes, and a GPU's backward pass runs in another thread than the calls: a forward pass
    that is recomputed there numbers its nodes from the start. threads: those in which the calls ran.
    """

    def __init__(self, spans: Sequence[SequenceRange], threads: Collection[int]):
        self._spans, self._threads = spans, threads
        self._starts = [start for start, _ in spans]

    def call_of(self, event: Any) -> int | None:
        if event.fwd_thread not in self._threads:
            return None
        return range_index(event.sequence_nr, self._starts, self._spans)


def find_owner(event: Any, nodes: NodeCalls) -> tuple[tuple[int, int] | int | None, bool]:
    """Return the owner of an event, and whether it is an event of the backward pass. The owner is the run and call of
    the range around the event, or the call, counted over all runs, that made the node around it."""
    while event is not None:
        if event.name.startswith(LABEL_PREFIX):
            run, call = event.name.removeprefix(LABEL_PREFIX).split()
            return (int(run), int(call)), False
        if not event.name.startswith(RUNTIME_PREFIXES) and is_node_event(event):
            return nodes.call_of(event), True
        event = event.cpu_parent
    return None, False


def kernel_row_times(
    runs: Sequence[ProfiledRun], call_rows: CallRowMap, count: int, *, backward: bool
) -> RowTimes | None:
    """Return seconds of each of `count` rows, the median of the runs; None if their calls differ from those of the
    recorded run, or the profiler saw no kernel."""
    equal_runs = [times for labels, times in runs if labels.functions == runs[0][0].functions]
    rows = match_calls(call_rows, runs[0][0].functions) if runs else None
    if rows is None or not any(times.forward for times in equal_runs):
        return None

    def summed(of: Callable[[KernelTimes], dict[int, float]]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                spent = statistics.median(of(times).get(call, 0.0) for times in equal_runs)
                found[row] = found.get(row, 0.0) + spent
        return tuple(map(found.get, range(count)))

    derivatives = summed(lambda times: times.backward) if backward else ()
    unassigned = statistics.median(times.ownerless for times in equal_runs)
    return RowTimes(
        summed(lambda times: times.forward), derivatives, unassigned, len(equal_runs), "the kernels' own times"
    )
