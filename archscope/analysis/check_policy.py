"""The settings of `check` (budgets, a baseline, selected rules), applied to the findings of a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from archscope import units
from archscope.checks.baseline import Baseline, compare_to_baseline
from archscope.checks.baseline import read_baseline as read_baseline
from archscope.checks.budgets import CostBudget, find_over_budget
from archscope.checks.lint import lint
from archscope.checks.selection import Selection, apply_ignore_comments
from archscope.errors import UsageError
from archscope.report import Checked, Finding, Report

Wants = Callable[[str], bool]
"""Returns whether the findings of a rule are wanted."""


@dataclass(frozen=True)
class CheckRun:
    """The findings and the report of one run; the report is None if the target could not run."""

    findings: tuple[Finding, ...] = ()
    report: Report | None = None


@dataclass(frozen=True)
class CheckPolicy:
    """The budgets, the baseline and the selected rules of a check.

    tolerance: the allowed relative difference from the baseline. object_size: (height, width) that a receptive field
    must cover.
    """

    selection: Selection
    budget: CostBudget
    baseline: Baseline | None
    tolerance: Decimal
    object_size: tuple[int, int] | None

    def wants(self, rule: str) -> bool:
        """Return whether findings of a rule are selected."""
        return self.selection.keeps(Finding(rule, "warning", ""))

    @property
    def is_parameters_only(self) -> bool:
        """True if only a budget of parameters is set, which needs no run."""
        return self.budget.max_params is not None and self.budget.max_macs is None and self.baseline is None

    def evaluate(self, report: Report) -> tuple[Finding, ...]:
        """Return the findings of budgets, baseline and lint; of a report without a run, those of its budgets only."""
        if not report.trace.ran:
            return find_over_budget(report, self.budget)
        against = compare_to_baseline(report, self.baseline, tolerance=self.tolerance) if self.baseline else ()
        return (*find_over_budget(report, self.budget), *against, *lint(report, object_size=self.object_size))

    def check_result(self, target: str, ran: CheckRun, sources: Mapping[str, str]) -> Checked:
        """Return the selected findings that no comment in the sources ignores.

        sources: texts of a spec and of its imports by file name, the spec first.
        """
        counted = apply_ignore_comments(ran.findings, sources, next(iter(sources), ""))
        saved = self.baseline.of(ran.report.target) if self.baseline and ran.report else None
        findings = tuple(finding for finding in counted if self.selection.keeps(finding))
        return Checked(target, findings, ran.report, saved.figures if saved else None)


def make_policy(
    *,
    select: Iterable[str] | str = (),
    ignore: Iterable[str] | str = (),
    max_params: object = None,
    max_macs: object = None,
    baseline: str | os.PathLike[str] | None = None,
    tolerance: object = 0,
    object_size: tuple[int, int] | None = None,
) -> CheckPolicy:
    """Return the settings of a check. Raises UsageError for an unknown rule, an invalid figure, or an unreadable
    baseline.
    """
    try:
        allowed = units.parse_tolerance(tolerance)
    except ValueError as error:
        raise UsageError(f"tolerance: {error}", 'for example tolerance="2%"') from None
    return CheckPolicy(
        Selection.of(split_codes(select), split_codes(ignore)),
        CostBudget.of(max_params, max_macs),
        read_baseline(baseline) if baseline is not None else None,
        allowed,
        object_size,
    )


def split_codes(codes: Iterable[str] | str) -> tuple[str, ...]:
    """Return the codes of a list such as `"lint,conflict"`."""
    return tuple(code.strip() for code in codes.split(",")) if isinstance(codes, str) else tuple(codes)
