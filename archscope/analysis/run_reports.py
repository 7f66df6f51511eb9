"""A recorded run → Report, with the findings of the run: conflicts, unmet expectations, warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.analysis.cost_registry import COST_REGISTRY
from archscope.analysis.out_of_memory import refuse_out_of_memory
from archscope.checks import unmet_expectations
from archscope.conflicts.expected_shapes import with_expectation_steps
from archscope.conflicts.messages import find_conflicts
from archscope.conflicts.refused_calls import explain_refusal
from archscope.errors import ForwardError, Problem, Span
from archscope.record import Recording
from archscope.render import notebook_views
from archscope.report import Finding, Report, build_report
from archscope.spec.spec_types import Expectation
from archscope.trace import Trace


def priced_report(trace: Trace, title: str) -> Report:
    """Return the report of a trace, with the registered costs and without findings."""
    return build_report(trace, pricing=COST_REGISTRY.price_rows, title=title, views=notebook_views.REPORT_VIEWS)


def report_of_run(
    recording: Recording,
    title: str,
    warnings: Sequence[Finding],
    *,
    expected: Sequence[Expectation] = (),
    forward_help: str = "",
    first_help: str = "",
) -> Report:
    """Return the priced report with conflicts, unmet expectations and warnings. Raises ForwardError.

    forward_help: the help of a forward pass that failed for a reason that shapes do not show. first_help: that of the
    first conflict.
    """
    report = priced_report(recording.trace, title)
    found = tuple(
        replace(f, help=forward_help or f.help) if f.rule == "forward" else f for f in find_conflicts(report.index)
    )
    if found and first_help:
        found = (replace(found[0], help=first_help), *found[1:])
    if recording.trace.failure is not None:
        refuse_out_of_memory(recording.error, recording.trace.device, recording.trace.target)
        failure = recording.trace.failure
        where = failure.site.place
        what = "the backward pass" if failure.backward else failure.function
        refused = explain_refusal(recording.trace)
        fact = f"{what}: {failure.message}" if what else failure.message
        fact = refused.fact if refused is not None and refused.wanted else fact
        problem = Problem(where or Span(recording.trace.target, 0, 0), fact, first_help or forward_help)
        raise ForwardError(problem, replace(report, findings=(*found, *warnings))) from recording.error
    missed = (
        with_expectation_steps(finding, report.index, expected) for finding in unmet_expectations(expected, report)
    )
    return replace(report, findings=(*found, *missed, *warnings))
