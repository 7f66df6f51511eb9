"""The origin of an axis size in numbers: `196 = 14×14 of the parameter pos`, `65 = 8×8 + 1`.

operand, axis → back along the axis ─ a view that merged axes, a concat that added to it ─→ SizeOrigin
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod

from archscope.conflicts.axis_origins import AxisOrigins, OutputAxis, axis_origins
from archscope.conflicts.size_model import RESHAPE_OPS
from archscope.ops.axis_map import CONCAT_OPS
from archscope.trace import Operand, Row, Value
from archscope.trace_index import TraceIndex


@dataclass(frozen=True)
class SizeOrigin:
    """size = prod(factors) + more. factors: the axes that a view merged, or (). more: what a concat added.

    kind: `table` for an axis of a parameter or buffer, or of a value computed only from these; `map` if it comes from
    an input; "" if a row set it. name: of the table or the input.
    """

    size: int
    factors: tuple[int, ...]
    more: int
    kind: str
    name: str = ""

    def __str__(self) -> str:
        """Return `65 = 8×8 + 1`; only the size if no view and no concat made it."""
        parts = "×".join(map(str, self.factors)) or str(self.size - self.more)
        more = f" + {self.more}" if self.more else ""
        return f"{self.size} = {parts}{more}" if self.factors or self.more else str(self.size)


def find_size_origin(index: TraceIndex, operand: Operand, axis: int) -> SizeOrigin:
    """Return the origin of an axis of an operand."""
    size = operand.value.shape[axis]
    factors: tuple[int, ...] = ()
    more, at, current = 0, axis, operand
    while True:
        row = index.maker(current)
        if row is None:
            inside = current.value.id in index.inputs
            return SizeOrigin(size, factors, more, "map" if inside else "table", current.source)
        is_table = current.value.id not in index.input_dependent
        found = size_sources(index, row, current.value, at, is_table=is_table)
        if not found:
            return SizeOrigin(
                size, factors, more, "table" if is_table else "", table_name(index, row) if is_table else ""
            )
        if len(found) > 1 and row.short_name in CONCAT_OPS:
            current, at = max(found, key=lambda origin: origin[0].value.shape[origin[1]])
            more += 0 if factors else sum(op.value.shape[where] for op, where in found) - current.value.shape[at]
            continue
        before = [op.value.shape[where] for op, where in found]
        if (
            len(before) > 1
            and not factors
            and row.short_name in RESHAPE_OPS
            and prod(before) == current.value.shape[at]
        ):
            factors = tuple(before)
        current, at = found[0]


def size_sources(index: TraceIndex, row: Row, value: Value, axis: int, *, is_table: bool) -> AxisOrigins:
    """Return the operands' axes that an axis follows; for a value computed only from parameters, those of the
    parameters."""
    operands = row.inputs if is_table or row.short_name in CONCAT_OPS else index.activations(row)
    return [
        origin
        for origin in axis_origins(OutputAxis(row, operands, value.shape, axis))
        if origin[0].value.id != value.id
    ]


def table_name(index: TraceIndex, row: Row) -> str:
    """Return the first parameter or buffer that a value is computed from."""
    waiting, seen = [row], {row.index}
    for reached in waiting:
        for operand in reached.inputs:
            maker = index.maker(operand)
            if maker is None:
                return operand.source
            if maker.index not in seen:
                seen.add(maker.index)
                waiting.append(maker)
    return ""


def with_map_factors(table: SizeOrigin, other: SizeOrigin) -> SizeOrigin:
    """Return a table's origin in the form of a map's: minus what a concat added, the sides of a square."""
    rest = table.size - other.more
    side = isqrt(max(rest, 0))
    if table.factors or not other.factors or len(other.factors) != 2 or side * side != rest or side < 2:
        return table
    return SizeOrigin(table.size, (side, side), other.more, table.kind, table.name)


def find_size_origins(index: TraceIndex, operands: Sequence[tuple[Operand, int]]) -> list[SizeOrigin]:
    """Return the origin of an axis for each of several operands; a table's in the form of the maps' next to it."""
    found = [find_size_origin(index, operand, axis) for operand, axis in operands]
    maps = [origin for origin in found if origin.kind != "table" and origin.factors]
    return [with_map_factors(origin, maps[0]) if origin.kind == "table" and maps else origin for origin in found]


def come_from_several_inputs(found: Sequence[SizeOrigin]) -> bool:
    """Return whether all sizes come from inputs, and from more than one."""
    return all(origin.kind == "map" for origin in found) and len({origin.name for origin in found}) > 1
