"""The view of a report that lint rules use: readers, operands and parameters of rows, and chains of rows.

Report → LintContext ─ readers(row), next_op(row), previous_op(row), operands(row), param_at(row, 1) ─→ rules
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from archscope.checks.lint.axis_parts import ShapeParts, axis_parts
from archscope.report import Finding, Report
from archscope.trace import Call, Operand, Param, Row
from archscope.trace_index import TraceIndex

CONV_OPS = frozenset(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))
LINEAR_MAP_OPS = CONV_OPS | {"linear"}
DROPOUTS = frozenset(["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"])
ACTIVATIONS = frozenset(
    [
        *(
            "relu",
            "relu6",
            "leaky_relu",
            "prelu",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "softsign",
        ),
        *("sigmoid", "tanh", "hardtanh", "hardswish", "hardsigmoid", "logsigmoid", "threshold", "glu"),
    ]
)
COPIES = frozenset(["contiguous", "clone", "to", "type_as", "float", "half", "bfloat16"])


@dataclass(frozen=True, eq=False)
class LintContext:
    """A report as lint rules read it.

    object_size: the size of the objects that an image net must see, if known.
    """

    report: Report
    object_size: tuple[int, ...] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.report.trace.rows

    @property
    def index(self) -> TraceIndex:
        return self.report.index

    # -------------------------------------------------------- values
    def readers(self, row: Row) -> list[Row]:
        """Return the rows that read a row's outputs, those of its first output first."""
        return [reader for value in row.outputs for reader in self.index.readers(value.id)]

    def operands(self, row: Row) -> list[Operand]:
        """Return the operands of a row that depend on the net's input, each value once."""
        found = {op.value.id: op for op in row.inputs if op.value.id in self.index.input_dependent}
        return list(found.values())

    def param_at(self, row: Row, index: int) -> Param | None:
        """Return the parameter that is operand number `index` of a row; None if it is not a parameter."""
        operand = row.inputs[index] if index < len(row.inputs) else None
        flows = operand is not None and operand.value.id in self.index.activation_ids
        return None if operand is None or flows else self.index.params.get(operand.source)

    @cached_property
    def axes(self) -> dict[int, ShapeParts]:
        """Id of a value → the parts of its axes."""
        return axis_parts(self.report.trace)

    @cached_property
    def param_users(self) -> dict[str, list[Row]]:
        """Name of a parameter → the rows that read it."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            for number in range(len(row.inputs)):
                param = self.param_at(row, number)
                if param is not None:
                    found.setdefault(param.tied_to or param.name, []).append(row)
        return found

    @cached_property
    def last_map_index(self) -> int:
        """The index of the last row whose output has positions after batch and channels; -1 for none."""
        maps = (row.index for row in self.rows for value in row.outputs if prod(value.shape[2:]) > 1)
        return max(maps, default=-1)

    # -------------------------------------------------------- chains
    def sole_reader(self, row: Row) -> Row | None:
        """Return the only row that reads a row's output; None if there is none or several, or it is an output of the
        net."""
        if len(row.outputs) != 1 or row.outputs[0].id in self.index.output_ids:
            return None
        readers = self.readers(row)
        return readers[0] if len(readers) == 1 else None

    def next_op(self, row: Row, *, through: Callable[[Row], bool] | None = None) -> Row | None:
        """Return the only reader, skipping views, copies and dropouts, or the rows for which `through` is true."""
        skipped = through or is_passthrough
        after = self.sole_reader(row)
        while after is not None and skipped(after):
            after = self.sole_reader(after)
        return after

    def previous_op(self, row: Row) -> Row | None:
        """Return the row whose only reader this one is, skipping views, copies and dropouts."""
        before = self.index.maker(row.inputs[0]) if row.inputs else None
        while before is not None and is_passthrough(before) and before.inputs:
            before = self.index.maker(before.inputs[0])
        return before if before is not None and self.next_op(before) is row else None

    def innermost_block(self, row: Row) -> Call | None:
        """Return the innermost block around a row."""
        return next((call for call in self.index.calls_around(row.call) if call.site.kind == "block"), None)


def is_passthrough(row: Row) -> bool:
    """Return whether a row passes on every element of its first operand: a view, a copy, a dropout."""
    passes_on = row.view or row.short_name in COPIES or row.short_name.removesuffix("_") in DROPOUTS
    return passes_on and len(row.outputs) == 1 and prod(row.outputs[0].shape) == prod(row.inputs[0].value.shape)


def is_exact_passthrough(row: Row) -> bool:
    """Return whether a row passes on every element of its first operand unchanged: a view, a copy, a dropout with
    p=0."""
    return is_passthrough(row) and (op_name(row) not in DROPOUTS or row.get("p", 0.5) == 0)


def feature_axis(row: Row) -> int:
    """Return the feature axis of a linear layer's or convolution's output, counted from the end."""
    return -1 if op_name(row) == "linear" else -1 - int(row.short_name.rstrip("_")[-2])


def op_name(row: Row) -> str:
    """Return the name of a row's function, without the underscore of an in-place one."""
    return row.short_name.removesuffix("_")


def rule_finding(
    code: str, row: Row, message: str, *, help: str, level: str = "", details: Iterable[str] = ()
) -> Finding:
    """Return a finding at a row; an empty level stands for that of the rule."""
    return Finding(code, level, message, row.path, row.place, help, details=tuple(details), row=row.index)


def merge_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings with equal ones of repeated blocks merged: `also` has the other paths. Equal findings at several
    calls of one layer are one finding."""
    same: dict[tuple[object, ...], list[Finding]] = {}
    once: dict[tuple[object, ...], None] = {}
    for finding in findings:
        called = finding.rule, finding.level, finding.path, finding.message
        if finding.path and called in once:
            continue
        once[called] = None
        key = finding.rule, finding.level, finding.place, finding.message
        same.setdefault(key, []).append(finding)
    for first, *others in same.values():
        also = dict.fromkeys(other.path for other in others if other.path != first.path)
        yield replace(first, also=(*first.also, *also))
