"""What would go if it were fused: rows that only pass over what the row before them has just made.

A norm or an element-wise operation that is the only reader of the row before it could be computed there, before its
input is written. What is left of it then is reading its other operands. So of its time goes the share of its traffic
that is no other operand's: of a ReLU all, of a residual addition two thirds. In training a batch norm is none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from archscope.report import Report
from archscope.trace import Row

FUSIBLE_NORMS = frozenset(
    ["batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm", "local_response_norm"]
)
BATCH_NORMS = frozenset(["batch_norm", "instance_norm"])
"""In training these wait for the statistics of the whole batch: they cannot be computed while their input is made."""

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
    """Seconds that would go with rows of one kind, and their indexes."""

    kind: str
    seconds: float
    rows: tuple[int, ...]


def find_fusible(report: Report, seconds: Sequence[float | None]) -> tuple[FusibleRows, ...]:
    """By kind, the greatest first. seconds: of each row; a row without is left out."""
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
    """Rows that could be fused, and the seconds that would go with each."""
    index = report.index
    able = (FUSIBLE_NORMS | FUSIBLE_ELEMENTWISE) - (BATCH_NORMS if report.trace.mode == "train" else frozenset())
    for row in report.rows:
        spent = seconds[row.index]
        if spent is None or row.row.view or row.row.short_name.removesuffix("_") not in able:
            continue
        fed = fusible_input(row.row, index.makers)
        if fed is not None and len(index.readers(fed)) == 1 and fed not in index.output_ids:
            size = next(operand.value.bytes for operand in row.row.inputs if operand.value.id == fed)
            others = row.cost.read - size
            moved = row.cost.read + row.cost.written
            yield row.index, spent * (1 - others / moved) if moved else 0.0


def fusible_input(row: Row, makers: Mapping[int, Row]) -> int | None:
    """The value of the row that was made last, by a row that does work, and is as large as what the row gives."""
    given = {value.shape for value in row.outputs}
    made = [
        (makers[operand.value.id].index, operand.value.id)
        for operand in row.inputs
        if operand.value.id in makers and operand.value.shape in given and not makers[operand.value.id].view
    ]
    return max(made)[1] if made else None
