"""The rule `index-range`: indices outside of their table, from inputs with a known range or from `arange`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archscope import units
from archscope.checks.lint.lint_context import COPIES, LintContext, is_passthrough, op_name, rule_finding
from archscope.checks.lint.lint_rule import lint_rule
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
    """The lowest and highest value of indices. source: the input that holds them, empty for `arange`.

    cut: True for a slice of the input, whose range may be smaller.
    """

    low: int
    high: int
    source: str = ""
    cut: bool = False


class TableLookup(NamedTuple):
    """A row that indexes a table of `size` rows."""

    row: Row
    size: int
    numbers: IndexRange

    @property
    def is_out_of_range(self) -> bool:
        return self.numbers.low < 0 or self.numbers.high >= self.size


@lint_rule("index-range", "error", "indices outside of the table that they index", family="conflict")
def index_range(context: LintContext) -> Iterator[Finding]:
    """Yield lookups whose indices exceed their table. If an input is split into columns for several tables, its range
    may be that of the largest table only."""
    lookups = list(find_lookups(context))
    fitting = {lookup.numbers.source for lookup in lookups if not lookup.is_out_of_range and lookup.numbers.cut}
    for row, size, numbers in (lookup for lookup in lookups if lookup.is_out_of_range):
        if numbers.cut and numbers.source in fitting:
            continue
        table = context.index.layer_text(row)
        has = f"{table} has rows for 0 to {units.format_count(size - 1)}"
        if numbers.source:
            message = (
                f"{numbers.source} holds numbers from {numbers.low} to {units.format_count(numbers.high)}, and {has}"
            )
            help = f"a table of {units.format_count(numbers.high + 1)}, or another range of the input"
        else:
            message = f"it is indexed by {units.format_count(numbers.high + 1)} different numbers, and {has}"
            help = f"a table of {units.format_count(numbers.high + 1)} at least, or fewer numbers"
        yield rule_finding("index-range", row, message, help=help)


def find_lookups(context: LintContext) -> Iterator[TableLookup]:
    """Yield the rows that index tables by numbers of known range."""
    given = {name: (low, high - 1) for name, low, high in context.report.ranges}
    inputs = context.report.trace.inputs
    known = {i.value.id: IndexRange(*given[i.source], i.source) for i in inputs if i.source in given}
    for row in context.rows:
        numbers = [known[operand.value.id] for operand in row.inputs if operand.value.id in known]
        if op_name(row) == "arange" and not row.inputs and row.outputs[0].dtype.startswith("int"):
            known[row.outputs[0].id] = IndexRange(0, row.outputs[0].shape[0] - 1)
        elif numbers and op_name(row) in LOOKUP_OPS and row.inputs[0].value.id in known:
            yield TableLookup(row, row.inputs[1].value.shape[0], numbers[0])
        elif numbers and op_name(row) == "one_hot":
            yield TableLookup(row, row.outputs[0].shape[-1], numbers[0])
        elif numbers:  # the row may pass on the values that it reads, or a part of them
            widest = max(numbers, key=lambda numbers_read: numbers_read.high)
            if op_name(row) in SLICING_OPS and widest.source:
                known.update((value.id, widest._replace(cut=True)) for value in row.outputs)
            elif op_name(row) in VALUE_KEEPING_OPS or is_passthrough(row):
                known.update((value.id, widest) for value in row.outputs)
