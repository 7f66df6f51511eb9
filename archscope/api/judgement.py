"""Judgement: reports side by side (`compare`), and everything that is wrong with a target (`check`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from archscope.api.demands import Demands, Ran, demands
from archscope.api.fixing import Fixer, fixer_of
from archscope.api.runs import ignored_arguments, summarize
from archscope.api.specs import load, split, variants
from archscope.errors import ForwardError, SpecError
from archscope.report import Checked, Finding, Report, from_problem
from archscope.spec.folders import spread

if TYPE_CHECKING:
    from archscope.comparison import Comparison


def compare(*wanted: Any, **options: Any) -> Comparison:
    """Reports side by side, the first as the yardstick; a spec without a variant stands for all its variants.

    `options` are those of `summarize`; the backward pass is not compared. Raises what `summarize` raises.
    """
    from archscope.comparison import compare as compared
    from archscope.render import views

    targets = [t for target in wanted for t in (variants(target) if isinstance(target, str) else [target])]
    wishes = {**options, "backward": False}
    return compared([summarize(target, **wishes) for target in targets], views=views.COMPARISON)


def check(
    *wanted: Any,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    baseline: str | os.PathLike[str] | None = None,
    tolerance: float | str = 0,
    select: Iterable[str] | str = (),
    ignore: Iterable[str] | str = (),
    object_size: tuple[int, int] | None = None,
    **options: Any,
) -> list[Checked]:
    """Everything that is wrong with each target, and with each variant of a spec; a folder stands for its specs.

    max_params, max_macs: budgets, such as "5M". baseline: a file of reports that targets may not differ from by more
    than the tolerance ("2%", 0.02). select, ignore: codes and families of rules. object_size: (height, width) of what a
    receptive field must see. `options` are those of `summarize`. Raises UsageError.
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
    return [checked for target in spread(wanted) for checked in _checked(target, law, options)]


def _checked(target: Any, law: Demands, options: Mapping[str, Any]) -> list[Checked]:
    try:
        found = variants(target, texts=options.get("texts")) if isinstance(target, str) else [target]
        sources = _sources(target, options.get("texts"))
    except SpecError as error:
        return [law.checked(str(target), Ran(_problems(error)), error.sources)]
    if split(target) is not None and options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    fixer = fixer_of(target, options) if isinstance(target, str) else None
    ran = [(one, _ran(one, law, options, fixer)) for one in found] or [(target, Ran())]
    return [law.checked(_name(one, run), run, sources) for one, run in ran]


def _sources(target: Any, texts: Mapping[str, str] | None) -> Mapping[str, str]:
    """The texts of a spec and of what it imports."""
    parts = split(target)
    return load(parts[0], texts=texts).sources if parts else {}


def _name(target: Any, run: Ran) -> str:
    return run.report.target if run.report and not isinstance(target, str) else str(target)


def _problems(error: SpecError) -> tuple[Finding, ...]:
    return tuple(from_problem(problem, sources=error.sources) for problem in error.problems)


def _with_fixes(target: Any, report: Report, options: Mapping[str, Any], fixer: Fixer | None) -> tuple[Finding, ...]:
    """The findings; conflicts with the fixes that were tried: of a spec's text, or of a Python target's layers."""
    if fixer is not None:
        return fixer.with_fixes(target, report) if report.trace.mismatches else report.findings
    if split(target) is not None or not (report.trace.mismatches or report.trace.failure):
        return report.findings
    from archscope.api.module_fixes import with_module_fixes

    return with_module_fixes(target, report, options)


def _ran(target: Any, law: Demands, options: Mapping[str, Any], fixer: Fixer | None) -> Ran:
    try:
        report = summarize(target, **{**options, "backward": False})
        found = _with_fixes(target, report, options, fixer)
    except SpecError as error:
        return Ran(_problems(error))
    except ForwardError as error:
        report = error.report  # type: ignore[assignment]  # errors.py stands below the Report
        found = _with_fixes(target, report, options, None)
    ignored = () if isinstance(target, (str, os.PathLike)) else ignored_arguments(target)
    return Ran((*found, *ignored, *law.held(report)), report)
