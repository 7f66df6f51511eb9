"""What a reader sees: Lines below Lines, whose leaves sum to the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from archscope.errors import Span
from archscope.report.model import Report, Total
from archscope.trace import Operand, Value

ZERO_TOTAL = Total()


@dataclass(frozen=True)
class OutlineLine:
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
    total: Total = ZERO_TOTAL
    rows: tuple[int, ...] = ()
    times: int = 1
    shared: bool = False
    place: Span | None = None
    children: tuple[OutlineLine, ...] = ()
    backward: Total = ZERO_TOTAL
    reads: tuple[Operand, ...] = field(default=(), compare=False, repr=False)


def walk_lines(lines: Iterable[OutlineLine]) -> Iterator[tuple[int, OutlineLine]]:
    """Every line, each before its children, with its level (1 at the top). However deep they lie."""
    waiting = [(1, line) for line in reversed(tuple(lines))]
    while waiting:
        level, line = waiting.pop()
        yield level, line
        waiting += [(level + 1, child) for child in reversed(line.children)]


def leaf_lines(lines: Iterable[OutlineLine]) -> Iterator[tuple[int, OutlineLine]]:
    """The lines without children, with their level (1 at the top). Their totals sum to the report's."""
    return ((level, line) for level, line in walk_lines(lines) if not line.children)


def detach_lines(lines: Iterable[OutlineLine], report: Report) -> list[OutlineLine]:
    """Lines that stand alone, without the blocks around them: the sources of each by the paths of the others. What none
    of them makes goes by the path of what made it, or by the name of the net's input."""
    alone = list(lines)
    paths = {index: line.path for line in alone for index in line.rows}

    def named(line: OutlineLine) -> tuple[str, ...]:
        makers = [(operand, report.index.maker_index(operand.value.id)) for operand in line.reads]
        return tuple(dict.fromkeys(paths.get(maker, operand.source) for operand, maker in makers))

    return [replace(line, sources=named(line)) for line in alone]


def rebuild_lines(
    lines: Iterable[OutlineLine], make: Callable[[int, OutlineLine, tuple[OutlineLine, ...]], OutlineLine]
) -> tuple[OutlineLine, ...]:
    """Every line made anew from its level, itself and what its children became, children first."""
    top, made = tuple(lines), dict[int, OutlineLine]()
    for level, line in reversed(list(walk_lines(top))):
        made[id(line)] = make(level, line, tuple([made[id(child)] for child in line.children]))
    return tuple([made[id(line)] for line in top])


def prune_lines(lines: Iterable[OutlineLine], depth: int) -> tuple[OutlineLine, ...]:
    """The upper `depth` levels; what is cut off stays in the sums above it."""
    return rebuild_lines(lines, lambda level, line, below: replace(line, children=below if level < depth else ()))
