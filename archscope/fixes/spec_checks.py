"""All findings of a spec: each variant is run, fixes of its conflicts are searched, and other sizes are tried."""

from __future__ import annotations

from dataclasses import replace

from archscope.analysis.check_policy import CheckPolicy, CheckRun
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import RunOptions
from archscope.analysis.spec_at_other_sizes import SpecAtOtherSizes
from archscope.analysis.spec_runs import summarize_plan
from archscope.analysis.spec_session import SpecSession
from archscope.errors import ForwardError, SpecError
from archscope.fixes.spec_fixes import SpecFixes
from archscope.report import Checked, problem_findings
from archscope.spec import Library


def check_spec(library: Library, target: str, policy: CheckPolicy, options: RunOptions) -> list[Checked]:
    """Return the findings of every variant of a loaded spec, or of the one that the target names. Raises UsageError."""
    if options.device == "auto":
        options = replace(options, device="meta")  # shapes and costs are the same there, and no net is too big
    session = SpecSession(target, options, library)
    fixes = SpecFixes(session)
    ran = [(name, check_variant(name, policy, fixes)) for name in session.targets] or [(target, CheckRun())]
    return [policy.check_result(name, run, library.sources) for name, run in ran]


def check_variant(target: str, policy: CheckPolicy, fixes: SpecFixes) -> CheckRun:
    session = fixes.session
    try:
        plan = session.plan(target)
        report = summarize_plan(plan, replace(session.options, backward=False))
        found = fixes.with_fixes(target, plan, report) if report.trace.mismatches else report.findings
        if not report.failed:
            tried = SpecAtOtherSizes(
                target,
                session,
                plan,
                report,
                lambda plan, report, batch: fixes.with_fixes(target, plan, report, batch=batch),
            )
            found = (*found, *tried.findings(policy.wants))
    except SpecError as error:
        return CheckRun(problem_findings(error))
    except ForwardError as error:
        report, found = error.report, error.report.findings
    return CheckRun((*found, *policy.evaluate(report)), with_request(report, target, session.options))
