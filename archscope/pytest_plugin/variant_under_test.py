"""One variant of a spec for pytest: compiled once, run once on meta → findings for its tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from archscope.analysis.check_policy import CheckRun, make_policy
from archscope.analysis.run_options import RunOptions
from archscope.api.building import compile_plan
from archscope.api.checks import check
from archscope.checks import non_expectation_errors, unmet_expectations
from archscope.checks.budgets import find_over_budget
from archscope.config import Config
from archscope.errors import ArchscopeError, ForwardError, SpecError
from archscope.gc_pause import gc_paused
from archscope.report import Finding, Report, problem_findings
from archscope.spec.spec_types import ALLOW_PYTHON_HELP, Expectation
from archscope.spec.target_names import list_variants, load_target

if TYPE_CHECKING:
    from archscope.compile import Plan


def relative_name(path: Path) -> str:
    """Return the name of a file for messages: relative to the current directory, if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextmanager
def quiet_analysis() -> Iterator[None]:
    """Suppress torch's warnings during an analysis, so that the project's `filterwarnings` does not apply to them.

    Python's cyclic garbage collection is paused too: it would traverse all of torch and all tests again and again.
    """
    with gc_paused(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def spec_text_findings(path: Path) -> Sequence[Finding]:
    """Return the problems in the text of a spec as findings."""
    try:
        list_variants(relative_name(path))
    except ArchscopeError as error:
        return error_findings(error)
    return ()


def error_findings(error: ArchscopeError) -> Sequence[Finding]:
    if isinstance(error, SpecError):
        return problem_findings(error)
    return [Finding("spec", "error", str(error))]


@dataclass(frozen=True)
class CompiledVariant:
    """A net's plan, or the findings that say why there is none."""

    plan: Plan | None = None
    findings: Sequence[Finding] = ()

    @property
    def is_python_only(self) -> bool:
        """True if the net could not be compiled only because it contains Python code that may not be run."""
        return bool(self.findings) and all(fault.help == ALLOW_PYTHON_HELP for fault in self.findings)


@dataclass(frozen=True)
class VariantVerdict:
    """The result of one run of a net: its errors, the findings against each expectation, and its report."""

    findings: Sequence[Finding] = ()
    unmet: Mapping[Expectation, Sequence[Finding]] = field(default_factory=dict)
    report: Report | None = None


@dataclass(frozen=True)
class VariantUnderTest:
    """One variant of a spec: compiled when its tests are collected, run on meta by the first test that needs it."""

    path: Path
    variant: str | None
    project: Config | None = None
    allow_python: bool = False

    @property
    def target(self) -> str:
        return f"{relative_name(self.path)}:{self.variant}" if self.variant else relative_name(self.path)

    @cached_property
    def compiled(self) -> CompiledVariant:
        try:
            with quiet_analysis():
                return CompiledVariant(compile_plan(self.target, strict=False, allow_python=self.allow_python))
        except ArchscopeError as error:
            return CompiledVariant(findings=error_findings(error))

    @property
    def expected(self) -> Sequence[Expectation]:
        """The expectations; none for a net that cannot be compiled."""
        return self.compiled.plan.expected if self.compiled.plan else ()

    @cached_property
    def verdict(self) -> VariantVerdict:
        if self.compiled.plan is None:
            return VariantVerdict(self.compiled.findings)
        from archscope.analysis import spec_runs  # it needs torch

        try:
            with quiet_analysis():
                report = spec_runs.summarize_plan(self.compiled.plan, RunOptions(device="meta"))
        except ForwardError as error:
            report = error.report
        except ArchscopeError as error:
            return VariantVerdict(error_findings(error))
        return VariantVerdict(
            non_expectation_errors(report.findings),
            {expected: expectation_findings(expected, report) for expected in self.expected},
            report,
        )

    def check_findings(self) -> Sequence[Finding]:
        """Return all errors except unmet expectations, as `archscope check` reports them, with fixes."""
        if not self.verdict.findings:
            return ()
        with quiet_analysis():
            checked = check(self.target, device="meta", allow_python=self.allow_python)
        return non_expectation_errors(finding for result in checked for finding in result.findings)

    def unmet_findings(self, expected: Expectation) -> Sequence[Finding]:
        return self.verdict.unmet.get(expected, self.verdict.findings)

    @property
    def budgets(self) -> Sequence[str]:
        """The quantities with a budget in the project, `params` and `macs`; none if the net cannot be compiled."""
        if self.project is None or self.compiled.plan is None:
            return ()
        most = {"params": self.project.max_params, "macs": self.project.max_macs}
        return [name for name, limit in most.items() if limit is not None]

    def budget_findings(self, quantity: str) -> Sequence[Finding]:
        """Return the findings that exceed the project's budget, unless a setting or a comment ignores their rule."""
        project, report = self.project, self.verdict.report
        if report is None or project is None:
            return self.verdict.findings
        policy = make_policy(
            **{name: getattr(project, name) for name in ("select", "ignore", "max_params", "max_macs")}
        )
        counted = policy.check_result(
            self.target, CheckRun(find_over_budget(report, policy.budget), report), load_target(self.path).sources
        ).findings
        return [finding for finding in counted if finding.rule == f"budget-{quantity}"]


def expectation_findings(expected: Expectation, report: Report) -> Sequence[Finding]:
    """Return the findings against an expectation; after a failed forward pass no figure is known."""
    if report.trace.failure and expected.met is None:
        return non_expectation_errors(report.findings)
    return unmet_expectations([expected], report)
