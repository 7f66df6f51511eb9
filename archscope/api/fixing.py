"""Fixes of a spec: remedies for each conflict, tried in memory on the spec and on its other variants.

    spec + report → pages → remedies → run again with the changed text → findings with fixes that were checked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from archscope.api.runs import summarize_plan
from archscope.api.specs import load, plan_of, split, variants
from archscope.errors import ArchscopeError, ForwardError, Span, SpecError
from archscope.report import Finding, Link, Report
from archscope.spec.edits import Page

if TYPE_CHECKING:
    from archscope.checks.fixes import Outcome
    from archscope.checks.remedies import Remedy
    from archscope.spec.model import Expected

PLANNED = ("set", "input", "batch", "train", "allow_python")
MOST_ROWS = 200_000
"""How many rows are run for one conflict at most, over all remedies."""
MOST_FINDINGS = 8
"""For how many conflicts of a target fixes are looked for; those that may follow from others come last."""


@dataclass
class Fixer:
    """Tries remedies on one spec. `options` are those of the run."""

    file: str
    options: Mapping[str, Any]
    pages: dict[str, Page] = field(default_factory=dict)
    sound: dict[str, bool] = field(default_factory=dict)  # variant → whether it compiles as it stands
    found: dict[object, tuple[Remedy, ...]] = field(default_factory=dict)  # rule and place → what cured it elsewhere

    def __post_init__(self) -> None:
        library = load(self.file, texts=self.options.get("texts"))
        self.pages = {
            name: Page(library.sources[name].replace("\r\n", "\n"), spec)
            for name, spec in library.files.items()
            if not name.startswith("std/")
        }

    def with_fixes(self, target: str, report: Report) -> tuple[Finding, ...]:
        """The report's findings; its conflicts with the fixes that were found."""
        from archscope.checks.conflicts import diagnoses
        from archscope.checks.fixes import Trials, fixed
        from archscope.checks.remedies import remedies

        alone = sum(bool(finding.cause) for finding in report.findings) < 2
        trials = Trials(
            before=self._outcome(report),
            attempt=lambda remedy, place: self._attempt(target, remedy, None if alone else place),
            elsewhere=lambda remedy: self._wrong(target, remedy),
            source=lambda file: self.pages[file].text,
            most=min(max(MOST_ROWS // max(len(report.rows), 1), 8), 80),
        )
        known = {(d.mismatch.site.path, d.mismatch.site.place): d for d in reversed(diagnoses(report.index))}
        left, findings = MOST_FINDINGS, []
        for finding in report.findings:
            diagnosis = known.get((finding.path, finding.place))
            if finding.cause and diagnosis is not None and left and finding.place is not None:
                left -= 1
                key = finding.rule, finding.place
                tried = chain(self.found.get(key, ()), remedies(diagnosis, self.pages))
                finding = self._with_definitions(fixed(finding, tried, trials), report)
                self._remember(key, finding)
            findings.append(finding)
        return tuple(findings)

    def _with_definitions(self, finding: Finding, report: Report) -> Finding:
        """The finding with the definitions of the blocks that its walk goes through, for what they say by default."""
        paths = {link.path for link in finding.walk}
        sites = (call.site for call in report.trace.calls)
        names = {site.name for site in sites if site.kind == "block" and site.path in paths}
        blocks = [block for page in self.pages.values() for block in page.spec.blocks if block.name in names]
        found = (Link(block.name, "is defined here", block.span) for block in blocks)
        return replace(finding, walk=(*finding.walk, *found))

    def _remember(self, key: object, finding: Finding) -> None:
        from archscope.checks.remedies import Remedy

        cause = finding.cause
        self.found[key] = tuple(Remedy(f.description, f.file, f.text, cause) for f in finding.fixes if f.checked)

    def _outcome(self, report: Report) -> Outcome:
        from archscope.checks.fixes import Outcome, faults

        mismatches = report.trace.mismatches
        unfit = frozenset((m.site.path, tuple(operand.value.shape for operand in m.operands)) for m in mismatches)
        return Outcome(faults(report.findings), report.total.params, report.total.macs, waste(report), unfit)

    def _attempt(self, target: str, remedy: Remedy, place: Span | None) -> Outcome | None:
        """What a run of the changed spec finds; None where it cannot be compiled, or the conflict is still there.

        Shapes alone tell most remedies apart, so a spec without conflicts is recorded only if it meets what is expected
        of its shapes and parameters. place: of the conflict; None where no other could be left.
        """
        from archscope.checks.fixes import Outcome

        try:
            plan = self._plan(target, remedy, strict=True)
        except SpecError as error:
            still = place is None or any(problem.span == place for problem in error.problems)
            return None if still else self._recorded(target, remedy)
        unmet = frozenset((f"expect-{e.key}", e.path) for e in plan.expected if not fits(e, plan.parameter_count))
        return Outcome(unmet, plan.parameter_count) if unmet else self._recorded(target, remedy)

    def _recorded(self, target: str, remedy: Remedy) -> Outcome | None:
        run = {name: value for name, value in self.options.items() if name in ("device", "dtype", "seed")}
        try:
            plan = self._plan(target, remedy, strict=False)
            return self._outcome(summarize_plan(plan, **run, train=bool(self.options.get("train"))))
        except ForwardError as error:
            return self._outcome(error.report)  # type: ignore[arg-type]  # errors.py stands below the Report
        except ArchscopeError:
            return None

    def _plan(self, target: str, remedy: Remedy | None, *, strict: bool) -> Any:
        options = {name: value for name, value in self.options.items() if name in PLANNED}
        texts = {**(self.options.get("texts") or {}), **({remedy.file: remedy.text} if remedy else {})}
        return plan_of(target, texts=texts, strict=strict, **options)

    def _wrong(self, target: str, remedy: Remedy) -> int | None:
        """How many other variants are wrong with the remedy; None where one is that was right without."""
        others = variants(self.file, texts=self.options.get("texts"))
        wrong = [other for other in others if other != target and not self._compiles(other, remedy)]
        return None if any(self._is_sound(other) for other in wrong) else len(wrong)

    def _is_sound(self, target: str) -> bool:
        if target not in self.sound:
            self.sound[target] = self._compiles(target, None)
        return self.sound[target]

    def _compiles(self, target: str, remedy: Remedy | None) -> bool:
        try:
            plan = self._plan(target, remedy, strict=True)
        except SpecError:
            return False
        return all(fits(e, plan.parameter_count) for e in plan.expected)


def waste(report: Report) -> int:
    """How many rows join a value with itself, and how many steps' values nothing uses."""
    joins = (row for row in report.trace.rows if row.short.removesuffix("_") in ("add", "sub", "mul", "cat", "stack"))
    read = ([operand.value.id for operand in report.index.activations(row)] for row in joins)
    unused = sum(finding.rule == "unused-value" for finding in report.findings)
    return unused + sum(len(set(values)) < len(values) for values in read)


def fits(expected: Expected, params: int) -> bool:
    """Whether a compiled net meets an expectation of a shape, or of its parameters; others are not known yet."""
    if expected.met is not None:
        return expected.met
    if expected.key != "params" or expected.path:
        return True
    least, most = expected.least, expected.most
    return (least is None or params >= least) and (most is None or params <= most)


def fixer_of(target: str, options: Mapping[str, Any]) -> Fixer | None:
    """The Fixer of a spec; None for other targets."""
    parts = split(target)
    return Fixer(parts[0], options) if parts else None
