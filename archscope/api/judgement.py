"""Judgement: reports side by side (`compare`), and everything that is wrong with a target (`check`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from archscope.api.demands import Demands, Ran, demands
from archscope.api.given_inputs import Given
from archscope.api.keywords import told
from archscope.api.module_sizes import summarize_at_sizes
from archscope.api.other_sizes import SpecAtOtherSizes
from archscope.api.requests import with_request
from archscope.api.runs import ignored_arguments, refuse_call, summarize, summarize_plan
from archscope.api.sessions import Session
from archscope.api.spec_fixes import SpecFixes
from archscope.api.specs import split, variants
from archscope.errors import ForwardError, SpecError, UsageError
from archscope.report import Checked, Finding, Report, from_problem
from archscope.spec.folders import spread

if TYPE_CHECKING:
    from archscope.comparison import Comparison


@told(summarize)
def compare(*wanted: Any, against: str | None = None, **options: Any) -> Comparison:
    """Reports side by side, the first as the yardstick; a spec without a variant stands for all its variants.

    wanted: targets, or mappings of names to targets. against: the name or target of another yardstick. `options` are
    those of `summarize`. A net that fails is compared by what ran of it; of one that is given no input the parameters
    are known. Raises what else `summarize` raises.
    """
    from archscope.comparison import compare as compared
    from archscope.render import views

    named = [pair for target in wanted for pair in _named(target)]
    reports = [_ran_so_far(target, options) for _, target in named]
    return compared(reports, views=views.COMPARISON, names=[name for name, _ in named], against=against)


def _named(target: Any) -> Iterator[tuple[str, Any]]:
    """Each target with its name, empty where it has none; several variants of a named one are told apart."""
    for name, one in target.items() if isinstance(target, Mapping) else [("", target)]:
        found: list[Any] = variants(one) if isinstance(one, str) else [one]
        for variant in found:
            parts = split(variant) if isinstance(variant, str) else None
            told = f"{name}:{parts[1]}" if parts and len(found) > 1 else str(name)
            yield (told if name else ""), variant


def _ran_so_far(target: Any, options: Mapping[str, Any]) -> Report:
    try:
        return summarize(target, **options)
    except ForwardError as error:
        if not isinstance(error.report, Report):
            raise
        return error.report


@told(summarize)
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
    law = demands(
        select=select,
        ignore=ignore,
        max_params=max_params,
        max_macs=max_macs,
        baseline=baseline,
        tolerance=tolerance,
        object_size=object_size,
    )
    if keep_going:
        return [checked for target in wanted for checked in _checked_or_told(target, law, options)]
    return [checked for target in spread(wanted) for checked in _checked(target, law, options)]


def _checked_or_told(target: Any, law: Demands, options: Mapping[str, Any]) -> list[Checked]:
    """What is found about a target, or about each spec of a folder; why one cannot be read is a finding of it."""
    try:
        each = list(spread([target]))
        if each != [target]:
            return [checked for one in each for checked in _checked_or_told(one, law, options)]
        return _checked(target, law, options)
    except UsageError as error:
        return [Checked(str(target), (Finding("spec", "error", error.message, help=error.help),))]


def _checked(target: Any, law: Demands, options: Mapping[str, Any]) -> list[Checked]:
    if isinstance(target, str) and split(target) is not None:
        return _checked_spec(target, law, options)
    ran = _ran(target, law, options)
    name = ran.report.target if ran.report and not isinstance(target, str) else str(target)
    return [law.checked(name, ran, {})]


def _checked_spec(target: str, law: Demands, options: Mapping[str, Any]) -> list[Checked]:
    """Every variant of a spec, read once. Raises UsageError, TypeError for options that `summarize` has not."""
    signature(summarize).bind(target, **options)
    refuse_call(Given(args=options.get("args"), kwargs=options.get("kwargs")))
    if options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    try:
        session = Session(target, options)
    except SpecError as error:
        return [law.checked(target, Ran(_problems(error)), error.sources)]
    fixes = SpecFixes(session)
    ran = [(one, _ran_spec(one, law, session, fixes)) for one in session.targets] or [(target, Ran())]
    return [law.checked(one, run, session.library.sources) for one, run in ran]


def _problems(error: SpecError) -> tuple[Finding, ...]:
    return tuple(from_problem(problem, sources=error.sources) for problem in error.problems)


def _ran_spec(target: str, law: Demands, session: Session, fixes: SpecFixes) -> Ran:
    options = {name: value for name, value in session.options.items() if name in ("device", "dtype", "train", "seed")}
    try:
        plan = session.plan(target)
        report = summarize_plan(plan, **options, tell=session.options.get("progress"))
        found = fixes.with_fixes(target, plan, report) if report.trace.mismatches else report.findings
        if not report.failed:
            tried = SpecAtOtherSizes(target, session, fixes, plan, report, options)
            found = (*found, *tried.findings(law.wants))
    except SpecError as error:
        return Ran(_problems(error))
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        found = report.findings
    return Ran((*found, *law.held(report)), with_request(report, target, session.options))


def _ran(target: Any, law: Demands, options: Mapping[str, Any]) -> Ran:
    signature(summarize).bind(target, **options)
    try:
        report, held = summarize_at_sizes(target, options, law.wants, law.held, runs=not law.of_parameters)
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        held = law.held(report)
    ignored = () if is_made(target) else ignored_arguments(target)  # of what we made, its report has them
    found = _with_module_fixes(target, report, options)
    return Ran((*found, *ignored, *held), with_request(report, target, options))


def is_made(target: Any) -> bool:
    """Whether a Python target is no live module, but made of what it names."""
    from archscope import targets

    return isinstance(target, (str, os.PathLike)) or targets.is_maker(target)


def _with_module_fixes(target: Any, report: Report, options: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings of a Python target; conflicts with the fixes of its layers that were tried."""
    if not (report.trace.mismatches or report.trace.failure):
        return report.findings
    from archscope.api.module_fixes import with_module_fixes

    return with_module_fixes(target, report, options)
