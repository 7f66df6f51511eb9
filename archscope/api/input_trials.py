"""Sizes of inputs that may cure a conflict and rest on a guess: each is tried in a run, and told where it fits.

    Diagnosis.perhaps, a failed assertion about a size ─→ Fits ─ runs at all their shapes ─→ those that fit

A guess is that a number of the author's code is the same at other sizes, or that it is the size of another value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from archscope.checks.conflicts.axis_history import AxisHistory
from archscope.checks.conflicts.demands import NetDemands
from archscope.checks.conflicts.input_sizes import Fit, asked_for
from archscope.report import Finding, Report
from archscope.trace import Asked, Shape

MOST_RUNS = 16
"""How many runs at other sizes one target is given."""


@dataclass
class InputTrials:
    """report: of the broken run. run: a recorded run at other shapes of the inputs; None where there is none."""

    report: Report
    run: Callable[[Sequence[Shape]], Report | None]
    left: int = MOST_RUNS

    def told(self, finding: Finding) -> Finding:
        """A conflict with the sizes of inputs that runs have shown to fit; as it is where none is known."""
        from archscope.render.conflicts import finding as in_words

        failure = self.report.trace.failure
        if failure is not None and failure.asked and finding.rule == "forward":
            return self.told_of_condition(finding, failure.asked)
        diagnosis = finding.diagnosis
        found = self.fitting(diagnosis.perhaps) if diagnosis is not None else ()
        return in_words(replace(diagnosis, tried=found)) if found else finding

    def told_of_condition(self, finding: Finding, asked: Sequence[Asked]) -> Finding:
        """A failure with the sizes that the author's condition asks for, and the inputs that give them."""
        from archscope.render.cures import condition_in_words, size_of_input

        found = self.fitting(asked_for(NetDemands(AxisHistory(self.report.index)), asked))
        told = replace(finding, details=tuple(map(condition_in_words, asked)))
        return replace(told, help=f"{size_of_input(found[0])} fits", cause="input-size") if found else told

    def fitting(self, fits: Sequence[Fit]) -> tuple[Fit, ...]:
        """Those at all of whose shapes a run fits; of their multiples nothing is known."""
        kept = (fit for fit in fits if all(map(self.fits, self.shapes(fit))))
        return tuple(replace(fit, axes=tuple(replace(axis, step=0) for axis in fit.axes)) for fit in kept)

    def fits(self, shapes: Sequence[Shape]) -> bool:
        """Whether a run with inputs of these shapes has no conflict and ends."""
        self.left -= 1
        after = self.run(shapes) if self.left >= 0 else None
        return after is not None and not after.failed

    def shapes(self, fit: Fit) -> list[list[Shape]]:
        """The shapes of all inputs, for each of a fit's own."""
        return [
            [
                resized(op.value.shape, fit, sizes) if op.source == fit.input else op.value.shape
                for op in self.report.trace.inputs
            ]
            for sizes in fit.shapes
        ]


def resized(shape: Shape, fit: Fit, sizes: Sequence[int]) -> Shape:
    """A shape with a fit's axes of these sizes."""
    new = {axis.axis: size for axis, size in zip(fit.axes, sizes, strict=True)}
    return tuple(new.get(axis, size) for axis, size in enumerate(shape))
