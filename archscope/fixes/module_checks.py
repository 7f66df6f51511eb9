"""All findings of a Python target: it is run, also at other sizes, and fixes of its conflicts are searched."""

from __future__ import annotations

import os
from typing import Any

from archscope import targets
from archscope.analysis.check_policy import CheckPolicy, CheckRun
from archscope.analysis.module_at_other_sizes import summarize_at_sizes
from archscope.analysis.module_runs import ignored_argument_findings
from archscope.analysis.report_requests import with_request
from archscope.analysis.run_options import RunOptions
from archscope.errors import ForwardError
from archscope.fixes.module_fixes import with_module_fixes
from archscope.report import Checked


def check_module(target: Any, policy: CheckPolicy, options: RunOptions) -> list[Checked]:
    """Return the findings of a Python target or a live module. Raises UsageError."""
    try:
        report, judged = summarize_at_sizes(
            target, options, policy.wants, policy.evaluate, runs=not policy.is_parameters_only
        )
    except ForwardError as error:
        report, judged = error.report, policy.evaluate(error.report)
    is_constructed_here = isinstance(target, (str, os.PathLike)) or targets.is_factory(target)
    # a constructed module is not kept: its report has these findings
    ignored = () if is_constructed_here else ignored_argument_findings(target)
    found = report.findings
    if report.trace.mismatches or report.trace.failure:
        found = with_module_fixes(target, report, options)
    ran = CheckRun((*found, *ignored, *judged), with_request(report, target, options))
    name = report.target if not isinstance(target, str) else target
    return [policy.check_result(name, ran, {})]
