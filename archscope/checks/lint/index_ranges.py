"""Numbers that index a table, and reach beyond it: those of an input whose range is known, and those that count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archscope import units
from archscope.checks.lint.lint_context import COPIES, LintContext, is_passthrough, op_name, rule_finding
from archscope.report import Finding
from archscope.trace import Row

LOOKUP_OPS = frozenset(["embedding", "embedding_bag"])
VALUE_KEEPING_OPS = COPIES | {
    "long",
    "int",
    "expand",
    "expand_as",
    "broadcast_to",
    "repeat",
    "repeat_interleave",
    "tile",
}
VALUE_KEEPING_OPS |= {
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
SLICING_OPS = frozenset(["getitem", "select", "narrow", "chunk", "split", "tensor_split", "unbind", "index_select"])


class IndexRange(NamedTuple):
    """What numbers reach from and to, both included. source: the input that holds them, empty of those that count.

    cut: a part of the input, which may hold fewer.
    """

    low: int
    high: int
    source: str = ""
    cut: bool = False


class TableLookup(NamedTuple):
    """A row that indexes a table of so many rows."""

    row: Row
    size: int
    numbers: IndexRange

    @property
    def is_out_of_range(self) -> bool:
        return self.numbers.low < 0 or self.numbers.high >= self.size


def index_range(flow: LintContext) -> Iterator[Finding]:
    """Of an input that is cut into columns with tables of their own, the largest one may be what its range is for."""
    lookups = list(find_lookups(flow))
    fitting = {one.numbers.source for one in lookups if not one.is_out_of_range and one.numbers.cut}
    for row, size, numbers in (one for one in lookups if one.is_out_of_range):
        if numbers.cut and numbers.source in fitting:
            continue
        table = flow.index.layer_text(row)
        has = f"{table} has rows for 0 to {units.format_count(size - 1)}"
        if numbers.source:
            said = f"{numbers.source} holds numbers from {numbers.low} to {units.format_count(numbers.high)}, and {has}"
            help = f"a table of {units.format_count(numbers.high + 1)}, or another range of the input"
        else:
            said = f"it is indexed by {units.format_count(numbers.high + 1)} different numbers, and {has}"
            help = f"a table of {units.format_count(numbers.high + 1)} at the least, or fewer numbers"
        yield rule_finding("index-range", row, said, help=help)


def find_lookups(flow: LintContext) -> Iterator[TableLookup]:
    """The rows that index tables by numbers of which something is known."""
    given = {name: (low, high - 1) for name, low, high in flow.report.ranges}
    inputs = flow.report.trace.inputs
    known = {i.value.id: IndexRange(*given[i.source], i.source) for i in inputs if i.source in given}
    for row in flow.rows:
        numbers = [known[operand.value.id] for operand in row.inputs if operand.value.id in known]
        if op_name(row) == "arange" and not row.inputs and row.outputs[0].dtype.startswith("int"):
            known[row.outputs[0].id] = IndexRange(0, row.outputs[0].shape[0] - 1)
        elif numbers and op_name(row) in LOOKUP_OPS and row.inputs[0].value.id in known:
            yield TableLookup(row, row.inputs[1].value.shape[0], numbers[0])
        elif numbers and op_name(row) == "one_hot":
            yield TableLookup(row, row.outputs[0].shape[-1], numbers[0])
        elif numbers:
            known.update(propagate_ranges(row, numbers))


def propagate_ranges(row: Row, numbers: list[IndexRange]) -> Iterator[tuple[int, IndexRange]]:
    """What a row's outputs reach to, where it hands on what it reads: all of it, or a part."""
    widest = max(numbers, key=lambda one: one.high)
    if op_name(row) in SLICING_OPS and widest.source:
        yield from ((value.id, widest._replace(cut=True)) for value in row.outputs)
    elif op_name(row) in VALUE_KEEPING_OPS or is_passthrough(row):
        yield from ((value.id, widest) for value in row.outputs)
