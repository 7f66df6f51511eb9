"""The steps that made a shape other than the expected one, and layer arguments that would give the expected one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from archscope.conflicts.axis_history import AxisChange, AxisHistory
from archscope.conflicts.help_text import MAX_ARGUMENT_CHANGES
from archscope.conflicts.layer_changes import OperandSide, window_changes
from archscope.conflicts.messages import describe_change
from archscope.report import Finding, WalkStep
from archscope.spec.spec_types import Expectation
from archscope.trace import Operand
from archscope.trace_index import TraceIndex

WantedSizes = Sequence[int | None]
"""Expected sizes; None for any size."""


def with_steps(finding: Finding, index: TraceIndex, values: Iterable[tuple[Operand, WantedSizes]]) -> Finding:
    """Return the finding with the steps that made unexpected sizes, and with arguments that would give the expected
    ones.
    """
    history = AxisHistory(index)
    found = [(operand, wanted, unwanted_changes(history, operand, wanted)) for operand, wanted in values]
    walk = tuple(link for _, _, changes in found for link in change_links(history, changes))
    arguments = [text for value in found for text in find_other_arguments(index, *value)]
    help = f"{' or '.join(arguments[:MAX_ARGUMENT_CHANGES])} would give it" if arguments else finding.help
    return replace(finding, walk=walk, help=help)


def with_expectation_steps(finding: Finding, index: TraceIndex, expected: Sequence[Expectation]) -> Finding:
    """Return the finding of a spec's expectation with these steps; unchanged if it is not about a shape."""
    failed = next((item for item in expected if item.span == finding.place and item.sizes), None)
    operand = find_value(index, failed.path, failed.got) if failed is not None and not finding.likely else None
    if failed is None or operand is None:
        return finding
    return with_steps(finding, index, [(operand, failed.sizes)])


def find_value(index: TraceIndex, path: str, shape: str) -> Operand | None:
    """Return the output of a step: the last value of this shape that is made at the path or below it."""
    for output in index.trace.outputs if not path else ():
        if str(output.value.shape) == shape:
            return output
    for row in reversed(index.trace.rows):
        for value in row.outputs:
            if str(value.shape) == shape and (row.path == path or row.path.startswith(f"{path}.") or not path):
                return Operand(row.path, value)
    return None


def unwanted_changes(history: AxisHistory, operand: Operand, wanted: WantedSizes) -> list[AxisChange]:
    """Return the changes that made the unexpected sizes; those of all axes if the number of axes differs."""
    shape = operand.value.shape
    alike = len(shape) == len(wanted)
    axes = [axis for axis in range(len(shape)) if not alike or wanted[axis] not in (None, shape[axis])]
    return history.changes(operand, axes)


def change_links(history: AxisHistory, changes: Sequence[AxisChange]) -> Iterator[WalkStep]:
    for change in changes:
        if change.changed:
            layer, names = history.index.layer_text(change.row), history.axis_names.of(change.output)
            yield WalkStep(change.row.path or "forward", f"{layer}: {describe_change(change, names)}", change.row.place)


def find_other_arguments(
    index: TraceIndex, operand: Operand, wanted: WantedSizes, changes: Sequence[AxisChange]
) -> list[str]:
    """Return `output_padding=1 in decoder.4`: arguments of one window with which all axes have the expected sizes."""
    shape = operand.value.shape
    if len(shape) != len(wanted):
        return []
    pairs = enumerate(zip(shape, wanted, strict=True))
    goals = {axis: goal for axis, (size, goal) in pairs if goal is not None and goal != size}
    found: dict[str, str] = {}
    for change in window_changes(OperandSide(tuple(changes), shape, goals), index.trace, lambda _: {}, "off-by-one"):
        if "out_channels" not in change.arguments:
            found.setdefault(change.path, str(change))
    return list(found.values())
