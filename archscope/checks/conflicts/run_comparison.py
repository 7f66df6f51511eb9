"""A run with another layer beside the broken run, row by row: whether the conflict is gone, and what else is another.

before, after, replaced paths ─→ RunComparison: how many other rows give other shapes; None where it is no cure
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.report import Report
from archscope.trace import Row, Trace
from archscope.trace_index import TraceIndex

COMBINING_OPS = ("add", "sub", "mul", "div", "truediv", "cat", "concat", "stack", "conv1d", "conv2d", "conv3d")
"""Functions that make nothing new of one value read twice."""


@dataclass(frozen=True)
class RunComparison:
    """changed: how many rows give another shape between the layer and the conflict. is_priced: whether all other
    conflicts are as they were, so that no made-up size differs. fixed_rows: the rows of the conflicts that are gone.
    left: how many are not."""

    changed: int
    is_priced: bool
    fixed_rows: frozenset[int]
    left: int


def compare_runs(
    before: Report, after: Report, replaced: Iterable[str], diagnosis: Diagnosis | None, rows: Collection[int] = ()
) -> RunComparison | None:
    """What a run with other layers at these paths says beside the broken run; None where they cure nothing, or break
    something. rows: those that are told something else beside these layers.

    A cure leaves no error that was not there, runs the same functions, gives the same shapes wherever nothing depends
    on the layers, reads every parameter that was read, and takes every input to as many outputs.
    """
    paths = frozenset(replaced)
    old, new = before.trace, after.trace
    if not is_fixed(old, new, diagnosis) or not keeps_inputs_and_outputs(before, after):
        return None
    if count_self_joins(before) < count_self_joins(after):
        return None
    if {mismatch.row for mismatch in new.mismatches} & follow_on_rows(before):
        return None  # what follows from the conflict is still there, so it is not gone
    if len(paths) > 1 and {mismatch.fact for mismatch in new.mismatches} - {
        mismatch.fact for mismatch in old.mismatches
    }:
        return None  # what is left is wrong in another way
    if old.failure is None and len(old.rows) != len(new.rows):
        return None
    own = rows_of_layers(old, paths) | set(rows)
    conflict = {mismatch.row for mismatch in old.mismatches}
    touched, behind = before.index.descendants(own | conflict), before.index.descendants(conflict)
    changed = 0
    for one, other in zip(rows_to_compare(old, paths), new.rows, strict=False):
        if (one.path, one.function) != (other.path, other.function):
            return None
        differs = [value.shape for value in one.outputs] != [value.shape for value in other.outputs]
        if differs and one.index not in touched:
            return None
        changed += differs and one.index not in own | behind
    left = {mismatch.row for mismatch in new.mismatches}
    priced = old.failure is None and other_conflicts(old, diagnosis) == distinct_conflicts(new)
    return RunComparison(changed, priced, frozenset(conflict - left), len(left))


def rows_to_compare(old: Trace, paths: Collection[str]) -> Sequence[Row]:
    """The rows of a run; of one that failed in a layer that was changed, without those that this layer began with."""
    rows = list(old.rows)
    while old.failure is not None and rows and rows[-1].path == old.failure.site.path and rows[-1].path in paths:
        rows.pop()
    return rows


def compare_with_added_rows(before: Report, after: Report, functions: Collection[str]) -> RunComparison | None:
    """The same of a run with more rows, of functions of these names: a cure if nothing is wrong any more, and all other
    rows are there in their order, with the same shapes up to the first new one. Paths may be others."""
    old, new = before.trace, after.trace
    if old.failure is not None or new.failure is not None or new.mismatches or not old.mismatches:
        return None
    rest, waiting = list(new.rows), iter(old.rows)
    wanted = next(waiting, None)
    kept: list[tuple[Row, Row]] = []
    for row in rest:
        if wanted is not None and row.function == wanted.function:
            kept.append((wanted, row))
            wanted = next(waiting, None)
        elif row.short_name not in functions:
            return None
    if wanted is not None or len(rest) == len(kept):
        return None
    ahead = [(row, other) for row, other in kept if row.index == other.index]
    if any([v.shape for v in row.outputs] != [v.shape for v in other.outputs] for row, other in ahead):
        return None
    return compare_if_all_fixed(before, after) if len(params_read(old)) == len(params_read(new)) else None


def count_self_joins(report: Report) -> int:
    """How many rows combine one value with itself, as `x + x` and `cat([a, a])` do."""
    rows = (row for row in report.trace.rows if row.short_name.removesuffix("_") in COMBINING_OPS)
    read = ([operand.value.id for operand in report.index.activations(row)] for row in rows)
    return sum(len(set(ids)) < len(ids) for ids in read)


def compare_if_all_fixed(before: Report, after: Report) -> RunComparison | None:
    """The same of a run whose rows may be others: a cure if nothing is wrong any more, every parameter is read that was
    read and is still there, and every input has an effect that had one."""
    old, new = before.trace, after.trace
    if new.failure is not None or new.mismatches or not old.mismatches:
        return None
    if count_self_joins(before) < count_self_joins(after):
        return None
    errors = any(finding.level == "error" for finding in after.findings)
    fewer = old.failure is None and len(old.outputs) != len(new.outputs)
    kept = params_read(old) & {param.name for param in new.params}
    if (
        errors
        or fewer
        or not kept <= params_read(new)
        or not effective_inputs(before.index) <= effective_inputs(after.index)
    ):
        return None
    return RunComparison(0, True, frozenset(mismatch.row for mismatch in old.mismatches), 0)


def is_same_run(one: Report, other: Report) -> bool:
    """Whether two runs went the same way, on whatever devices: the same rows, the same conflicts."""
    return run_signature(one.trace) == run_signature(other.trace)


def run_signature(trace: Trace) -> tuple[object, ...]:
    rows = [(row.path, row.function, [value.shape for value in row.outputs]) for row in trace.rows]
    return rows, conflict_shapes(trace), trace.failure is not None


def is_fixed(old: Trace, new: Trace, diagnosis: Diagnosis | None) -> bool:
    """Whether the conflict is gone, at all its places, and none is there that was not before."""
    if new.failure is not None:
        return False
    own = conflict_rows(old, diagnosis)
    return {mismatch.row for mismatch in new.mismatches} <= {m.row for m in old.mismatches} - own


def follow_on_rows(report: Report) -> set[int]:
    """The rows of conflicts that may follow from others."""
    likely = (finding.diagnosis for finding in report.findings if finding.diagnosis is not None and finding.likely)
    return {row for diagnosis in likely for row in conflict_rows(report.trace, diagnosis)}


def conflict_rows(trace: Trace, diagnosis: Diagnosis | None) -> set[int]:
    """The rows of a conflict: it may be there at several paths."""
    if diagnosis is None:
        return set()
    place, mismatch = diagnosis.mismatch.site.place, diagnosis.mismatch
    alike = (m for m in trace.mismatches if (m.kind, m.axes, m.site.place) == (mismatch.kind, mismatch.axes, place))
    return {mismatch.row, *(m.row for m in alike if place is not None)}


def other_conflicts(trace: Trace, diagnosis: Diagnosis | None) -> set[object]:
    """The conflicts beside one."""
    own = conflict_rows(trace, diagnosis)
    return {one for one, row in zip(conflict_shapes(trace), trace.mismatches, strict=True) if row.row not in own}


def distinct_conflicts(trace: Trace) -> set[object]:
    return set(conflict_shapes(trace))


def conflict_shapes(trace: Trace) -> list[object]:
    """Each conflict's row with the shapes that did not fit."""
    return [(m.row, tuple(operand.value.shape for operand in m.operands)) for m in trace.mismatches]


def keeps_inputs_and_outputs(before: Report, after: Report) -> bool:
    """Whether as many outputs come out, no parameter is left unread that was read, and no input without an effect."""
    old, new = before.trace, after.trace
    errors = ({f.rule for f in report.findings if f.level == "error"} for report in (before, after))
    first, second = errors
    if second - first or (old.failure is None and len(old.outputs) != len(new.outputs)):
        return False
    return params_read(old) <= params_read(new) and effective_inputs(before.index) <= effective_inputs(after.index)


def params_read(trace: Trace) -> set[str]:
    return {name for row in trace.rows for name in row.params}


def effective_inputs(index: TraceIndex) -> set[str]:
    """The inputs that an output depends on."""
    ids = {value for operand in index.trace.outputs for value in index.ancestors(operand)}
    return {operand.source for operand in index.trace.inputs if operand.value.id in ids}


def rows_of_layers(trace: Trace, paths: frozenset[str]) -> set[int]:
    """The rows of the layers at these paths."""
    return {row.index for row in trace.rows if row.call >= 0 and trace.calls[row.call].site.path in paths}
