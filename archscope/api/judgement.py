"""Judgement: reports side by side (`compare`), and everything that is wrong with a target (`check`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.api.runs import summarize
from archscope.api.specs import split, variants
from archscope.errors import ForwardError, SpecError
from archscope.report import Checked, Finding, from_problem

if TYPE_CHECKING:
    from archscope.comparison import Comparison


def compare(*wanted: Any, **options: Any) -> Comparison:
    """Reports side by side, the first as the yardstick; a spec without a variant stands for all its variants.

    `options` are those of `summarize`. Raises what `summarize` raises.
    """
    from archscope.comparison import compare as compared
    from archscope.render import views

    targets = [t for target in wanted for t in (variants(target) if isinstance(target, str) else [target])]
    return compared([summarize(target, **options) for target in targets], views=views.COMPARISON)


def check(*wanted: Any, **options: Any) -> list[Checked]:
    """Everything that is wrong with each target, and with each variant of a spec.

    `options` are those of `summarize`.
    """
    return [checked for target in wanted for checked in _checked(target, options)]


def _checked(target: Any, options: Mapping[str, Any]) -> list[Checked]:
    try:
        found = variants(target) if isinstance(target, str) else [target]
    except SpecError as error:
        return [Checked(str(target), _problems(error))]
    if split(target) is not None and options.get("device", "auto") == "auto":
        options = {**options, "device": "meta"}  # shapes and costs are the same there, and no net is too big
    return [Checked(str(one), _findings(one, options)) for one in found] or [Checked(str(target))]


def _problems(error: SpecError) -> tuple[Finding, ...]:
    return tuple(from_problem(problem, sources=error.sources) for problem in error.problems)


def _findings(target: Any, options: Mapping[str, Any]) -> tuple[Finding, ...]:
    try:
        return summarize(target, **options).findings
    except SpecError as error:
        return _problems(error)
    except ForwardError as error:
        return error.report.findings  # type: ignore[attr-defined]
