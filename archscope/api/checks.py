"""`check`: all findings of targets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from inspect import signature
from typing import Any

from archscope.analysis.check_policy import CheckPolicy, CheckRun, make_policy
from archscope.analysis.run_options import RunOptions
from archscope.api.keyword_checks import validate_keywords
from archscope.api.summaries import summarize
from archscope.errors import SpecError, UsageError
from archscope.report import Checked, Finding, problem_findings
from archscope.spec.folders import expand_folders
from archscope.spec.target_names import load_target, split_target


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
    signature(summarize).bind(None, **options)
    run = RunOptions(**options)
    if keep_going:
        return [checked for target in wanted for checked in check_keep_going(target, policy, run)]
    return [checked for target in expand_folders(wanted) for checked in check_target(target, policy, run)]


def check_keep_going(target: Any, policy: CheckPolicy, options: RunOptions) -> list[Checked]:
    """Return the findings of a target, or of each spec of a folder; an unreadable one is reported as a finding."""
    try:
        each = list(expand_folders([target]))
        if each != [target]:
            return [checked for name in each for checked in check_keep_going(name, policy, options)]
        return check_target(target, policy, options)
    except UsageError as error:
        return [Checked(str(target), (Finding("spec", "error", error.message, help=error.help),))]


def check_target(target: Any, policy: CheckPolicy, options: RunOptions) -> list[Checked]:
    """Return the findings of one target. Raises UsageError."""
    parts = split_target(target) if isinstance(target, str) else None
    if parts is None:
        from archscope.fixes.module_checks import check_module

        return check_module(target, policy, options)
    options.refuse_call_arguments()
    try:
        library = load_target(parts[0], texts=options.texts)
    except SpecError as error:
        return [policy.check_result(target, CheckRun(problem_findings(error)), error.sources)]
    from archscope.fixes.spec_checks import check_spec

    return check_spec(library, target, policy, options)
