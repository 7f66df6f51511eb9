"""Sizes of inputs that may cure a conflict and rest on a guess: each is tried in a run, and told where it fits.

    Diagnosis.perhaps, a failed assertion about a size ─→ Fits ─ runs at all their shapes ─→ those that fit

A guess is that a number of the author's code is the same at other sizes, or that it is the size of another value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.fitting_sizes import FittingSizes, find_requested_sizes
from archscope.checks.conflicts.size_constraints import NetConstraints
from archscope.report import Finding, Report
from archscope.trace import Shape, SizeCondition

MAX_INPUT_RUNS = 16
"""How many runs at other sizes one target is given."""


@dataclass
class InputTrials:
    """report: of the broken run. run: a recorded run at other shapes of the inputs; None where there is none."""

    report: Report
    run: Callable[[Sequence[Shape]], Report | None]
    left: int = MAX_INPUT_RUNS

    def with_fitting_sizes(self, finding: Finding) -> Finding:
        """A conflict with the sizes of inputs that runs have shown to fit; as it is where none is known."""
        from archscope.render.conflicts import format_conflict as in_words

        failure = self.report.trace.failure
        if failure is not None and failure.size_conditions and finding.rule == "forward":
            return self.with_condition_sizes(finding, failure.size_conditions)
        diagnosis = finding.diagnosis
        found = self.fitting_sizes(diagnosis.possible_fits) if diagnosis is not None else ()
        return in_words(replace(diagnosis, tested_fits=found)) if found else finding

    def with_condition_sizes(self, finding: Finding, asked: Sequence[SizeCondition]) -> Finding:
        """A failure with the sizes that the author's condition asks for, and the inputs that give them."""
        from archscope.render.conflict_help import format_condition, format_input_size

        found = self.fitting_sizes(find_requested_sizes(NetConstraints(AxisHistory(self.report.index)), asked))
        told = replace(finding, details=tuple(map(format_condition, asked)))
        return replace(told, help=f"{format_input_size(found[0])} fits", cause="input-size") if found else told

    def fitting_sizes(self, fits: Sequence[FittingSizes]) -> tuple[FittingSizes, ...]:
        """Those at all of whose shapes a run fits; of their multiples nothing is known."""
        kept = (fit for fit in fits if all(map(self.can_run, self.input_shapes(fit))))
        return tuple(replace(fit, axes=tuple(replace(axis, step=0) for axis in fit.axes)) for fit in kept)

    def can_run(self, shapes: Sequence[Shape]) -> bool:
        """Whether a run with inputs of these shapes has no conflict and ends."""
        self.left -= 1
        after = self.run(shapes) if self.left >= 0 else None
        return after is not None and not after.failed

    def input_shapes(self, fit: FittingSizes) -> list[list[Shape]]:
        """The shapes of all inputs, for each of a fit's own."""
        return [
            [
                resize_shape(op.value.shape, fit, sizes) if op.source == fit.input else op.value.shape
                for op in self.report.trace.inputs
            ]
            for sizes in fit.shapes
        ]


def resize_shape(shape: Shape, fit: FittingSizes, sizes: Sequence[int]) -> Shape:
    """A shape with a fit's axes of these sizes."""
    new = {axis.axis: size for axis, size in zip(fit.axes, sizes, strict=True)}
    return tuple(new.get(axis, size) for axis, size in enumerate(shape))
