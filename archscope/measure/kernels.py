"""How long each row's kernels take on a GPU: the profiler's own times, put down to rows.

Labels (a range around each function) → profiler → events → kernel → the range it was launched in → row
                                         backward: node → its sequence number → the function that gave it out → row

Kernels' own durations do not depend on what Python does meanwhile, so that launches and waiting do not count.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._C._autograd import DeviceType

from archscope.backends import Backend, quiet_profile
from archscope.measure.rows import NO_ROW, Tally, matched
from archscope.measurement import RowTimes
from archscope.record.backward import Span, next_number, span_of
from archscope.record.overridden import Watcher, unnoticed

LABEL = "archscope "
RUNTIME = ("cuda", "cuLaunch", "cuMem")
"""How calls of CUDA's runtime and driver begin: theirs are numbers of their own, which may be an operator's too."""
BACKWARD_SCOPE = 1
"""What the profiler calls an event of a node (`RecordScope::BACKWARD_FUNCTION`)."""

ENGINE = "autograd::engine::evaluate_function: "
"""The event around it, in which the engine adds gradients up, and sums those of what was broadcast."""


@dataclass
class Labels:
    """The functions of one run in the order of their calls, and the sequence numbers given out while each ran."""

    functions: list[Any] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


class Labelling(Watcher):
    """Puts a range that bears its number around every call of a function."""

    def __init__(self, labels: Labels):
        super().__init__()
        self._labels = labels

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        labels, index, number = self._labels, len(self._labels.functions), next_number()
        labels.functions.append(func)
        labels.spans.append((number, number))
        with torch.profiler.record_function(f"{LABEL}{index}"):
            out = func(*args, **(kwargs or {}))
        labels.spans[index] = number, next_number()
        return out


@dataclass
class KernelTimes:
    """Seconds of kernels by the call that launched them, forward and backward; of no call."""

    forward: dict[int, float] = field(default_factory=dict)
    backward: dict[int, float] = field(default_factory=dict)
    ownerless: float = 0.0


def profiled(
    forward: Callable[[], Any], backward: Callable[[Any], object] | None, backend: Backend
) -> tuple[Labels, KernelTimes]:
    """One run under the profiler."""
    labels = Labels()
    with quiet_profile(activities=backend.activities) as profiler:
        with unnoticed(), Labelling(labels):
            out = forward()
        if backward is not None:
            backward(out)
        backend.wait()
    return labels, kernel_times(profiler.events() or [], labels.spans)


def kernel_times(events: Iterable[Any], spans: Sequence[Span]) -> KernelTimes:
    """The profiler's events → seconds by call. An event has `name`, `scope`, `sequence_nr`, `thread`, `fwd_thread`,
    `cpu_parent`, `kernels`, among which a range has its own shadow on the GPU, which is no kernel."""
    found, every = KernelTimes(), list(events)
    nodes = Nodes(
        spans, {event.thread for event in every if event.name.startswith(LABEL) and event.device_type == DeviceType.CPU}
    )
    for event in every:
        spent = sum(kernel.duration for kernel in event.kernels if kernel.name != event.name) * 1e-6
        if not spent or event.name.startswith(RUNTIME):
            continue
        call, derived = owner(event, nodes)
        if call is None:
            found.ownerless += spent
        else:
            times = found.backward if derived else found.forward
            times[call] = times.get(call, 0.0) + spent
    return found


class Nodes:
    """Finds the call that gave a node out. Each thread numbers its own nodes, and a GPU's gradients are derived in
    another thread than the calls ran in: there, a forward pass that is run again numbers from the start.

    threads: in which the calls ran.
    """

    def __init__(self, spans: Sequence[Span], threads: Collection[int]):
        self._spans, self._threads = spans, threads
        self._starts = [start for start, _ in spans]

    def call_of(self, event: Any) -> int | None:
        if event.fwd_thread not in self._threads:
            return None
        return span_of(event.sequence_nr, self._starts, self._spans)


def owner(event: Any, nodes: Nodes) -> tuple[int | None, bool]:
    """The call that an event belongs to, by the range or the node that it stands in; whether it derives that call."""
    while event is not None:
        if event.name.startswith(LABEL):
            return int(event.name.removeprefix(LABEL)), False
        if event.sequence_nr >= 0 and (event.scope == BACKWARD_SCOPE or event.name.startswith(ENGINE)):
            return nodes.call_of(event), True
        event = event.cpu_parent
    return None, False


def kernel_row_times(
    runs: Sequence[tuple[Labels, KernelTimes]], tally: Tally, count: int, *, backward: bool
) -> RowTimes | None:
    """Seconds of each of `count` rows, the median of the runs; None where these did not go as the recorded run, or the
    profiler saw no kernel."""
    alike = [times for labels, times in runs if labels.functions == runs[0][0].functions]
    rows = matched(tally, runs[0][0].functions) if runs else None
    if rows is None or not any(times.forward for times in alike):
        return None

    def summed(of: Callable[[KernelTimes], dict[int, float]]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                spent = statistics.median(of(times).get(call, 0.0) for times in alike)
                found[row] = found.get(row, 0.0) + spent
        return tuple(map(found.get, range(count)))

    derived = summed(lambda times: times.backward) if backward else ()
    ownerless = statistics.median(times.ownerless for times in alike)
    return RowTimes(summed(lambda times: times.forward), derived, ownerless, len(alike), "the kernels' own times")
