"""A spec that fits, compiled at another batch size and at images that are not square, for warnings; it is run only if
something does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from warnings import catch_warnings

from archscope.analysis.check_policy import Wants
from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_runs import summarize_plan
from archscope.analysis.spec_session import SpecSession
from archscope.checks.other_sizes import (
    ONE_BATCH,
    SQUARE_ONLY,
    as_size_warnings,
    is_transposed,
    lost_batch,
    other_image_sizes,
    shapes_follow_batch,
    transposed_image,
)
from archscope.compile import Plan
from archscope.errors import ForwardError, SpecError, UsageError
from archscope.report import Finding, Report, problem_findings
from archscope.trace import Shape

FindFixes = Callable[[Plan, Report, int], tuple[Finding, ...]]
"""Returns the findings of a plan's report at a batch size; conflicts have the fixes that were found."""


@dataclass
class SpecAtOtherSizes:
    """One variant of a spec that fits, to be compiled at other sizes."""

    target: str
    session: SpecSession
    plan: Plan
    report: Report
    find_fixes: FindFixes

    @cached_property
    def options(self) -> RunOptions:
        """The options of the runs at other sizes."""
        return replace(self.session.options, backward=False, progress=None)

    def findings(self, wants: Wants) -> tuple[Finding, ...]:
        """Return the warnings; torch's own warnings are suppressed, since the first run has shown them."""
        try:
            with catch_warnings(action="ignore"):
                batch = self._batch_findings() if wants(ONE_BATCH) else ()
                return (*batch, *(self._landscape_findings() if wants(SQUARE_ONLY) else ()))
        except ForwardError:  # in a run for other sizes
            return ()

    def _batch_findings(self) -> Iterator[Finding]:
        batch, how = self._doubled_batch()
        if not batch:
            return
        plan, found = self._compile_at(**how)
        yield from as_size_warnings(found, ONE_BATCH, f"a batch of {2 * batch}")
        before, after = output_shapes(self.plan), output_shapes(plan)
        if plan is not None and not found and not shapes_follow_batch(before, after, batch, 2 * batch):
            yield from lost_batch(self.report, summarize_plan(plan, self.options), batch, 2 * batch)

    def _doubled_batch(self) -> tuple[int, dict[str, Any]]:
        """Return the batch size of the run, and the options that double it; 0 if the spec names none, or no input can
        be given.
        """
        named = [
            (text, size) for texts, made in self._input_dims for text, size in zip(texts, made.shape, strict=False)
        ]
        batch = next((size for text, size in named if text == "N"), 0)
        if self.session.options.input is None:
            return batch, {"batch": 2 * batch}
        if any(text != "N" and re.search(r"\bN\b", text) for text, _ in named):
            return 0, {}
        shapes = [
            tuple(2 * size if text == "N" else size for text, size in zip(texts, made.shape, strict=False))
            for texts, made in self._input_dims
        ]
        return batch, {"input": self._input_option(shapes)}

    @property
    def _input_dims(self) -> list[tuple[list[str], Any]]:
        """The dimensions of each input in the spec, and the input of the run."""
        declared = ([dim.text for dim in entry.dims or ()] for entry in self.session.library.root.inputs)
        return list(zip(declared, self.plan.inputs, strict=True))

    def _input_option(self, shapes: Sequence[Shape]) -> dict[str, Any]:
        kinds = [(made.name, str(made.dtype).removeprefix("torch.")) for made in self.plan.inputs]
        return {name: (kind, tuple(shape)) for (name, kind), shape in zip(kinds, shapes, strict=True)}

    def _landscape_findings(self) -> Iterator[Finding]:
        wanted = other_image_sizes(self.report.trace)
        for where, shapes in wanted.others if wanted is not None else ():
            if wanted is None or self._are_declared_equal(shapes):
                continue
            plan, found = self._compile_at(input=self._input_option(shapes))
            turned = any(map(is_transposed, output_shapes(self.plan), output_shapes(plan)))
            if (found or turned) and self._can_compile_at(wanted.square):
                yield from as_size_warnings(found, SQUARE_ONLY, where)
                if plan is not None and not found:
                    yield from transposed_image(self.report, summarize_plan(plan, self.options), where)

    def _are_declared_equal(self, shapes: Sequence[Shape]) -> bool:
        """Return whether the spec declares sizes equal, by a common name, that differ in these shapes."""
        sizes: dict[str, set[int]] = {}
        for (texts, _), shape in zip(self._input_dims, shapes, strict=True):
            for text, size in zip(texts, shape, strict=False):
                sizes.setdefault(text, set()).add(size)
        return any(len(found) > 1 and not text.strip().isdecimal() for text, found in sizes.items())

    def _can_compile_at(self, shapes: Sequence[Shape]) -> bool:
        """Return whether the net fits at other sizes with the same number of parameters."""
        plan, found = self._compile_at(input=self._input_option(shapes))
        return plan is not None and not found and plan.parameter_count == self.plan.parameter_count

    def _compile_at(self, *, batch: int | None = None, input: Any = None) -> tuple[Plan | None, tuple[Finding, ...]]:
        """Return the plan at other sizes, None if it cannot be compiled, and the findings of it."""
        try:
            plan = self.session.plan(self.target, batch=batch, input=input)
            if not plan.mismatches:
                return plan, ()
            report = summarize_plan(plan, self.options)
        except SpecError as error:
            return None, problem_findings(error)
        except ForwardError as error:
            return None, error.report.findings
        except UsageError:
            return None, ()
        return plan, self.find_fixes(plan, report, batch) if batch else report.findings


def output_shapes(plan: Plan | None) -> list[Shape]:
    """Return the shapes of a net's outputs in their order."""
    return list(shapes_in(plan.block.output)) if plan is not None else []


def shapes_in(tree: Any) -> Iterator[Shape]:
    if isinstance(tree, (tuple, list, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from shapes_in(part)
    elif hasattr(tree, "shape"):
        yield tuple(tree.shape)
