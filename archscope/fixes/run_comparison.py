"""Comparison of a run with changed layers and the broken run, row by row: is the conflict gone, and what else changed.

before, after, replaced paths ─→ RunComparison: the number of other rows with other shapes; None if it is no fix
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from archscope.analysis.same_runs import conflict_shapes
from archscope.conflicts.diagnosis import Diagnosis
from archscope.report import Report
from archscope.trace import Row, Trace
from archscope.trace_index import TraceIndex

COMBINING_OPS = ("add", "sub", "mul", "div", "truediv", "cat", "concat", "stack", "conv1d", "conv2d", "conv3d")
"""Functions that combine values, so that reading one value twice is probably a mistake."""


@dataclass(frozen=True)
class RunComparison:
    """The result of a comparison of two runs.

    changed: the number of rows with another shape between the layer and the conflict. is_priced: True if all other
    conflicts are unchanged, so that no assumed size differs. fixed_rows: the rows of the conflicts that are gone. left:
    the number of remaining conflicts.
    """

    changed: int
    is_priced: bool
    fixed_rows: frozenset[int]
    left: int


def compare_runs(
    before: Report, after: Report, replaced: Iterable[str], diagnosis: Diagnosis | None, rows: Collection[int] = ()
) -> RunComparison | None:
    """Return the comparison of a run with changed layers at these paths; None if they fix nothing, or break something.

    rows: rows with other arguments besides these layers. A fix adds no error, runs the same functions, keeps the shapes
    of everything that does not depend on the layers, reads every parameter that was read, and keeps every input's
    effect on as many outputs.
    """
    paths = frozenset(replaced)
    old, new = before.trace, after.trace
    if not is_fixed(old, new, diagnosis) or not keeps_inputs_and_outputs(before, after):
        return None
    if count_self_joins(before) < count_self_joins(after):
        return None
    if {mismatch.row for mismatch in new.mismatches} & follow_on_rows(before):
        return None  # consequences of the conflict are still there, so it is not gone
    if len(paths) > 1 and {mismatch.fact for mismatch in new.mismatches} - {
        mismatch.fact for mismatch in old.mismatches
    }:
        return None  # the remaining conflict is a different one
    if old.failure is None and len(old.rows) != len(new.rows):
        return None
    own = {row.index for row in old.rows if row.call >= 0 and old.calls[row.call].site.path in paths} | set(rows)
    conflict = {mismatch.row for mismatch in old.mismatches}
    touched, behind = before.index.descendants(own | conflict), before.index.descendants(conflict)
    changed = 0
    for old_row, new_row in zip(rows_to_compare(old, paths), new.rows, strict=False):
        if (old_row.path, old_row.function) != (new_row.path, new_row.function):
            return None
        differs = [value.shape for value in old_row.outputs] != [value.shape for value in new_row.outputs]
        if differs and old_row.index not in touched:
            return None
        changed += differs and old_row.index not in own | behind
    left = {mismatch.row for mismatch in new.mismatches}
    priced = old.failure is None and other_conflicts(old, diagnosis) == set(conflict_shapes(new))
    return RunComparison(changed, priced, frozenset(conflict - left), len(left))


def rows_to_compare(old: Trace, paths: Collection[str]) -> Sequence[Row]:
    """Return the rows of a run; without those of the changed layer in which it failed, if it did."""
    rows = list(old.rows)
    while old.failure is not None and rows and rows[-1].path == old.failure.site.path and rows[-1].path in paths:
        rows.pop()
    return rows


def compare_with_added_rows(before: Report, after: Report, functions: Collection[str]) -> RunComparison | None:
    """Return the comparison of a run with added rows of these functions; None unless nothing is wrong any more.

    All other rows must be there in order, with the same shapes up to the first added one. Paths may differ.
    """
    old, new = before.trace, after.trace
    if old.failure is not None or new.failure is not None or new.mismatches or not old.mismatches:
        return None
    rest, waiting = list(new.rows), iter(old.rows)
    wanted = next(waiting, None)
    pairs: list[tuple[Row, Row]] = []
    for row in rest:
        if wanted is not None and row.function == wanted.function:
            pairs.append((wanted, row))
            wanted = next(waiting, None)
        elif row.short_name not in functions:
            return None
    if wanted is not None or len(rest) == len(pairs):
        return None
    ahead = [(row, other) for row, other in pairs if row.index == other.index]
    if any([v.shape for v in row.outputs] != [v.shape for v in other.outputs] for row, other in ahead):
        return None
    return compare_if_all_fixed(before, after) if len(params_read(old)) == len(params_read(new)) else None


def count_self_joins(report: Report) -> int:
    """Return the number of rows that combine one value with itself, as `x + x` and `cat([a, a])` do."""
    rows = (row for row in report.trace.rows if row.short_name.removesuffix("_") in COMBINING_OPS)
    read = ([operand.value.id for operand in report.index.activations(row)] for row in rows)
    return sum(len(set(ids)) < len(ids) for ids in read)


def compare_if_all_fixed(before: Report, after: Report) -> RunComparison | None:
    """Return the comparison of a run with other rows; None unless nothing is wrong any more.

    Every parameter that was read and still exists must be read, and every input that had an effect must have one.
    """
    old, new = before.trace, after.trace
    if new.failure is not None or new.mismatches or not old.mismatches:
        return None
    if count_self_joins(before) < count_self_joins(after):
        return None
    errors = any(finding.level == "error" for finding in after.findings)
    fewer = old.failure is None and len(old.outputs) != len(new.outputs)
    params = params_read(old) & {param.name for param in new.params}
    if (
        errors
        or fewer
        or not params <= params_read(new)
        or not effective_inputs(before.index) <= effective_inputs(after.index)
    ):
        return None
    return RunComparison(0, True, frozenset(mismatch.row for mismatch in old.mismatches), 0)


def is_fixed(old: Trace, new: Trace, diagnosis: Diagnosis | None) -> bool:
    """Return whether the conflict is gone at all its places, and no new one has appeared."""
    if new.failure is not None:
        return False
    own = conflict_rows(old, diagnosis)
    return {mismatch.row for mismatch in new.mismatches} <= {m.row for m in old.mismatches} - own


def follow_on_rows(report: Report) -> set[int]:
    """Return the rows of conflicts that may follow from others."""
    likely = (finding.diagnosis for finding in report.findings if finding.diagnosis is not None and finding.likely)
    return {row for diagnosis in likely for row in conflict_rows(report.trace, diagnosis)}


def conflict_rows(trace: Trace, diagnosis: Diagnosis | None) -> set[int]:
    """Return the rows of a conflict, which may occur at several paths."""
    if diagnosis is None:
        return set()
    place, mismatch = diagnosis.mismatch.site.place, diagnosis.mismatch
    alike = (m for m in trace.mismatches if (m.kind, m.axes, m.site.place) == (mismatch.kind, mismatch.axes, place))
    return {mismatch.row, *(m.row for m in alike if place is not None)}


def other_conflicts(trace: Trace, diagnosis: Diagnosis | None) -> set[object]:
    """Return the conflicts besides this one."""
    own = conflict_rows(trace, diagnosis)
    return {
        conflict for conflict, row in zip(conflict_shapes(trace), trace.mismatches, strict=True) if row.row not in own
    }


def keeps_inputs_and_outputs(before: Report, after: Report) -> bool:
    """Return whether the number of outputs is the same, and no parameter or input has lost its effect."""
    old, new = before.trace, after.trace
    errors = ({f.rule for f in report.findings if f.level == "error"} for report in (before, after))
    first, second = errors
    if second - first or (old.failure is None and len(old.outputs) != len(new.outputs)):
        return False
    return params_read(old) <= params_read(new) and effective_inputs(before.index) <= effective_inputs(after.index)


def params_read(trace: Trace) -> set[str]:
    return {name for row in trace.rows for name in row.params}


def effective_inputs(index: TraceIndex) -> set[str]:
    """Return the inputs that an output depends on."""
    ids = {value for operand in index.trace.outputs for value in index.ancestors(operand)}
    return {operand.source for operand in index.trace.inputs if operand.value.id in ids}
