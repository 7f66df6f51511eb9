"""Where the size of an axis comes from, in numbers: `196 = 14×14 of the parameter pos`, `65 = 8×8 + 1`.

operand, axis → back along the axis ─ a view that merged axes, a list that added some ─→ SizeOrigin
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod

from archscope.checks.conflicts.axis_origins import CONCAT_OPS, AxisOrigins, OutputAxis, axis_origins
from archscope.checks.conflicts.size_model import RESHAPE_OPS
from archscope.trace import Operand, Row, Value
from archscope.trace_index import TraceIndex


@dataclass(frozen=True)
class SizeOrigin:
    """size = prod(factors) + more. factors: the axes that a view merged, or none. more: what a list added to them.

    kind: `table` where it is an axis of a parameter, of a buffer, or of what is made of these alone; `map` where it
    follows an input; "" where a row set it. name: of the table, or of the input.
    """

    size: int
    factors: tuple[int, ...]
    more: int
    kind: str
    name: str = ""

    def __str__(self) -> str:
        """`65 = 8×8 + 1`; the size alone where no view and no list made it."""
        parts = "×".join(map(str, self.factors)) or str(self.size - self.more)
        more = f" + {self.more}" if self.more else ""
        return f"{self.size} = {parts}{more}" if self.factors or self.more else str(self.size)


def find_size_origin(index: TraceIndex, operand: Operand, axis: int) -> SizeOrigin:
    """Where an axis of an operand comes from."""
    size = operand.value.shape[axis]
    factors: tuple[int, ...] = ()
    more, at, here = 0, axis, operand
    while True:
        row = index.maker(here)
        if row is None:
            inside = here.value.id in index.inputs
            return SizeOrigin(size, factors, more, "map" if inside else "table", here.source)
        is_table = here.value.id not in index.input_dependent
        found = size_sources(index, row, here.value, at, is_table=is_table)
        if not found:
            return SizeOrigin(
                size, factors, more, "table" if is_table else "", table_name(index, row) if is_table else ""
            )
        if len(found) > 1 and row.short_name in CONCAT_OPS:
            here, at = max(found, key=lambda one: one[0].value.shape[one[1]])
            more += 0 if factors else sum(op.value.shape[where] for op, where in found) - here.value.shape[at]
            continue
        before = [op.value.shape[where] for op, where in found]
        if len(before) > 1 and not factors and row.short_name in RESHAPE_OPS and prod(before) == here.value.shape[at]:
            factors = tuple(before)
        here, at = found[0]


def size_sources(index: TraceIndex, row: Row, value: Value, axis: int, *, is_table: bool) -> AxisOrigins:
    """What an axis follows; of what is made of parameters alone, theirs."""
    operands = row.inputs if is_table or row.short_name in CONCAT_OPS else index.activations(row)
    return [one for one in axis_origins(OutputAxis(row, operands, value.shape, axis)) if one[0].value.id != value.id]


def table_name(index: TraceIndex, row: Row) -> str:
    """The first parameter or buffer that a value is made of."""
    waiting, seen = [row], {row.index}
    for one in waiting:
        for operand in one.inputs:
            maker = index.maker(operand)
            if maker is None:
                return operand.source
            if maker.index not in seen:
                seen.add(maker.index)
                waiting.append(maker)
    return ""


def with_map_factors(table: SizeOrigin, other: SizeOrigin) -> SizeOrigin:
    """A table's size as a map has its own: less what a list added, the sides of a square."""
    rest = table.size - other.more
    side = isqrt(max(rest, 0))
    if table.factors or not other.factors or len(other.factors) != 2 or side * side != rest or side < 2:
        return table
    return SizeOrigin(table.size, (side, side), other.more, table.kind, table.name)


def find_size_origins(index: TraceIndex, operands: Sequence[tuple[Operand, int]]) -> list[SizeOrigin]:
    """Of one axis of several operands, where each comes from; a table's as those of the maps beside it."""
    found = [find_size_origin(index, operand, axis) for operand, axis in operands]
    maps = [one for one in found if one.kind != "table" and one.factors]
    return [with_map_factors(one, maps[0]) if one.kind == "table" and maps else one for one in found]


def come_from_several_inputs(found: Sequence[SizeOrigin]) -> bool:
    """Whether sizes that meet follow inputs, and not all of them the same one."""
    return all(one.kind == "map" for one in found) and len({one.name for one in found}) > 1
