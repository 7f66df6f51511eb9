"""Runs of a Python target that fits at another batch size and at images that are not square, for warnings.

The module runs again on its device if its first run was quick, else a copy of it on meta. The module is not changed,
and its output is not printed again. A run that fails for another reason than sizes gives no warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from time import perf_counter
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

from archscope.api.given_inputs import GivenInputs
from archscope.api.spec_at_other_sizes import Wants
from archscope.api.summaries import is_missing_inputs, parameters_report, prepare_call, summarize_target
from archscope.checks.other_sizes import (
    ONE_BATCH,
    SQUARE_ONLY,
    as_size_warnings,
    doubled_batches,
    lost_batch,
    other_image_sizes,
    transposed_image,
)
from archscope.errors import ArchscopeError, ForwardError
from archscope.fixes.run_comparison import is_same_run
from archscope.gc_pause import gc_paused
from archscope.report import Finding, Report
from archscope.trace import Shape

if TYPE_CHECKING:
    from archscope.targets import TargetModule

LIGHT_MACS = 200_000_000
"""A module with at most so many multiply-adds runs again on its device: loading the meta device takes longer."""
MAX_LOCATE_MACS = 20_000_000_000
"""The most multiply-adds of a module with conflicts that is run again to find the source lines of its functions."""
QUICK_SECONDS = 0.5
"""A module with more multiply-adds runs again on its device if its first run took at most so many seconds."""
MAX_RERUN_SECONDS = 3.0
"""The most seconds of all runs at other sizes. A live module, whose run has no deadline, is run only if its first run
took less.
"""
OUTSIDE_REASONS = ("meta", "memory", "allocate")
"""Words in error messages of runs that failed for another reason than sizes."""


@gc_paused()
def summarize_at_sizes(
    target: Any,
    options: Mapping[str, Any],
    wants: Wants,
    judge: Callable[[Report], tuple[Finding, ...]],
    *,
    runs: bool = True,
) -> tuple[Report, tuple[Finding, ...]]:
    """Return the report of a Python target, and the warnings of other sizes and of `judge`, each with its source
    line.

    runs: if True, a target that needs an input and has none is refused; if False, its report has the parameters only.
    Raises the errors of `summarize`.
    """
    from archscope import targets

    given = GivenInputs(*(options.get(name) for name in ("input", "args", "kwargs", "batch")))
    place, train = (options.get("device", "auto"), options.get("dtype")), bool(options.get("train"))
    with targets.target_import_path(target), targets.seeded(options.get("seed")):
        found = targets.resolve_target(target, options.get("set") or {}, device=place[0], dtype=place[1])
        if not runs and is_missing_inputs(found, given):
            report = parameters_report(found, train=train)
            return report, judge(report)
        target_module, args, kwargs = prepare_call(found, given)
        begun = perf_counter()
        report = summarize_target(target_module, args, kwargs, given, train=train, backward=False)
        module = ModuleAtOtherSizes(target_module, args, kwargs, given, train, report, perf_counter() - begun)
        warnings = (*module.findings(wants), *judge(report))
        return module.report_with_lines(), module.with_places(warnings)


@dataclass
class ModuleAtOtherSizes:
    """A module that has run, to be run at other sizes. spent: the seconds of its run."""

    target_module: TargetModule
    args: Any
    kwargs: Any
    given: GivenInputs
    train: bool
    report: Report
    spent: float

    @property
    def is_on_meta(self) -> bool:
        """True if a copy of the module runs on meta, and not the module itself on its device."""
        return (
            self.target_module.device != "meta" and self.report.total.known > LIGHT_MACS and self.spent > QUICK_SECONDS
        )

    def with_places(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Return the findings about rows with the source lines that call them, which are recorded in another run."""
        rows = {finding.row for finding in findings if finding.row >= 0 and finding.place is None}
        if not rows or self.report.failed:
            return findings
        again = self._rerun(rows)
        if again is None:
            return findings
        places = {row: again.trace.rows[row].place for row in rows}
        return tuple(replace(f, place=places.get(f.row)) if f.place is None else f for f in findings)

    def report_with_lines(self) -> Report:
        """Return the report; if there are conflicts, that of another run, which has the source lines of the functions
        before the conflicts.
        """
        index, found = self.report.index, self.report.trace.mismatches
        ahead = {
            row for mismatch in found for operand in mismatch.operands for row in index.ancestors(operand).values()
        }
        rows = {row for row in ahead if index.layer(self.report.trace.rows[row]) is None}
        again = self._rerun(rows) if rows and self.report.total.known <= MAX_LOCATE_MACS else None
        return again or self.report

    def _rerun(self, located: Collection[int]) -> Report | None:
        """Return the report of another run with the source lines of these rows; None if the run differs."""
        again = (self.target_module, self.args, self.kwargs, self.given)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                after = summarize_target(*again, train=self.train, backward=False, located=located)
        except ArchscopeError:
            return None
        return after if is_same_run(self.report, after) else None

    def findings(self, wants: Wants) -> tuple[Finding, ...]:
        """Return the warnings of other sizes; none if the model's code raises or takes too long."""
        from archscope.targets.deadlines import DeadlineExceeded

        is_slow = self.target_module.live and not self.is_on_meta and self.spent > MAX_RERUN_SECONDS
        if self.report.failed or not self.target_module.is_initialized or is_slow:
            return ()
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                return tuple(self._findings_in_time(wants))
        except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - a run that nobody asked for may not end the check
            return ()

    def _findings_in_time(self, wants: Wants) -> list[Finding]:
        from archscope.targets.deadlines import deadline

        live = self._module_call[0].module is self.target_module.module and self.target_module.live
        with nullcontext() if live else deadline(MAX_RERUN_SECONDS):  # a module of the caller's runs without a deadline
            batch = self._batch_findings() if wants(ONE_BATCH) and not self.target_module.batch_guessed else ()
            return [*batch, *(self._landscape_findings() if wants(SQUARE_ONLY) else ())]

    def _batch_findings(self) -> Iterator[Finding]:
        other, guesses = doubled_batches(self.report.trace, self.given.batch)
        first: Report | None = None
        for shapes in guesses:
            after = self._run_at_shapes(shapes)
            if after is not None and not after.failed:
                if self._is_trusted:
                    yield from lost_batch(self.report, after, other // 2, other)
                return
            first = first or after
        if first is not None and self._is_caused_by_sizes(first):
            yield from as_size_warnings(first.findings, ONE_BATCH, f"a batch of {other}")

    def _landscape_findings(self) -> Iterator[Finding]:
        wanted = other_image_sizes(self.report.trace)
        for where, shapes in wanted.others if wanted is not None else ():
            after = self._run_at_shapes(shapes)
            if after is None or wanted is None:
                continue
            found = (
                list(as_size_warnings(after.findings, SQUARE_ONLY, where))
                if after.failed and self._is_caused_by_sizes(after)
                else []
            )
            found += () if after.failed else transposed_image(self.report, after, where)
            if found and self._can_run_at(wanted.square):
                yield from found

    def _can_run_at(self, shapes: Sequence[Shape]) -> bool:
        after = self._run_at_shapes(shapes)
        return after is not None and not after.failed

    # ------------------------------------------------------------ runs
    def _is_caused_by_sizes(self, after: Report) -> bool:
        """Return whether a run failed because of its sizes: the same run at sizes that fit succeeds."""
        failure = after.trace.failure
        outside = failure is not None and any(word in failure.message for word in OUTSIDE_REASONS)
        return not outside and self._is_trusted

    @cached_property
    def _is_trusted(self) -> bool:
        """True if the module runs on the device of these runs as it did for its report."""
        if not self.is_on_meta:
            return True
        again = self._run_at_shapes([operand.value.shape for operand in self.report.trace.inputs])
        return again is not None and is_same_run(self.report, again)

    @cached_property
    def _module_call(self) -> tuple[TargetModule, Any, Any]:
        """The module itself, or its copy on meta, with the arguments of the call. Raises ReplacementError."""
        from archscope import targets
        from archscope.record import walk_modules

        if not self.is_on_meta:
            return replace(self.target_module, live=True), self.args, self.kwargs
        twin, args, kwargs = targets.copy_to_meta(self.target_module.module, self.args, self.kwargs)
        return (
            replace(self.target_module, module=twin, live=True, device="meta", holding=walk_modules(twin)),
            args,
            kwargs,
        )

    def _run_at_shapes(self, shapes: Sequence[Shape]) -> Report | None:
        """Return the report of a run with inputs of these shapes; None if they cannot be made."""
        from archscope import targets

        target_module, args, kwargs = self._module_call
        try:
            args, kwargs = targets.resize_inputs(target_module.module, args, kwargs, shapes)
            return summarize_target(target_module, args, kwargs, self.given, train=self.train, backward=False)
        except targets.ResizeError:
            return None
        except ForwardError as error:
            return error.report  # type: ignore[return-value]  # errors.py does not import Report
