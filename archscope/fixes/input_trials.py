"""Input sizes that may resolve a conflict, each tried in a run; those that fit are reported.

    Diagnosis.possible_fits, or a failed assertion about a size → FittingSizes → runs at their shapes → those that fit

These sizes rest on guesses: that a number in the model's code is the same at other sizes, or that it is the size of
another value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from archscope.conflicts.axis_history import AxisHistory
from archscope.conflicts.fitting_sizes import FittingSizes, find_requested_sizes
from archscope.conflicts.help_text import format_condition, format_input_size
from archscope.conflicts.messages import format_conflict
from archscope.conflicts.size_constraints import NetConstraints
from archscope.report import Finding, Report
from archscope.trace import Shape, SizeCondition

MAX_INPUT_RUNS = 16
"""The most runs at other sizes for one target."""


@dataclass
class InputTrials:
    """Trials of input sizes for the conflicts of one report.

    report: of the failed run. run: returns a report at other shapes of the inputs, or None if it cannot run. left:
    the number of runs that are left.
    """

    report: Report
    run: Callable[[Sequence[Shape]], Report | None]
    left: int = MAX_INPUT_RUNS

    def with_fitting_sizes(self, finding: Finding) -> Finding:
        """Return a conflict with the input sizes at which runs succeeded; unchanged if there are none."""
        failure = self.report.trace.failure
        if failure is not None and failure.size_conditions and finding.rule == "forward":
            return self.with_condition_sizes(finding, failure.size_conditions)
        diagnosis = finding.diagnosis
        found = self.fitting_sizes(diagnosis.possible_fits) if diagnosis is not None else ()
        return format_conflict(replace(diagnosis, tested_fits=found)) if found else finding

    def with_condition_sizes(self, finding: Finding, conditions: Sequence[SizeCondition]) -> Finding:
        """Return a failure with the sizes that the failed condition requires, and the inputs that lead to them."""
        found = self.fitting_sizes(find_requested_sizes(NetConstraints(AxisHistory(self.report.index)), conditions))
        detailed = replace(finding, details=tuple(map(format_condition, conditions)))
        return replace(detailed, help=f"{format_input_size(found[0])} fits", cause="input-size") if found else detailed

    def fitting_sizes(self, fits: Sequence[FittingSizes]) -> tuple[FittingSizes, ...]:
        """Return the sizes at all of whose shapes a run succeeds; their multiples are not tried, so they are left
        out.
        """
        fitting = (fit for fit in fits if all(map(self.can_run, self.input_shapes(fit))))
        return tuple(replace(fit, axes=tuple(replace(axis, step=0) for axis in fit.axes)) for fit in fitting)

    def can_run(self, shapes: Sequence[Shape]) -> bool:
        """Return whether a run with inputs of these shapes succeeds without a conflict."""
        self.left -= 1
        after = self.run(shapes) if self.left >= 0 else None
        return after is not None and not after.failed

    def input_shapes(self, fit: FittingSizes) -> list[list[Shape]]:
        """Return the shapes of all inputs, for each shape of the one input that `fit` is about."""
        return [
            [
                resize_shape(op.value.shape, fit, sizes) if op.source == fit.input else op.value.shape
                for op in self.report.trace.inputs
            ]
            for sizes in fit.shapes
        ]


def resize_shape(shape: Shape, fit: FittingSizes, sizes: Sequence[int]) -> Shape:
    """Return a shape with other sizes of the axes that `fit` is about."""
    new = {axis.axis: size for axis, size in zip(fit.axes, sizes, strict=True)}
    return tuple(new.get(axis, size) for axis, size in enumerate(shape))
