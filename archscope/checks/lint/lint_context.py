"""What the rules ask of a report: the chains of its rows, and what these read.

Report → LintContext ─ reader(row), follower(row), leader(row), operands(row), held(row) ─→ rules
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from archscope.checks.lint.axis_parts import ShapeParts, axis_parts
from archscope.checks.rules import RULES
from archscope.report import Finding, Report
from archscope.trace import Call, Operand, Param, Row
from archscope.trace_index import TraceIndex

RULE_LEVELS = {rule.code: rule.level for rule in RULES}
CONV_OPS = frozenset(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))
LINEAR_MAP_OPS = CONV_OPS | {"linear"}
DROPOUTS = frozenset(["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"])
CHANNEL_NORMS = frozenset(["batch_norm", "instance_norm"])
NORM_OPS = CHANNEL_NORMS | {"group_norm", "layer_norm", "rms_norm"}
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
    """object_size: how large the things are that an image net must see, where that is known."""

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
        """The rows that read what a row gives, those of its first output first."""
        return [reader for value in row.outputs for reader in self.index.readers(value.id)]

    def operands(self, row: Row) -> list[Operand]:
        """What a row reads of what depends on the input, each value once."""
        found = {op.value.id: op for op in row.inputs if op.value.id in self.index.input_dependent}
        return list(found.values())

    def param_at(self, row: Row, index: int) -> Param | None:
        """The parameter that a row reads as its operand number `index`; None where it is none."""
        operand = row.inputs[index] if index < len(row.inputs) else None
        flows = operand is not None and operand.value.id in self.index.activation_ids
        return None if operand is None or flows else self.index.params.get(operand.source)

    @cached_property
    def axes(self) -> dict[int, ShapeParts]:
        """Id of a value → what its axes are made of."""
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
        """The last row that gives a map: axes of positions behind batch and channels."""
        maps = (row.index for row in self.rows for value in row.outputs if prod(value.shape[2:]) > 1)
        return max(maps, default=-1)

    # -------------------------------------------------------- chains
    def sole_reader(self, row: Row) -> Row | None:
        """The only row that reads what a row gives; None where there is none or several, or the net gives it."""
        if len(row.outputs) != 1 or row.outputs[0].id in self.index.output_ids:
            return None
        readers = self.readers(row)
        return readers[0] if len(readers) == 1 else None

    def next_op(self, row: Row, *, through: Callable[[Row], bool] | None = None) -> Row | None:
        """The only reader, past views, copies and dropouts, or past other rows."""
        handed = through or is_passthrough
        after = self.sole_reader(row)
        while after is not None and handed(after):
            after = self.sole_reader(after)
        return after

    def previous_op(self, row: Row) -> Row | None:
        """The row whose only reader this one is, past views, copies and dropouts."""
        before = self.index.maker(row.inputs[0]) if row.inputs else None
        while before is not None and is_passthrough(before) and before.inputs:
            before = self.index.maker(before.inputs[0])
        return before if before is not None and self.next_op(before) is row else None

    def innermost_block(self, row: Row) -> Call | None:
        """The innermost block around a row."""
        return next((call for call in self.index.calls_around(row.call) if call.site.kind == "block"), None)


def is_passthrough(row: Row) -> bool:
    """Whether a row hands on every element of its first operand: a view, a copy, a dropout."""
    handed = row.view or row.short_name in COPIES or row.short_name.removesuffix("_") in DROPOUTS
    return handed and len(row.outputs) == 1 and prod(row.outputs[0].shape) == prod(row.inputs[0].value.shape)


def is_exact_passthrough(row: Row) -> bool:
    """Whether a row hands on every element of its first operand as it is: a view, a copy, a dropout that drops none."""
    return is_passthrough(row) and (op_name(row) not in DROPOUTS or row.get("p", 0.5) == 0)


def feature_axis(row: Row) -> int:
    """Along which axis of its output the features of a linear layer or convolution lie, counted from the end."""
    return -1 if op_name(row) == "linear" else -1 - int(row.short_name.rstrip("_")[-2])


def op_name(row: Row) -> str:
    """A row's function, whether it writes in place or not."""
    return row.short_name.removesuffix("_")


def rule_finding(
    code: str, row: Row, message: str, *, help: str, level: str = "", details: Iterable[str] = ()
) -> Finding:
    """A finding at a row; the level is the rule's own unless another is given."""
    level = level or RULE_LEVELS[code]
    return Finding(code, level, message, row.path, row.place, help, details=tuple(details), row=row.index)


def merge_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Equal findings as one, which names the other paths: those of repeated blocks. What is found at several calls of
    one layer is one finding too."""
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
