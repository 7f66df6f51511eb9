"""Judgement: reports side by side (`compare`), and everything that is wrong with a target (`check`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from archscope.api.check_policy import CheckPolicy, CheckRun, make_policy
from archscope.api.given_inputs import GivenInputs
from archscope.api.keyword_checks import validate_keywords
from archscope.api.module_at_other_sizes import summarize_at_sizes
from archscope.api.requests import with_request
from archscope.api.spec_at_other_sizes import SpecAtOtherSizes
from archscope.api.spec_fixes import SpecFixes
from archscope.api.spec_session import SpecSession
from archscope.api.specs import split_target, variants
from archscope.api.summaries import ignored_argument_findings, refuse_call_arguments, summarize, summarize_plan
from archscope.errors import ForwardError, SpecError, UsageError
from archscope.report import Checked, Finding, Report, finding_from_problem
from archscope.spec.folders import expand_folders

if TYPE_CHECKING:
    from archscope.comparison import Comparison


@validate_keywords(summarize)
def compare(*wanted: Any, against: str | None = None, **options: Any) -> Comparison:
    """Reports side by side, the first as the yardstick; a spec without a variant stands for all its variants.

    wanted: targets, or mappings of names to targets. against: the name or target of another yardstick. `options` are
    those of `summarize`. A net that fails is compared by what ran of it; of one that is given no input the parameters
    are known. Raises what else `summarize` raises.
    """
    from archscope.comparison import compare_reports as compared
    from archscope.render import views

    named = [pair for target in wanted for pair in _named_targets(target)]
    reports = [_partial_report(target, options) for _, target in named]
    return compared(reports, views=views.COMPARISON_VIEWS, names=[name for name, _ in named], against=against)


def _named_targets(target: Any) -> Iterator[tuple[str, Any]]:
    """Each target with its name, empty where it has none; several variants of a named one are told apart."""
    for name, one in target.items() if isinstance(target, Mapping) else [("", target)]:
        found: list[Any] = variants(one) if isinstance(one, str) else [one]
        for variant in found:
            parts = split_target(variant) if isinstance(variant, str) else None
            told = f"{name}:{parts[1]}" if parts and len(found) > 1 else str(name)
            yield (told if name else ""), variant


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
    """Everything that is wrong with each target, and with each variant of a spec; a folder stands for its specs.

    max_params, max_macs: budgets, such as "5M". baseline: a file of reports that targets may not differ from by more
    than the tolerance ("2%", 0.02). Where a module that needs an input has none, a budget of parameters alone is judged
    without a run. select, ignore: codes and families of rules. object_size: (height, width) of what a
    receptive field must see. keep_going: a target that cannot be read or made is a finding, and the others are checked.
    `options` are those of `summarize`. Raises UsageError.
    """
    law = make_policy(
        select=select,
        ignore=ignore,
        max_params=max_params,
        max_macs=max_macs,
        baseline=baseline,
        tolerance=tolerance,
        object_size=object_size,
    )
    if keep_going:
        return [checked for target in wanted for checked in _check_keep_going(target, law, options)]
    return [checked for target in expand_folders(wanted) for checked in _check_target(target, law, options)]


def _check_keep_going(target: Any, law: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    """What is found about a target, or about each spec of a folder; why one cannot be read is a finding of it."""
    try:
        each = list(expand_folders([target]))
        if each != [target]:
            return [checked for one in each for checked in _check_keep_going(one, law, options)]
        return _check_target(target, law, options)
    except UsageError as error:
        return [Checked(str(target), (Finding("spec", "error", error.message, help=error.help),))]


def _check_target(target: Any, law: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    if isinstance(target, str) and split_target(target) is not None:
        return _check_spec(target, law, options)
    ran = _run_python_target(target, law, options)
    name = ran.report.target if ran.report and not isinstance(target, str) else str(target)
    return [law.check_result(name, ran, {})]


def _check_spec(target: str, law: CheckPolicy, options: Mapping[str, Any]) -> list[Checked]:
    """Every variant of a spec, read once. Raises UsageError, TypeError for options that `summarize` has not."""
    signature(summarize).bind(target, **options)
    refuse_call_arguments(GivenInputs(args=options.get("args"), kwargs=options.get("kwargs")))
    if options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    try:
        session = SpecSession(target, options)
    except SpecError as error:
        return [law.check_result(target, CheckRun(_problem_findings(error)), error.sources)]
    fixes = SpecFixes(session)
    ran = [(one, _run_spec(one, law, session, fixes)) for one in session.targets] or [(target, CheckRun())]
    return [law.check_result(one, run, session.library.sources) for one, run in ran]


def _problem_findings(error: SpecError) -> tuple[Finding, ...]:
    return tuple(finding_from_problem(problem, sources=error.sources) for problem in error.problems)


def _run_spec(target: str, law: CheckPolicy, session: SpecSession, fixes: SpecFixes) -> CheckRun:
    options = {name: value for name, value in session.options.items() if name in ("device", "dtype", "train", "seed")}
    try:
        plan = session.plan(target)
        report = summarize_plan(plan, **options, tell=session.options.get("progress"))
        found = fixes.with_fixes(target, plan, report) if report.trace.mismatches else report.findings
        if not report.failed:
            tried = SpecAtOtherSizes(target, session, fixes, plan, report, options)
            found = (*found, *tried.findings(law.wants))
    except SpecError as error:
        return CheckRun(_problem_findings(error))
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        found = report.findings
    return CheckRun((*found, *law.evaluate(report)), with_request(report, target, session.options))


def _run_python_target(target: Any, law: CheckPolicy, options: Mapping[str, Any]) -> CheckRun:
    signature(summarize).bind(target, **options)
    try:
        report, held = summarize_at_sizes(target, options, law.wants, law.evaluate, runs=not law.is_parameters_only)
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        held = law.evaluate(report)
    ignored = (
        () if is_constructed_here(target) else ignored_argument_findings(target)
    )  # of what we made, its report has them
    found = _with_module_fixes(target, report, options)
    return CheckRun((*found, *ignored, *held), with_request(report, target, options))


def is_constructed_here(target: Any) -> bool:
    """Whether a Python target is no live module, but made of what it names."""
    from archscope import targets

    return isinstance(target, (str, os.PathLike)) or targets.is_factory(target)


def _with_module_fixes(target: Any, report: Report, options: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a Python target; conflicts with the fixes of its layers that were tried."""
    if not (report.trace.mismatches or report.trace.failure):
        return report.findings
    from archscope.api.module_fixes import with_module_fixes

    return with_module_fixes(target, report, options)
