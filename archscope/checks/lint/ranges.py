"""Numbers that index a table, and reach beyond it: those of an input whose range is known, and those that count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archscope import units
from archscope.checks.lint.flow import COPIES, Flow, found, passes, plain
from archscope.report import Finding
from archscope.trace import Row

TABLES = frozenset(["embedding", "embedding_bag"])
KEEPING = COPIES | {"long", "int", "expand", "expand_as", "broadcast_to", "repeat", "repeat_interleave", "tile"}
KEEPING |= {
    "reshape",
    "flatten",
    "flip",
    "roll",
    "permute",
    "squeeze",
    "unsqueeze",
    "transpose",
    "movedim",
    "swapaxes",
    "stack",
    "cat",
}
CUTTING = frozenset(["getitem", "select", "narrow", "chunk", "split", "tensor_split", "unbind", "index_select"])


class Range(NamedTuple):
    """What numbers reach from and to, both included. source: the input that holds them, empty of those that count.

    cut: a part of the input, which may hold fewer.
    """

    low: int
    high: int
    source: str = ""
    cut: bool = False


class Lookup(NamedTuple):
    """A row that indexes a table of so many rows."""

    row: Row
    size: int
    numbers: Range

    @property
    def beyond(self) -> bool:
        return self.numbers.low < 0 or self.numbers.high >= self.size


def index_range(flow: Flow) -> Iterator[Finding]:
    """Of an input that is cut into columns with tables of their own, the largest one may be what its range is for."""
    lookups = list(lookups_of(flow))
    fitting = {one.numbers.source for one in lookups if not one.beyond and one.numbers.cut}
    for row, size, numbers in (one for one in lookups if one.beyond):
        if numbers.cut and numbers.source in fitting:
            continue
        table = flow.index.layer_text(row)
        has = f"{table} has rows for 0 to {units.count(size - 1)}"
        if numbers.source:
            said = f"{numbers.source} holds numbers from {numbers.low} to {units.count(numbers.high)}, and {has}"
            help = f"a table of {units.count(numbers.high + 1)}, or another range of the input"
        else:
            said = f"it is indexed by {units.count(numbers.high + 1)} different numbers, and {has}"
            help = f"a table of {units.count(numbers.high + 1)} at the least, or fewer numbers"
        yield found("index-range", row, said, help=help)


def lookups_of(flow: Flow) -> Iterator[Lookup]:
    """The rows that index tables by numbers of which something is known."""
    given = {name: (low, high - 1) for name, low, high in flow.report.ranges}
    inputs = flow.report.trace.inputs
    known = {i.value.id: Range(*given[i.source], i.source) for i in inputs if i.source in given}
    for row in flow.rows:
        numbers = [known[operand.value.id] for operand in row.inputs if operand.value.id in known]
        if plain(row) == "arange" and not row.inputs and row.outputs[0].dtype.startswith("int"):
            known[row.outputs[0].id] = Range(0, row.outputs[0].shape[0] - 1)
        elif numbers and plain(row) in TABLES and row.inputs[0].value.id in known:
            yield Lookup(row, row.inputs[1].value.shape[0], numbers[0])
        elif numbers and plain(row) == "one_hot":
            yield Lookup(row, row.outputs[0].shape[-1], numbers[0])
        elif numbers:
            known.update(handed_on(row, numbers))


def handed_on(row: Row, numbers: list[Range]) -> Iterator[tuple[int, Range]]:
    """What a row's outputs reach to, where it hands on what it reads: all of it, or a part."""
    widest = max(numbers, key=lambda one: one.high)
    if plain(row) in CUTTING and widest.source:
        yield from ((value.id, widest._replace(cut=True)) for value in row.outputs)
    elif plain(row) in KEEPING or passes(row):
        yield from ((value.id, widest) for value in row.outputs)
