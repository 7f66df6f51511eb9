"""How long each row takes: torch functions, watched by nobody but a clock.

recorded run: Tally → which call of a function made which row
timed runs:   Stopwatch (functions), Relay (nodes of autograd) → Lap → the middle half of the laps → seconds of each row

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
from archscope.record.backward import Span, loss_of, next_number, nodes, span_of
from archscope.record.overridden import Watcher, unnoticed

NO_ROW = -1
END = object()
CHAIN, CHAINS = 200, 7
now = time.perf_counter_ns


class Tally(Watcher):
    """Stands before a recorder, and notes of every call of a function the row that it made, if that is one row."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self._entries = recorder.entries
        self.functions: list[Any] = []
        self.rows: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        index, before = len(self.functions), len(self._entries)
        self.functions.append(func)
        self.rows.append(NO_ROW)
        out = func(*args, **(kwargs or {}))
        if len(self._entries) == before + 1:
            self.rows[index] = before
        return out


@dataclass
class Lap:
    """One timed run: its functions, and the nanoseconds of each.

    spans: the sequence numbers that autograd gave out while each ran. derived: nanoseconds of what derives each, and of
    how many nodes; None is of no function.
    """

    functions: list[Any] = field(default_factory=list)
    spent: array[int] = field(default_factory=lambda: array("q"))
    spans: list[Span] = field(default_factory=list)
    derived: dict[int | None, tuple[int, int]] = field(default_factory=dict)

    @property
    def whole(self) -> int:
        return sum(self.spent) + sum(time for time, _ in self.derived.values())

    def backward(self, call: int | None, cost: float) -> float:
        """Nanoseconds of what derives a call, without what it costs to be told of each node."""
        time, count = self.derived.get(call, (0, 0))
        return max(time - count * cost, 0.0)


class Stopwatch(Watcher):
    """Reads the clock before and after every call of a function."""

    def __init__(self, lap: Lap):
        super().__init__()
        self._lap = lap

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        lap, given, index = self._lap, kwargs or {}, len(self._lap.spent)
        lap.functions.append(func)
        lap.spent.append(0)
        number = next_number()
        lap.spans.append((number, number))
        start = now()
        out = func(*args, **given)
        lap.spent[index] = now() - start
        lap.spans[index] = number, next_number()
        return out


class Relay:
    """Takes the time of a backward pass from node to node: from where one begins to where the next does, it is the
    former's, with what the engine does for it (sums over what was broadcast, additions of gradients that meet)."""

    def __init__(self, lap: Lap):
        self._lap = lap
        self._call: int | None = None
        self._begun: int | None = None

    @contextmanager
    def hooked(self, outputs: Any) -> Iterator[None]:
        """Inside, every node that the outputs' backward pass runs is told of. Those of leaves outlive the graph, so
        hooks are taken away."""
        starts, handles = [start for start, _ in self._lap.spans], []
        try:
            for node in nodes(loss_of(outputs).tensors):
                call = span_of(node._sequence_nr(), starts, self._lap.spans)
                handles.append(node.register_prehook(partial(self.begin, call)))
            yield
        finally:
            self.end()
            for handle in handles:
                handle.remove()

    def begin(self, call: int | None, *_: Any) -> None:
        self.end()
        self._call, self._begun = call, now()

    def end(self) -> None:
        """The node at work, if one is, hands over."""
        if self._begun is not None:
            time, count = self._lap.derived.get(self._call, (0, 0))
            self._lap.derived[self._call] = time + now() - self._begun, count + 1
            self._begun = None


def lapped(forward: Callable[[], Any], backward: Callable[[Any], object] | None) -> Lap:
    """One run under the clock."""
    lap = Lap()
    with unnoticed(), Stopwatch(lap):
        out = forward()
    if backward is not None:
        with Relay(lap).hooked(out):
            backward(out)
    return lap


def row_times(laps: Sequence[Lap], tally: Tally, count: int, *, backward: bool) -> RowTimes | None:
    """Seconds of each of `count` rows over the laps that went as the first; None where that did not go as the recorded
    run, or showed none of its rows."""
    rows = matched(tally, laps[0].functions) if laps else None
    if rows is None or not set(rows) - {NO_ROW}:
        return None
    kept = middle_half([lap for lap in laps if lap.functions == laps[0].functions])
    idle, cost = nothing(), hook_cost() if backward else 0.0

    def mean(of: Callable[[Lap], float]) -> float:
        return max(statistics.fmean(map(of, kept)), 0.0) * 1e-9

    def summed(of: Callable[[Lap, int], float]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                found[row] = found.get(row, 0.0) + mean(lambda lap: of(lap, call))  # noqa: B023 — called at once
        return tuple(map(found.get, range(count)))

    forward = summed(lambda lap, call: lap.spent[call] - idle)
    derived = summed(lambda lap, call: lap.backward(call, cost)) if backward else ()
    ownerless = mean(lambda lap: lap.backward(None, cost))
    astray = sum(lap.functions != laps[0].functions for lap in laps)
    by = "clocks around each function" + " and from node to node" * backward
    return RowTimes(forward, derived, ownerless, len(kept), by, astray)


def matched(tally: Tally, functions: Iterable[Any]) -> list[int] | None:
    """The row of each call of a run; None where the functions are not those of the recorded one.

    That one may show operators beside them, such as the kernels of a scripted graph: their rows are not seen. And it
    asks its outputs for a loss, which makes no rows.
    """
    rows, ahead = [], iter(functions)
    func = next(ahead, END)
    for known, row in zip(tally.functions, tally.rows, strict=True):
        if known is func or known == func:
            rows.append(row)
            func = next(ahead, END)
        elif row != NO_ROW and not isinstance(known, OpOverload):
            return None
    return rows if func is END else None


def middle_half(laps: Sequence[Lap]) -> list[Lap]:
    """The laps whose sums lie in the middle; of fewer than four all."""
    ordered, off = sorted(laps, key=lambda lap: lap.whole), len(laps) // 4
    return ordered[off : len(laps) - off]


def nothing() -> float:
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
        for _ in range(CHAIN):
            out = out.neg()
        with Relay(Lap()).hooked(out) if hooked else nullcontext():
            start = now()
            out.backward()
            return now() - start

    with torch.enable_grad():
        times = [(chain(hooked=True), chain(hooked=False)) for _ in range(CHAINS)]
    return max(min(hooked for hooked, _ in times) - min(plain for _, plain in times), 0) / CHAIN
