"""How long each row takes: torch functions, watched by nobody but a clock.

recorded run: Tally → which call of a function made which row
timed runs:   Stopwatch (functions), hooks on autograd's nodes → Lap → the middle half of the laps → seconds of each row

A call is timed from inside of the mode that sees it, so that the mode's own work lies outside; what a clock that is
read twice shows of nothing is taken off.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode

from archscope.measurement import RowTimes
from archscope.record import Recorder
from archscope.record.backward import Span, loss_of, next_number, nodes, span_of

NO_ROW = -1
END = object()
now = time.perf_counter_ns


class Tally(TorchFunctionMode):
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
    """One timed run: its functions and the nanoseconds of each, forward and backward; nanoseconds of no function.

    spans: the sequence numbers that autograd gave out while each ran.
    """

    functions: list[Any] = field(default_factory=list)
    spent: array[int] = field(default_factory=lambda: array("q"))
    spans: list[Span] = field(default_factory=list)
    derived: dict[int, int] = field(default_factory=dict)
    ownerless: int = 0

    @property
    def whole(self) -> int:
        return sum(self.spent) + sum(self.derived.values()) + self.ownerless


class Stopwatch(TorchFunctionMode):
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


def watch_nodes(outputs: Any, lap: Lap) -> None:
    """Lets every node that the outputs' backward pass will run read the clock before and after its own work, which goes
    to the call that gave it out. What the engine does between two nodes belongs to none."""
    starts, begun = [start for start, _ in lap.spans], [0]

    def begin(*_: Any) -> None:
        begun[0] = now()

    def end(call: int | None, *_: Any) -> None:
        spent = now() - begun[0]
        if call is None:
            lap.ownerless += spent
        else:
            lap.derived[call] = lap.derived.get(call, 0) + spent

    for node in nodes(loss_of(outputs).tensors):
        number = node._sequence_nr()
        node.register_prehook(begin)
        node.register_hook(partial(end, span_of(number, starts, lap.spans)))


def lapped(forward: Callable[[], Any], backward: Callable[[Any], object] | None) -> Lap:
    """One run under the clock."""
    lap = Lap()
    with Stopwatch(lap):
        out = forward()
    if backward is not None:
        watch_nodes(out, lap)
        backward(out)
    return lap


def row_times(laps: Sequence[Lap], tally: Tally, count: int, *, backward: bool) -> RowTimes | None:
    """Seconds of each of `count` rows over the laps that went as the first; None where that did not go as the recorded
    run, or showed none of its rows."""
    rows = matched(tally, laps[0].functions) if laps else None
    if rows is None or not set(rows) - {NO_ROW}:
        return None
    kept = middle_half([lap for lap in laps if lap.functions == laps[0].functions])
    idle = nothing()

    def mean(of: Callable[[Lap], float]) -> float:
        return max(statistics.fmean(map(of, kept)) - idle, 0.0) * 1e-9

    def summed(of: Callable[[Lap, int], float]) -> tuple[float | None, ...]:
        found: dict[int, float] = {}
        for call, row in enumerate(rows):
            if row != NO_ROW:
                found[row] = found.get(row, 0.0) + mean(lambda lap: of(lap, call))  # noqa: B023 — called at once
        return tuple(map(found.get, range(count)))

    forward = summed(lambda lap, call: lap.spent[call])
    derived = summed(lambda lap, call: lap.derived.get(call, 0)) if backward else ()
    other = mean(lambda lap: lap.ownerless) if backward else 0.0
    astray = sum(lap.functions != laps[0].functions for lap in laps)
    return RowTimes(forward, derived, other, len(kept), "clocks around each function", astray)


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
