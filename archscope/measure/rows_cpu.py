"""How long each row takes: torch functions, watched by nobody but a clock.

recorded:   CallRowMap → which call of a function made which row
timed:      Stopwatch (functions), BackwardTimer (nodes of autograd) → TimedRun → the middle half → seconds of each row

A call is timed from inside of the mode that sees it, so that the mode's own work lies outside; what a clock that is
read twice shows of nothing is taken off.
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

from archscope.measurement import RowTimes
from archscope.record import Recorder
from archscope.record.backward import SequenceRange, graph_nodes, loss_of, next_sequence_number, range_index
from archscope.record.override_queries import FunctionMode, override_queries_patched

NO_ROW = -1
NO_MORE = object()
CHAIN_LENGTH, CHAIN_RUNS = 200, 7
now = time.perf_counter_ns


class CallRowMap(FunctionMode):
    """Stands before a recorder, and notes of every call of a function the row that it made, if that is one row."""

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

    spans: the sequence numbers that autograd gave out while each ran. backward_times: nanoseconds of what derives each,
    and of how many nodes; None is of no function.
    """

    functions: list[Any] = field(default_factory=list)
    nanoseconds: array[int] = field(default_factory=lambda: array("q"))
    spans: list[SequenceRange] = field(default_factory=list)
    backward_times: dict[int | None, tuple[int, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.nanoseconds) + sum(time for time, _ in self.backward_times.values())

    def backward_nanoseconds(self, call: int | None, cost: float) -> float:
        """Nanoseconds of what derives a call, without what it costs to be told of each node."""
        time, count = self.backward_times.get(call, (0, 0))
        return max(time - count * cost, 0.0)


class Stopwatch(FunctionMode):
    """Reads the clock before and after every call of a function."""

    def __init__(self, lap: TimedRun):
        super().__init__()
        self._run = lap

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        lap, given, index = self._run, kwargs or {}, len(self._run.nanoseconds)
        lap.functions.append(func)
        lap.nanoseconds.append(0)
        number = next_sequence_number()
        lap.spans.append((number, number))
        start = now()
        out = func(*args, **given)
        lap.nanoseconds[index] = now() - start
        lap.spans[index] = number, next_sequence_number()
        return out


class BackwardTimer:
    """Takes the time of a backward pass from node to node: from where one begins to where the next does, it is the
    former's, with what the engine does for it (sums over what was broadcast, additions of gradients that meet)."""

    def __init__(self, lap: TimedRun):
        self._run = lap
        self._call: int | None = None
        self._start: int | None = None

    @contextmanager
    def hooked(self, outputs: Any) -> Iterator[None]:
        """Inside, every node that the outputs' backward pass runs is told of. Those of leaves outlive the graph, so
        hooks are taken away."""
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
        """The node at work, if one is, hands over."""
        if self._start is not None:
            time, count = self._run.backward_times.get(self._call, (0, 0))
            self._run.backward_times[self._call] = time + now() - self._start, count + 1
            self._start = None


def time_run(forward: Callable[[], Any], backward: Callable[[Any], object] | None) -> TimedRun:
    """One run under the clock."""
    lap = TimedRun()
    with override_queries_patched(), Stopwatch(lap):
        out = forward()
    if backward is not None:
        with BackwardTimer(lap).hooked(out):
            backward(out)
    return lap


def row_times(laps: Sequence[TimedRun], tally: CallRowMap, count: int, *, backward: bool) -> RowTimes | None:
    """Seconds of each of `count` rows over the laps that went as the first; None where that did not go as the recorded
    run, or showed none of its rows."""
    rows = match_calls(tally, laps[0].functions) if laps else None
    if rows is None or not set(rows) - {NO_ROW}:
        return None
    kept = middle_half([lap for lap in laps if lap.functions == laps[0].functions])
    idle, cost = timer_overhead(), hook_cost() if backward else 0.0

    def mean(of: Callable[[TimedRun], float]) -> float:
        return max(statistics.fmean(map(of, kept)), 0.0) * 1e-9

    def summed(of: Callable[[TimedRun, int], float]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                found[row] = found.get(row, 0.0) + mean(lambda lap: of(lap, call))  # noqa: B023 — called at once
        return tuple(map(found.get, range(count)))

    forward = summed(lambda lap, call: lap.nanoseconds[call] - idle)
    derived = summed(lambda lap, call: lap.backward_nanoseconds(call, cost)) if backward else ()
    ownerless = mean(lambda lap: lap.backward_nanoseconds(None, cost))
    astray = sum(lap.functions != laps[0].functions for lap in laps)
    by = "clocks around each function" + " and from node to node" * backward
    return RowTimes(forward, derived, ownerless, len(kept), by, astray)


def match_calls(tally: CallRowMap, functions: Iterable[Any]) -> list[int] | None:
    """The row of each call of a run; None where the functions are not those of the recorded one.

    That one may show operators beside them, such as the kernels of a scripted graph: their rows are not seen. And it
    asks its outputs for a loss, which makes no rows.
    """
    rows, ahead = [], iter(functions)
    func = next(ahead, NO_MORE)
    for known, row in zip(tally.functions, tally.rows, strict=True):
        if known is func or known == func:
            rows.append(row)
            func = next(ahead, NO_MORE)
        elif row != NO_ROW and not isinstance(known, OpOverload):
            return None
    return rows if func is NO_MORE else None


def middle_half(laps: Sequence[TimedRun]) -> list[TimedRun]:
    """The laps whose sums lie in the middle; of fewer than four all."""
    ordered, off = sorted(laps, key=lambda lap: lap.total), len(laps) // 4
    return ordered[off : len(laps) - off]


def timer_overhead() -> float:
    """Nanoseconds that a clock shows between two readings with nothing between them."""
    readings = []
    for _ in range(101):
        start = now()
        readings.append(now() - start)
    return statistics.median(readings)


def hook_cost() -> float:
    """Nanoseconds that a hook on a node of autograd's costs: the difference of a chain of nodes that do nearly nothing
    with hooks and without, a node, at best."""

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
