"""The index of a trace: which rows make and read each value of its forward pass, what depends on what, and which rows
fail or depend on one that fails (Soundness).

    Trace → TraceIndex ─ makers, readers(id), activations(row), descendants(rows), calls_around(call) ─→ rows, calls

Values are identified by their ids and rows by their indexes. Each index is built on first use, in linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from archscope.trace import Call, Location, Operand, Param, Row, Trace

NO_ROWS = range(0)


@dataclass(frozen=True, eq=False)
class TraceIndex:
    """The indexes of one trace. Rows are those of the forward pass."""

    trace: Trace

    # -------------------------------------------------------- values
    @cached_property
    def inputs(self) -> frozenset[int]:
        """The ids of the net's inputs."""
        return frozenset(operand.value.id for operand in self.trace.inputs)

    @cached_property
    def output_ids(self) -> frozenset[int]:
        """The ids of the values that the net returns."""
        return frozenset(operand.value.id for operand in self.trace.outputs)

    @cached_property
    def makers(self) -> dict[int, Row]:
        """The row that made each value, by the value's id; inputs, parameters, buffers and constants have none."""
        return {value.id: row for row in self.trace.rows for value in row.outputs}

    def maker(self, operand: Operand) -> Row | None:
        """Return the row that made an operand's value; None if no row did."""
        return self.makers.get(operand.value.id)

    def maker_index(self, value: int) -> int:
        """Return the index of the row that made a value, -1 if no row did."""
        row = self.makers.get(value)
        return row.index if row is not None else -1

    @cached_property
    def _readers(self) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for row in self.trace.rows:
            for operand in row.inputs:
                rows = found.setdefault(operand.value.id, [])
                if not rows or rows[-1] is not row:
                    rows.append(row)
        return found

    def readers(self, value: int) -> Sequence[Row]:
        """Return the rows that read a value, each once, in the order of the run."""
        return self._readers.get(value, ())

    @cached_property
    def activation_ids(self) -> frozenset[int]:
        """The ids of the inputs and of the values that rows of either pass made, without parameters, buffers and
        constants."""
        derived = (value.id for row in self.trace.backward for value in row.outputs)
        return self.inputs.union(self.makers, derived)

    def activations(self, row: Row) -> tuple[Operand, ...]:
        """Return the operands of a row of either pass that are activations: no parameters, no buffers."""
        activation_ids = self.activation_ids
        return tuple([operand for operand in row.inputs if operand.value.id in activation_ids])

    @cached_property
    def params(self) -> dict[str, Param]:
        """The parameters by name; tied ones under each of their names."""
        return {param.name: param for param in self.trace.params}

    def reads_params(self, row: Row) -> bool:
        """Return whether a row reads a parameter (a row's path may equal a parameter's name, so activations are
        excluded)."""
        return any(op.source in self.params and op.value.id not in self.activation_ids for op in row.inputs)

    # -------------------------------------------------------- what depends on what
    def reachable_values(self, values: Iterable[int], *, without: Collection[int] = ()) -> set[int]:
        """Return the ids of the values that depend on the given ones, themselves included.

        without: the indexes of rows that pass no dependency on.
        """
        found = set(values)
        for row in self.trace.rows:
            if row.index not in without and any(operand.value.id in found for operand in row.inputs):
                found.update(value.id for value in row.outputs)
        return found

    @cached_property
    def input_dependent(self) -> frozenset[int]:
        """The ids of the values that depend on an input; all others are constant, whichever rows made them."""
        return frozenset(self.reachable_values(self.inputs))

    def descendants(self, rows: Iterable[int]) -> frozenset[int]:
        """Return the indexes of the rows that depend on an output of any of these rows, these included."""
        found, values = set(rows), set[int]()
        for row in self.trace.rows:
            if row.index in found or any(operand.value.id in values for operand in row.inputs):
                found.add(row.index)
                values.update(value.id for value in row.outputs)
        return frozenset(found)

    def ancestors(self, operand: Operand) -> dict[int, int]:
        """Return the values that an operand depends on, itself included: id → the index of the row that made it, or -1.

        Parameters, buffers and constants are left out.
        """
        found: dict[int, int] = {}
        waiting = [operand.value.id]
        while waiting:
            value = waiting.pop()
            if value in found or value not in self.activation_ids:
                continue
            row = self.makers.get(value)
            found[value] = row.index if row is not None else -1
            waiting += [source.value.id for source in row.inputs] if row is not None else []
        return found

    @cached_property
    def needed_rows(self) -> frozenset[int]:
        """The indexes of the rows that an output depends on."""
        return self._rows_leading_to_results(lambda row: False)

    @cached_property
    def live_rows(self) -> frozenset[int]:
        """The indexes of the rows that an output, or a row that writes in place, depends on."""
        return self._rows_leading_to_results(is_in_place)

    def _rows_leading_to_results(self, is_result: Callable[[Row], bool]) -> frozenset[int]:
        """Return the indexes of the rows for which `is_result` is true, and of those that they or an output depend
        on."""
        wanted, found = set(self.output_ids), set[int]()
        for row in reversed(self.trace.rows):
            if is_result(row) or any(value.id in wanted for value in row.outputs):
                found.add(row.index)
                wanted.update(operand.value.id for operand in row.inputs)
        return frozenset(found)

    # -------------------------------------------------------- calls
    def calls_around(self, call: int) -> Iterator[Call]:
        """Yield the call with this index and those around it, the innermost first; none for -1."""
        while call >= 0:
            found = self.trace.calls[call]
            yield found
            call = found.parent

    def blocks(self, row: Row) -> list[Call]:
        """Return the calls of blocks that a row is in, the innermost first, without the net itself."""
        return [call for call in self.calls_around(row.call) if call.site.kind == "block" and call.parent >= 0]

    def layer(self, row: Row) -> Location | None:
        """Return the location of the layer that a row ran in; None if its innermost call is not a layer."""
        site = self.trace.calls[row.call].site if row.call >= 0 else None
        return site if site is not None and site.kind == "layer" else None

    def layer_text(self, row: Row) -> str:
        """Return a row's layer with its arguments in short, `Conv2d 64, 3×3`; else the function's name."""
        site = self.layer(row)
        return f"{site.name} {site.text}".strip() if site is not None else row.op

    @cached_property
    def row_spans(self) -> list[range]:
        """For each call, the range of the indexes of its rows, those of nested calls included.

        A call ends before the next one on its level begins, so its rows are contiguous.
        """
        spans = [NO_ROWS] * len(self.trace.calls)
        for row in self.trace.rows:
            if row.call >= 0:
                start = spans[row.call].start if spans[row.call] else row.index
                spans[row.call] = range(start, row.index + 1)
        for call in reversed(self.trace.calls):
            if call.parent >= 0:
                spans[call.parent] = merge_ranges((spans[call.parent], spans[call.index]))
        return spans

    def rows_within(self, call: Call) -> tuple[Row, ...]:
        """Return all rows of a call, those of nested calls included."""
        span = self.row_spans[call.index]
        return self.trace.rows[span.start : span.stop]


