"""What pytest asks of one variant of a spec: VariantUnderTest, compiled once, run once on shapes alone → findings."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from archscope.api import runs
from archscope.api.demands import Ran, demands
from archscope.api.judgement import check
from archscope.api.specs import load, plan_of, variants
from archscope.checks import other_errors, unmet
from archscope.checks.budgets import over
from archscope.config import Config
from archscope.errors import ArchscopeError, ForwardError, SpecError
from archscope.report import Finding, Report, from_problem
from archscope.spec.model import RUNS_IT, Expected

if TYPE_CHECKING:
    from archscope.compile import Plan


def near(path: Path) -> str:
    """A file as messages name it: from the current directory, where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextmanager
def quiet() -> Iterator[None]:
    """What torch warns of while a net is compiled or run on shapes is no matter of the project's `filterwarnings`.

    Python's cycle collector rests meanwhile: it would go through all of torch and all tests again and again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if collecting:
            gc.enable()


def reading(path: Path) -> Sequence[Finding]:
    """What is wrong with the text of a spec."""
    try:
        variants(near(path))
    except ArchscopeError as error:
        return problems(error)
    return ()


def problems(error: ArchscopeError) -> Sequence[Finding]:
    if isinstance(error, SpecError):
        return [from_problem(problem, sources=error.sources) for problem in error.problems]
    return [Finding("spec", "error", str(error))]


@dataclass(frozen=True)
class Compiled:
    """A net's plan, or why there is none."""

    plan: Plan | None = None
    faults: Sequence[Finding] = ()

    @property
    def foreign(self) -> bool:
        """Whether there is none for the sake of Python code alone, which may not be run."""
        return bool(self.faults) and all(fault.help == RUNS_IT for fault in self.faults)


@dataclass(frozen=True)
class Verdict:
    """What one run of a net showed: its faults, whatever speaks against each expectation, and its report."""

    faults: Sequence[Finding] = ()
    unmet: Mapping[Expected, Sequence[Finding]] = field(default_factory=dict)
    report: Report | None = None


@dataclass(frozen=True)
class VariantUnderTest:
    """One variant of a spec: compiled when its tests are listed, run on shapes alone when the first of them asks."""

    path: Path
    variant: str | None
    project: Config | None = None
    allow_python: bool = False

    @property
    def target(self) -> str:
        return f"{near(self.path)}:{self.variant}" if self.variant else near(self.path)

    @cached_property
    def compiled(self) -> Compiled:
        try:
            with quiet():
                return Compiled(plan_of(self.target, strict=False, allow_python=self.allow_python))
        except ArchscopeError as error:
            return Compiled(faults=problems(error))

    @property
    def expected(self) -> Sequence[Expected]:
        """None of a net that cannot be compiled; its `check` says why."""
        return self.compiled.plan.expected if self.compiled.plan else ()

    @cached_property
    def verdict(self) -> Verdict:
        if self.compiled.plan is None:
            return Verdict(self.compiled.faults)
        try:
            with quiet():
                report = runs.summarize_plan(self.compiled.plan, device="meta")
        except ForwardError as error:
            report = error.report  # type: ignore[assignment]  # the ground knows no reports
        except ArchscopeError as error:
            return Verdict(problems(error))
        return Verdict(other_errors(report.findings), {one: against(one, report) for one in self.expected}, report)

    def faults(self) -> Sequence[Finding]:
        """Every error that is no expectation, as `archscope check` tells it, with the fixes that it tries."""
        if not self.verdict.faults:
            return ()
        with quiet():
            checked = check(self.target, device="meta", allow_python=self.allow_python)
        return other_errors(finding for one in checked for finding in one.findings)

    def unmet(self, expected: Expected) -> Sequence[Finding]:
        return self.verdict.unmet.get(expected, self.verdict.faults)

    @property
    def budgets(self) -> Sequence[str]:
        """Of what the project sets a budget: `params`, `macs`; of nothing where the net cannot be compiled."""
        if self.project is None or self.compiled.plan is None:
            return ()
        most = {"params": self.project.max_params, "macs": self.project.max_macs}
        return [name for name, limit in most.items() if limit is not None]

    def over(self, quantity: str) -> Sequence[Finding]:
        """What is over the project's budget, unless a rule or a comment that ignores it says that this is meant."""
        project, report = self.project, self.verdict.report
        if report is None or project is None:
            return self.verdict.faults
        law = demands(**{name: getattr(project, name) for name in ("select", "ignore", "max_params", "max_macs")})
        kept = law.checked(self.target, Ran(over(report, law.budget), report), load(self.path).sources).findings
        return [finding for finding in kept if finding.rule == f"budget-{quantity}"]


def against(expected: Expected, report: Report) -> Sequence[Finding]:
    """What speaks against an expectation; after a forward pass that failed no figure is known."""
    if report.trace.failure and expected.met is None:
        return other_errors(report.findings)
    return unmet([expected], report)
