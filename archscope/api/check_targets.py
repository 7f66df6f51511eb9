"""`compare` and `check`: reports side by side, and all findings of targets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from archscope.api.check_policy import CheckPolicy, CheckRun, make_policy
from archscope.api.given_inputs import GivenInputs
from archscope.api.keyword_checks import validate_keywords
from archscope.api.module_at_other_sizes import summarize_at_sizes
from archscope.api.rerun import with_request
from archscope.api.spec_at_other_sizes import SpecAtOtherSizes
from archscope.api.spec_fixes import SpecFixes
from archscope.api.spec_loading import split_target, variants
from archscope.api.spec_session import SpecSession
from archscope.api.summaries import ignored_argument_findings, refuse_call_arguments, summarize, summarize_plan
from archscope.errors import ForwardError, SpecError, UsageError
from archscope.report import Checked, Finding, Report, finding_from_problem
from archscope.spec.folders import expand_folders

if TYPE_CHECKING:
    from archscope.comparison import Comparison


@validate_keywords(summarize)
def compare(*wanted: Any, against: str | None = None, **options: Any) -> Comparison:
    """Return the reports of several targets side by side, with ratios to the first; a spec stands for all its
    variants.

    wanted: targets, or mappings of names to targets. against: the name or target that ratios refer to instead of the
    first. `options` are those of `summarize`. A net whose forward pass fails is compared by the rows that ran; of one
    without an input only the parameters are known. Raises the other errors of `summarize`.
    """
    from archscope.comparison import compare_reports as compared
    from archscope.render import notebook_views

    named = [pair for target in wanted for pair in _named_targets(target)]
    reports = [_partial_report(target, options) for _, target in named]
    return compared(reports, views=notebook_views.COMPARISON_VIEWS, names=[name for name, _ in named], against=against)


def _named_targets(target: Any) -> Iterator[tuple[str, Any]]:
    """Yield each target with its name, or with "" if it has none; variants of a named spec get names of their own."""
    for name, value in target.items() if isinstance(target, Mapping) else [("", target)]:
        found: list[Any] = variants(value) if isinstance(value, str) else [value]
        for variant in found:
            parts = split_target(variant) if isinstance(variant, str) else None
            title = f"{name}:{parts[1]}" if parts and len(found) > 1 else str(name)
            yield (title if name else ""), variant


def _partial_report(target: Any, options: Mapping[str, Any]) -> Report:
    try:
        return summarize(target, **options)
    except ForwardError as error:
        if not isinstance(error.report, Report):
            raise
        return error.report


@validate_keywords(summarize)
def check(
    *wanted: Any,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    baseline: str | os.PathLike[str] | None = None,
    tolerance: float | str = 0,
    select: Iterable[str] | str = (),
    ignore: Iterable[str] | str = (),
    object_size: tuple[int, int] | None = None,
    keep_going: bool = False,
    **options: Any,
) -> list[Checked]:
    """Return all findings of each target, and of each variant of a spec; a folder stands for its specs.

    max_params, max_macs: budgets, such as "5M". baseline: a file of saved reports from which targets may differ by at
    most the tolerance ("2%", 0.02). A module that needs an input and has none is checked without a run if only a
    budget of parameters is set. select, ignore: codes and families of rules. object_size: (height, width) that a
    receptive field must cover. keep_going: a target that cannot be read or made is reported as a finding, and the
    others are checked. `options` are those of `summarize`. Raises UsageError.
    """
    policy = make_policy(
        select=select,
        ignore=ignore,
        max_params=max_params,
        max_macs=max_macs,
        baseline=baseline,
        tolerance=tolerance,
        object_size=object_size,
    )
    if keep_going:
        return [checked for target in wanted for checked in _check_keep_going(target, policy, options)]
    return [checked for target in expand_folders(wanted) for checked in _check_target(target, policy, options)]


def _check_keep_going(target: Any, policy: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    """Return the findings of a target, or of each spec of a folder; an unreadable one is reported as a finding."""
    try:
        each = list(expand_folders([target]))
        if each != [target]:
            return [checked for name in each for checked in _check_keep_going(name, policy, options)]
        return _check_target(target, policy, options)
    except UsageError as error:
        return [Checked(str(target), (Finding("spec", "error", error.message, help=error.help),))]


def _check_target(target: Any, policy: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    if isinstance(target, str) and split_target(target) is not None:
        return _check_spec(target, policy, options)
    ran = _run_python_target(target, policy, options)
    name = ran.report.target if ran.report and not isinstance(target, str) else str(target)
    return [policy.check_result(name, ran, {})]


def _check_spec(target: str, policy: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    """Return the findings of every variant of a spec. Raises UsageError, and TypeError for options that `summarize`
    does not have.
    """
    signature(summarize).bind(target, **options)
    refuse_call_arguments(GivenInputs(args=options.get("args"), kwargs=options.get("kwargs")))
    if options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    try:
        session = SpecSession(target, options)
    except SpecError as error:
        return [policy.check_result(target, CheckRun(_problem_findings(error)), error.sources)]
    fixes = SpecFixes(session)
    ran = [(name, _run_spec(name, policy, session, fixes)) for name in session.targets] or [(target, CheckRun())]
    return [policy.check_result(name, run, session.library.sources) for name, run in ran]


def _problem_findings(error: SpecError) -> tuple[Finding, ...]:
    return tuple(finding_from_problem(problem, sources=error.sources) for problem in error.problems)


def _run_spec(target: str, policy: CheckPolicy, session: SpecSession, fixes: SpecFixes) -> CheckRun:
    options = {name: value for name, value in session.options.items() if name in ("device", "dtype", "train", "seed")}
    try:
        plan = session.plan(target)
        report = summarize_plan(plan, **options, progress=session.options.get("progress"))
        found = fixes.with_fixes(target, plan, report) if report.trace.mismatches else report.findings
        if not report.failed:
            tried = SpecAtOtherSizes(target, session, fixes, plan, report, options)
            found = (*found, *tried.findings(policy.wants))
    except SpecError as error:
        return CheckRun(_problem_findings(error))
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py does not import Report
        found = report.findings
    return CheckRun((*found, *policy.evaluate(report)), with_request(report, target, session.options))


def _run_python_target(target: Any, policy: CheckPolicy, options: Mapping[str, Any]) -> CheckRun:
    signature(summarize).bind(target, **options)
    try:
        report, judged = summarize_at_sizes(
            target, options, policy.wants, policy.evaluate, runs=not policy.is_parameters_only
        )
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py does not import Report
        judged = policy.evaluate(report)
    from archscope import targets

    is_constructed_here = isinstance(target, (str, os.PathLike)) or targets.is_factory(target)
    # a constructed module is not kept: its report has these findings
    ignored = () if is_constructed_here else ignored_argument_findings(target)
    found = report.findings
    if report.trace.mismatches or report.trace.failure:
        from archscope.api.module_fixes import with_module_fixes

        found = with_module_fixes(target, report, options)
    return CheckRun((*found, *ignored, *judged), with_request(report, target, options))