def merge_ranges(spans: Iterable[range]) -> range:
    """Return the range that covers several adjacent ranges."""
    found = [span for span in spans if span]
    return range(min(span.start for span in found), max(span.stop for span in found)) if found else NO_ROWS


def is_in_place(row: Row) -> bool:
    """Return whether a row writes into a tensor that it reads."""
    return row.short_name == "setitem" or row.short_name.endswith("_")


FAILS, ASSUMED, UNRUN = "fails", "assumed", "not run"


@dataclass(frozen=True)
class Soundness:
    """The indexes of the rows that fail, and of those whose sizes are assumed. runs: True if nothing failed."""

    runs: bool
    failing: Collection[int] = frozenset()
    assumed: Collection[int] = frozenset()

    def of(self, rows: Iterable[int]) -> str:
        """Return `fails` if one of these rows fails, `assumed` if one depends on a failing row, else ""."""
        found = set(rows)
        if not found.isdisjoint(self.failing):
            return FAILS
        return "" if found.isdisjoint(self.assumed) else ASSUMED


def soundness(index: TraceIndex) -> Soundness:
    """Return the failing and assumed rows of a run. A failed backward pass does not count."""
    trace = index.trace
    failed = trace.failure is not None and not trace.failure.backward
    failing = frozenset(mismatch.row for mismatch in trace.mismatches)
    if not failing:
        return Soundness(not failed)
    return Soundness(False, failing, index.descendants(failing) - failing)
