"""The time that fusion would save: rows that only read and rewrite the output of the row before them.

A norm or an element-wise operation that is the only reader of the row before it could be computed there, before its
input is written to memory. Only its other operands must still be read. So fusion saves the share of its time that
belongs to its input and output: all of a ReLU's traffic, two thirds of a residual addition's. A batch norm in training
cannot be fused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from archscope.ops.norms import CHANNEL_NORMS
from archscope.report import Report
from archscope.trace import Row

FUSIBLE_NORMS = frozenset(
    ["batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm", "local_response_norm"]
)
"""In training these need the statistics of the whole batch, so they cannot be computed while their input is made."""

FUSIBLE_ELEMENTWISE = frozenset(
    [
        *("add", "sub", "mul", "div", "neg", "abs", "pow", "sqrt", "rsqrt", "exp", "log", "clamp", "where", "dropout"),
        *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "hardtanh"),
        *("hardswish", "hardsigmoid", "softplus", "prelu", "logsigmoid", "masked_fill", "to", "type_as", "float"),
    ]
)
FUSIBLE_OPS: Mapping[str, frozenset[str]] = {"norms": FUSIBLE_NORMS, "element-wise operations": FUSIBLE_ELEMENTWISE}


@dataclass(frozen=True)
class FusibleRows:
    """Rows of one kind that could be fused: the seconds that this would save, and the rows' indexes."""

    kind: str
    seconds: float
    rows: tuple[int, ...]


def find_fusible(report: Report, seconds: Sequence[float | None]) -> tuple[FusibleRows, ...]:
    """Return fusible rows by kind, the greatest saving first. seconds: of each row; rows without a time are left
    out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for index, saved in fusion_savings(report, seconds):
        short = report.rows[index].row.short_name.removesuffix("_")
        kind = next(kind for kind, names in FUSIBLE_OPS.items() if short in names)
        found.setdefault(kind, []).append((index, saved))
    groups = [
        FusibleRows(kind, fsum(saved for _, saved in rows), tuple(index for index, _ in rows))
        for kind, rows in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group.seconds))


def fusion_savings(report: Report, seconds: Sequence[float | None]) -> Iterator[tuple[int, float]]:
    """Yield the index of each row that could be fused, and the seconds that this would save."""
    index = report.index
    fusible = (FUSIBLE_NORMS | FUSIBLE_ELEMENTWISE) - (CHANNEL_NORMS if report.trace.mode == "train" else frozenset())
    for row in report.rows:
        spent = seconds[row.index]
        if spent is None or row.row.view or row.row.short_name.removesuffix("_") not in fusible:
            continue
        fed = fusible_input(row.row, index.makers)
        if fed is not None and len(index.readers(fed)) == 1 and fed not in index.output_ids:
            size = next(operand.value.bytes for operand in row.row.inputs if operand.value.id == fed)
            others = row.cost.read - size
            moved = row.cost.read + row.cost.written
            yield row.index, spent * (1 - others / moved) if moved else 0.0


def fusible_input(row: Row, makers: Mapping[int, Row]) -> int | None:
    """Return the id of the last computed input that has the shape of an output and is not made by a view; else None."""
    output_shapes = {value.shape for value in row.outputs}
    inputs = [
        (makers[operand.value.id].index, operand.value.id)
        for operand in row.inputs
        if operand.value.id in makers and operand.value.shape in output_shapes and not makers[operand.value.id].view
    ]
    return max(inputs)[1] if inputs else None
