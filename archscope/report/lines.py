"""What a reader sees: Lines below Lines, whose leaves sum to the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from archscope.errors import Span
from archscope.report.model import Report, Total
from archscope.trace import Operand, Value

NOTHING = Total()


@dataclass(frozen=True)
class Line:
    """One line. path: in full; label: as its parent shows it (`0-2` after folding). kind: group, block, layer, step,
    row, failed (what ended the run), unread, backward (of no row) or sum. sources: what it reads, by the names its
    block knows; reads: the same as values. rows: the indexes that `total` sums; a line folded from `times` equal ones,
    and every line below it, sums over all of them. backward: the sums of what derives these rows. shared: reads
    parameters that an earlier line counts."""

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
    reads: tuple[Operand, ...] = field(default=(), compare=False, repr=False)


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


def apart(lines: Iterable[Line], report: Report) -> list[Line]:
    """Lines that stand alone, without the blocks around them: the sources of each by the paths of the others. What none
    of them makes goes by the path of what made it, or by the name of the net's input."""
    alone = list(lines)
    paths = {index: line.path for line in alone for index in line.rows}

    def named(line: Line) -> tuple[str, ...]:
        makers = [(operand, report.index.maker_index(operand.value.id)) for operand in line.reads]
        return tuple(dict.fromkeys(paths.get(maker, operand.source) for operand, maker in makers))

    return [replace(line, sources=named(line)) for line in alone]


def rebuilt(lines: Iterable[Line], make: Callable[[int, Line, tuple[Line, ...]], Line]) -> tuple[Line, ...]:
    """Every line made anew from its level, itself and what its children became, children first."""
    top, made = tuple(lines), dict[int, Line]()
    for level, line in reversed(list(walk(top))):
        made[id(line)] = make(level, line, tuple([made[id(child)] for child in line.children]))
    return tuple([made[id(line)] for line in top])


def prune(lines: Iterable[Line], depth: int) -> tuple[Line, ...]:
    """The upper `depth` levels; what is cut off stays in the sums above it."""
    return rebuilt(lines, lambda level, line, below: replace(line, children=below if level < depth else ()))
