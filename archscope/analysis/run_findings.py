"""The findings of a run: operands that do not fit, the exception that ended it, expectations that it does not meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.analysis.out_of_memory import refuse_out_of_memory
from archscope.checks import unmet_expectations
from archscope.conflicts.expected_shapes import with_expectation_steps
from archscope.conflicts.messages import find_conflicts
from archscope.conflicts.refused_calls import explain_refusal
from archscope.errors import ForwardError, Problem, Span
from archscope.record import Recording
from archscope.report import Finding, Report
from archscope.spec.spec_types import Expectation
from archscope.trace_index import TraceIndex


def conflict_findings(index: TraceIndex, *, forward_help: str, first_help: str) -> tuple[Finding, ...]:
    """Return the conflicts of a run and the failure that ended it; the helps as for `report_of_run`."""
    if index.trace.failure is None and not index.trace.mismatches:
        return ()
    found = tuple(replace(f, help=forward_help or f.help) if f.rule == "forward" else f for f in find_conflicts(index))
    return (replace(found[0], help=first_help), *found[1:]) if found and first_help else found


def failure_error(recording: Recording, report: Report, help: str) -> ForwardError:
    """Return the error of a run that an exception ended. Raises UsageError if memory did not suffice.

    report: of the rows that ran, with all findings.
    """
    trace, failure = recording.trace, recording.trace.failure
    assert failure is not None
    refuse_out_of_memory(recording.error, trace.device, trace.target)
    what = "the backward pass" if failure.backward else failure.function
    refused = explain_refusal(trace)
    fact = f"{what}: {failure.message}" if what else failure.message
    fact = refused.fact if refused is not None and refused.wanted else fact
    error = ForwardError(Problem(failure.site.place or Span(trace.target, 0, 0), fact, help), report)
    error.__cause__ = recording.error
    return error


def expectation_findings(expected: Sequence[Expectation], report: Report) -> list[Finding]:
    """Return a finding for each expectation that a report does not meet, with the steps that made a wrong shape."""
    missed = unmet_expectations(expected, report)
    return [with_expectation_steps(finding, report.index, expected) for finding in missed]
