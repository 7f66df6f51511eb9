"""The lines of the outline, and functions that walk, rebuild and prune trees of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from archscope.errors import Span
from archscope.report.report import Report, Total
from archscope.trace import Operand, Value

ZERO_TOTAL = Total()


@dataclass(frozen=True)
class OutlineLine:
    """One line of the outline. path: the full path. label: the name under its parent (`0-2` after folding).

    kind: group, block, layer, step, row, failed (the step that ended the run), unread, backward (of no forward row) or
    sum. sources: the names of what it reads, as its block calls them; reads: the same as operands. rows: the indexes
    that `total` sums; a line folded from `times` equal ones, and every line below it, sums over all of them. backward:
    the sums of the backward rows of `rows`. shared: it reads parameters that an earlier line counts.
    """

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
    """Yield every line, each before its children, with its level (1 at the top), without recursion."""
    waiting = [(1, line) for line in reversed(tuple(lines))]
    while waiting:
        level, line = waiting.pop()
        yield level, line
        waiting += [(level + 1, child) for child in reversed(line.children)]


def leaf_lines(lines: Iterable[OutlineLine]) -> Iterator[tuple[int, OutlineLine]]:
    """Return the lines without children, with their level (1 at the top). Their totals sum to the report's."""
    return ((level, line) for level, line in walk_lines(lines) if not line.children)


def detach_lines(lines: Iterable[OutlineLine], report: Report) -> list[OutlineLine]:
    """Return the lines with sources that make sense without the blocks around them.

    A source is the path of another of these lines, else of the row that made the value, or the name of the net's input.
    """
    alone = list(lines)
    paths = {index: line.path for line in alone for index in line.rows}

    def named(line: OutlineLine) -> tuple[str, ...]:
        makers = [(operand, report.index.maker_index(operand.value.id)) for operand in line.reads]
        return tuple(dict.fromkeys(paths.get(maker, operand.source) for operand, maker in makers))

    return [replace(line, sources=named(line)) for line in alone]


def rebuild_lines(
    lines: Iterable[OutlineLine], make: Callable[[int, OutlineLine, tuple[OutlineLine, ...]], OutlineLine]
) -> tuple[OutlineLine, ...]:
    """Return the lines rebuilt by `make` from their level, the line and its rebuilt children, children first."""
    top, rebuilt = tuple(lines), dict[int, OutlineLine]()
    for level, line in reversed(list(walk_lines(top))):
        rebuilt[id(line)] = make(level, line, tuple([rebuilt[id(child)] for child in line.children]))
    return tuple([rebuilt[id(line)] for line in top])


def prune_lines(lines: Iterable[OutlineLine], depth: int) -> tuple[OutlineLine, ...]:
    """Return the upper `depth` levels; costs of lines below stay in the sums."""
    return rebuild_lines(lines, lambda level, line, below: replace(line, children=below if level < depth else ()))
