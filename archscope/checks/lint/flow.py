"""One trace, indexed for the rules: who makes, reads and holds every value, what depends on the input, what is alive.

Report → Flow ─ reader(row), follower(row), maker(operand), within(call) ─→ rules
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from archscope.checks.rules import RULES
from archscope.report import Finding, Report
from archscope.trace import Call, Operand, Param, Row, Value

LEVELS = {rule.code: rule.level for rule in RULES}
CONVOLUTIONS = frozenset(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))
LINEAR = CONVOLUTIONS | {"linear"}
DROPOUTS = frozenset(["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"])
STATISTICS = frozenset(["batch_norm", "instance_norm"])
NORMS = STATISTICS | {"group_norm", "layer_norm", "rms_norm"}
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
class Flow:
    """object_size: how large the things are that an image net must see, where that is known."""

    report: Report
    object_size: tuple[int, ...] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.report.trace.rows

    # -------------------------------------------------------- values
    @cached_property
    def makers(self) -> dict[int, Row]:
        return {value.id: row for row in self.rows for value in row.outputs}

    @cached_property
    def _readers(self) -> dict[int, list[Row]]:
        found: dict[int, dict[int, Row]] = {}
        for row in self.rows:
            for operand in row.inputs:
                found.setdefault(operand.value.id, {})[row.index] = row
        return {value: list(rows.values()) for value, rows in found.items()}

    def readers(self, value: Value) -> list[Row]:
        """The rows that read a value, each once."""
        return self._readers.get(value.id, [])

    @cached_property
    def results(self) -> frozenset[int]:
        return frozenset(operand.value.id for operand in self.report.trace.outputs)

    @cached_property
    def dependent(self) -> frozenset[int]:
        """The values that an input flows into; others are constants, whatever rows they come from."""
        found = {operand.value.id for operand in self.report.trace.inputs}
        for row in self.rows:
            if any(operand.value.id in found for operand in row.inputs):
                found |= {value.id for value in row.outputs}
        return frozenset(found)

    def operands(self, row: Row) -> list[Operand]:
        """What a row reads of what depends on the input, each value once."""
        found = {op.value.id: op for op in row.inputs if op.value.id in self.dependent}
        return list(found.values())

    @cached_property
    def params(self) -> dict[str, Param]:
        return {param.name: param for param in self.report.trace.params}

    def held(self, row: Row, index: int) -> Param | None:
        """The parameter that a row reads as its operand number `index`; None where it is none."""
        operand = row.inputs[index] if index < len(row.inputs) else None
        flows = operand is not None and operand.value.id in self.report.flowing
        return None if operand is None or flows else self.params.get(operand.source)

    @cached_property
    def last_map(self) -> int:
        """The last row that gives a map: axes of positions behind batch and channels."""
        maps = (row.index for row in self.rows for value in row.outputs if prod(value.shape[2:]) > 1)
        return max(maps, default=-1)

    # -------------------------------------------------------- chains
    def reader(self, row: Row) -> Row | None:
        """The only row that reads what a row gives; None where there is none or several, or the net gives it."""
        if len(row.outputs) != 1 or row.outputs[0].id in self.results:
            return None
        readers = self.readers(row.outputs[0])
        return readers[0] if len(readers) == 1 else None

    def follower(self, row: Row) -> Row | None:
        """The only reader, past views, copies and dropouts."""
        after = self.reader(row)
        while after is not None and passes(after):
            after = self.reader(after)
        return after

    def leader(self, row: Row) -> Row | None:
        """The row whose only reader this one is, past views, copies and dropouts."""
        before = self.makers.get(row.inputs[0].value.id) if row.inputs else None
        while before is not None and passes(before) and before.inputs:
            before = self.makers.get(before.inputs[0].value.id)
        return before if before is not None and self.follower(before) is row else None

    # -------------------------------------------------------- calls
    @cached_property
    def parents(self) -> dict[int, tuple[int, ...]]:
        """Call → itself and the calls around it, the innermost first."""
        found: dict[int, tuple[int, ...]] = {-1: ()}
        for call in self.report.trace.calls:
            found[call.index] = (call.index, *found[call.parent])
        return found

    @cached_property
    def _inside(self) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            for call in self.parents[row.call]:
                found.setdefault(call, []).append(row)
        return found

    def within(self, call: Call) -> list[Row]:
        """All rows of a call, those of the calls inside it too."""
        return self._inside.get(call.index, [])

    def block(self, row: Row) -> Call | None:
        """The innermost block around a row."""
        calls = self.report.trace.calls
        return next((calls[index] for index in self.parents[row.call] if calls[index].site.kind == "block"), None)

    def layer(self, row: Row) -> str:
        """`Conv2d 64, 3×3`, or the function's name."""
        site = self.report.trace.calls[row.call].site if row.call >= 0 else None
        return f"{site.name} {site.text}".strip() if site is not None and site.kind == "layer" else row.op

    # -------------------------------------------------------- what is alive
    @cached_property
    def alive(self) -> frozenset[int]:
        """The rows that lead to a result, or write into something that lives on."""
        wanted = set(self.results)
        found = set()
        for row in reversed(self.rows):
            if in_place(row) or any(value.id in wanted for value in row.outputs):
                found.add(row.index)
                wanted |= {operand.value.id for operand in row.inputs}
        return frozenset(found)


def passes(row: Row) -> bool:
    """Whether a row hands on every element of its first operand: a view, a copy, a dropout."""
    handed = row.view or row.short in COPIES or row.short.removesuffix("_") in DROPOUTS
    return handed and len(row.outputs) == 1 and prod(row.outputs[0].shape) == prod(row.inputs[0].value.shape)


def in_place(row: Row) -> bool:
    return row.short == "setitem" or row.short.endswith("_")


def plain(row: Row) -> str:
    """A row's function, whether it writes in place or not."""
    return row.short.removesuffix("_")


def found(code: str, row: Row, message: str, *, help: str, level: str = "", details: Iterable[str] = ()) -> Finding:
    """A finding at a row; the level is the rule's own unless another is given."""
    return Finding(code, level or LEVELS[code], message, row.path, row.place, help, details=tuple(details))


def merged(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Equal findings as one, which names the other paths: those of repeated blocks."""
    same: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = finding.rule, finding.level, finding.place, finding.message
        same.setdefault(key, []).append(finding)
    for first, *others in same.values():
        also = dict.fromkeys(other.path for other in others if other.path != first.path)
        yield replace(first, also=(*first.also, *also))
