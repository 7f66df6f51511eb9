"""What a reader sees: Lines below Lines, whose leaves sum to the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from archscope.errors import Span
from archscope.report.model import Total
from archscope.trace import Value

NOTHING = Total()


@dataclass(frozen=True)
class Line:
    """One line. path: in full; label: as its parent shows it (`0-2` after folding). kind: group, block, layer, step,
    row, failed (what ended the run), unread, backward (of no row) or sum. sources: what it reads, by the names its
    block knows. rows: the indexes that `total` sums; a line folded from `times` equal ones, and every line below it,
    sums over all of them. backward: the sums of what derives these rows. shared: reads parameters that an earlier line
    counts."""

    path: str
    label: str
    kind: str
    name: str = ""
    text: str = ""
    sources: tuple[str, ...] = ()
    outputs: tuple[Value, ...] = ()
    total: Total = NOTHING
    rows: tuple[int, ...] = ()
    times: int = 1
    shared: bool = False
    place: Span | None = None
    children: tuple[Line, ...] = ()
    backward: Total = NOTHING


def walk(lines: Iterable[Line]) -> Iterator[tuple[int, Line]]:
    """Every line, each before its children, with its level (1 at the top). However deep they lie."""
    waiting = [(1, line) for line in reversed(tuple(lines))]
    while waiting:
        level, line = waiting.pop()
        yield level, line
        waiting += [(level + 1, child) for child in reversed(line.children)]


def leaves(lines: Iterable[Line]) -> Iterator[tuple[int, Line]]:
    """The lines without children, with their level (1 at the top). Their totals sum to the report's."""
    return ((level, line) for level, line in walk(lines) if not line.children)


def rebuilt(lines: Iterable[Line], make: Callable[[int, Line, tuple[Line, ...]], Line]) -> tuple[Line, ...]:
    """Every line made anew from its level, itself and what its children became, children first."""
    top, made = tuple(lines), dict[int, Line]()
    for level, line in reversed(list(walk(top))):
        made[id(line)] = make(level, line, tuple([made[id(child)] for child in line.children]))
    return tuple([made[id(line)] for line in top])


def prune(lines: Iterable[Line], depth: int) -> tuple[Line, ...]:
    """The upper `depth` levels; what is cut off stays in the sums above it."""
    return rebuilt(lines, lambda level, line, below: replace(line, children=below if level < depth else ()))
