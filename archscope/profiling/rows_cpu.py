"""The time of each row on CPU: a clock around each call of a torch function, without any other instrumentation.

recorded run:   CallRowMap → which call of a function made which row
timed runs:     Stopwatch (functions), BackwardTimer (autograd nodes) → TimedRun → the middle half → seconds of each row

The clock is read inside the mode that sees a call, so that the mode's own work is not timed; what two readings with
nothing between them show is subtracted.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch._ops import OpOverload

from archscope.profiling.measurement import RowTimes
from archscope.record import Recorder
from archscope.record.backward import SequenceRange, graph_nodes, loss_of, next_sequence_number, range_index
from archscope.record.override_queries import FunctionMode, override_queries_patched

NO_ROW = -1
NO_MORE = object()
CHAIN_LENGTH, CHAIN_RUNS = 200, 7
now = time.perf_counter_ns


class CallRowMap(FunctionMode):
    """A function mode around a recorder, which notes for each call the row that it made, if it made exactly one."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self._recorded_calls = recorder.recorded_calls
        self.functions: list[Any] = []
        self.rows: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        index, before = len(self.functions), len(self._recorded_calls)
        self.functions.append(func)
        self.rows.append(NO_ROW)
        out = func(*args, **(kwargs or {}))
        if len(self._recorded_calls) == before + 1:
            self.rows[index] = before
        return out


@dataclass
class TimedRun:
    """One timed run: its functions, and the nanoseconds of each.

    spans: the sequence numbers that autograd assigned while each ran. backward_times: for each call, the nanoseconds of
    its backward nodes and their number; key None: nodes of no call.
    """

    functions: list[Any] = field(default_factory=list)
    nanoseconds: array[int] = field(default_factory=lambda: array("q"))
    spans: list[SequenceRange] = field(default_factory=list)
    backward_times: dict[int | None, tuple[int, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.nanoseconds) + sum(time for time, _ in self.backward_times.values())

    def backward_nanoseconds(self, call: int | None, cost: float) -> float:
        """Return the nanoseconds of a call's backward nodes, less the cost of the hook on each node."""
        time, count = self.backward_times.get(call, (0, 0))
        return max(time - count * cost, 0.0)


class Stopwatch(FunctionMode):
    """A function mode that reads the clock before and after every call of a function."""

    def __init__(self, run: TimedRun):
        super().__init__()
        self._run = run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        run, named, index = self._run, kwargs or {}, len(self._run.nanoseconds)
        run.functions.append(func)
        run.nanoseconds.append(0)
        number = next_sequence_number()
        run.spans.append((number, number))
        start = now()
        out = func(*args, **named)
        run.nanoseconds[index] = now() - start
        run.spans[index] = number, next_sequence_number()
        return out


class BackwardTimer:
    """Times a backward pass from node to node. A node's time ends when the next node starts, so it includes what the
    engine does for it (sums over broadcast dimensions, additions of gradients)."""

    def __init__(self, run: TimedRun):
        self._run = run
        self._call: int | None = None
        self._start: int | None = None

    @contextmanager
    def hooked(self, outputs: Any) -> Iterator[None]:
        """Inside, each node of the outputs' backward pass has a hook. Hooks are removed afterwards, since the nodes of
        leaves outlive the graph."""
        starts, handles = [start for start, _ in self._run.spans], []
        try:
            for node in graph_nodes(loss_of(outputs).tensors):
                call = range_index(node._sequence_nr(), starts, self._run.spans)
                handles.append(node.register_prehook(partial(self.begin, call)))
            yield
        finally:
            self.end()
            for handle in handles:
                handle.remove()

    def begin(self, call: int | None, *_: Any) -> None:
        self.end()
        self._call, self._start = call, now()

    def end(self) -> None:
        """End the time of the node that is running, if there is one."""
        if self._start is not None:
            time, count = self._run.backward_times.get(self._call, (0, 0))
            self._run.backward_times[self._call] = time + now() - self._start, count + 1
            self._start = None


def time_run(forward: Callable[[], Any], backward: Callable[[Any], object] | None) -> TimedRun:
    """Return one timed run."""
    run = TimedRun()
    with override_queries_patched(), Stopwatch(run):
        out = forward()
    if backward is not None:
        with BackwardTimer(run).hooked(out):
            backward(out)
    return run


def row_times(runs: Sequence[TimedRun], call_rows: CallRowMap, count: int, *, backward: bool) -> RowTimes | None:
    """Return seconds of each of `count` rows, over the runs with the same calls as the first.

    None if its calls differ from those of the recorded run, or made none of its rows.
    """
    rows = match_calls(call_rows, runs[0].functions) if runs else None
    if rows is None or not set(rows) - {NO_ROW}:
        return None
    middle = middle_half([run for run in runs if run.functions == runs[0].functions])
    idle, cost = timer_overhead(), hook_cost() if backward else 0.0

    def mean(of: Callable[[TimedRun], float]) -> float:
        return max(statistics.fmean(map(of, middle)), 0.0) * 1e-9

    def summed(of: Callable[[TimedRun, int], float]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                found[row] = found.get(row, 0.0) + mean(lambda run: of(run, call))  # noqa: B023 — called at once
        return tuple(map(found.get, range(count)))

    forward = summed(lambda run, call: run.nanoseconds[call] - idle)
    derivatives = summed(lambda run, call: run.backward_nanoseconds(call, cost)) if backward else ()
    unassigned = mean(lambda run: run.backward_nanoseconds(None, cost))
    different = sum(run.functions != runs[0].functions for run in runs)
    method = "clocks around each function" + " and from node to node" * backward
    return RowTimes(forward, derivatives, unassigned, len(middle), method, different)


def match_calls(call_rows: CallRowMap, functions: Iterable[Any]) -> list[int] | None:
    """Return the row of each call of a run; None if the functions are not those of the recorded run.

    The recorded run may contain operators in addition, such as the kernels of a scripted graph, whose rows are not
    timed. It also computes a loss from its outputs, which makes no rows.
    """
    rows, remaining = [], iter(functions)
    func = next(remaining, NO_MORE)
    for known, row in zip(call_rows.functions, call_rows.rows, strict=True):
        if known is func or known == func:
            rows.append(row)
            func = next(remaining, NO_MORE)
        elif row != NO_ROW and not isinstance(known, OpOverload):
            return None
    return rows if func is NO_MORE else None


def middle_half(runs: Sequence[TimedRun]) -> list[TimedRun]:
    """Return the runs whose totals are in the middle half; all of fewer than four."""
    ordered, off = sorted(runs, key=lambda run: run.total), len(runs) // 4
    return ordered[off : len(runs) - off]


def timer_overhead() -> float:
    """Return the nanoseconds that a clock shows between two readings with nothing between them."""
    readings = []
    for _ in range(101):
        start = now()
        readings.append(now() - start)
    return statistics.median(readings)


def hook_cost() -> float:
    """Return the nanoseconds that a hook on an autograd node costs: the difference per node between a chain of cheap
    nodes with hooks and one without, each at best."""

    def chain(*, hooked: bool) -> int:
        out = torch.zeros(1, device="cpu", requires_grad=True)
        for _ in range(CHAIN_LENGTH):
            out = out.neg()
        with BackwardTimer(TimedRun()).hooked(out) if hooked else nullcontext():
            start = now()
            out.backward()
            return now() - start

    with torch.enable_grad():
        times = [(chain(hooked=True), chain(hooked=False)) for _ in range(CHAIN_RUNS)]
    return max(min(hooked for hooked, _ in times) - min(plain for _, plain in times), 0) / CHAIN_LENGTH
