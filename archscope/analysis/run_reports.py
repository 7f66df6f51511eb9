"""A recorded run → Report: its costs, and the findings of a run that breaks or that a spec has expectations of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.analysis.cost_registry import COST_REGISTRY
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
    if not is_broken(recording.trace) and not expected:
        return replace(report, findings=tuple(warnings))
    from archscope.analysis import run_findings  # most runs load no diagnosis

    found = run_findings.conflict_findings(report.index, forward_help=forward_help, first_help=first_help)
    if recording.trace.failure is not None:
        help = first_help or forward_help
        raise run_findings.failure_error(recording, replace(report, findings=(*found, *warnings)), help)
    missed = run_findings.expectation_findings(expected, report)
    return replace(report, findings=(*found, *missed, *warnings))


def is_broken(trace: Trace) -> bool:
    """Return whether operands did not fit, or an exception ended the run."""
    return trace.failure is not None or bool(trace.mismatches)
