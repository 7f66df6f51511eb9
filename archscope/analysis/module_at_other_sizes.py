"""Runs of a Python target that fits at another batch size and at images that are not square, for warnings.

The module runs again on its device if its first run was quick, else a copy of it on meta. The module is not changed,
and its output is not printed again. A run that fails for another reason than sizes gives no warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from time import perf_counter
from typing import Any
from warnings import catch_warnings

from archscope import targets
from archscope.analysis.check_policy import Wants
from archscope.analysis.module_runs import (
    PreparedCall,
    is_missing_inputs,
    parameters_report,
    prepare_call,
    resolve_module,
    summarize_call,
)
from archscope.analysis.run_options import RunOptions
from archscope.analysis.same_runs import is_same_run
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
from archscope.gc_pause import gc_paused
from archscope.record import walk_modules
from archscope.report import Finding, Report
from archscope.targets.user_code_limits import DeadlineExceeded, deadline
from archscope.trace import Shape

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
    options: RunOptions,
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
    with targets.target_import_path(target), targets.seeded(options.seed):
        found = resolve_module(target, options)
        if not runs and is_missing_inputs(found, options.given):
            report = parameters_report(found, train=options.train)
            return report, judge(report)
        call = prepare_call(found, options.given)
        begun = perf_counter()
        report = summarize_call(call, train=options.train)
        module = ModuleAtOtherSizes(call, options.train, report, perf_counter() - begun)
        warnings = (*module.findings(wants), *judge(report))
        return module.report_with_lines(), module.with_places(warnings)


@dataclass
class ModuleAtOtherSizes:
    """A module that has run, to be run at other sizes. spent: the seconds of its run."""

    call: PreparedCall
    train: bool
    report: Report
    spent: float

    @property
    def is_on_meta(self) -> bool:
        """True if a copy of the module runs on meta, and not the module itself on its device."""
        is_heavy = self.report.total.known > LIGHT_MACS and self.spent > QUICK_SECONDS
        return self.call.target_module.device != "meta" and is_heavy

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
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                after = summarize_call(self.call, train=self.train, located=located)
        except ArchscopeError:
            return None
        return after if is_same_run(self.report, after) else None

    def findings(self, wants: Wants) -> tuple[Finding, ...]:
        """Return the warnings of other sizes; none if the model's code raises or takes too long."""
        target_module = self.call.target_module
        is_slow = target_module.live and not self.is_on_meta and self.spent > MAX_RERUN_SECONDS
        if self.report.failed or not target_module.is_initialized or is_slow:
            return ()
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                return tuple(self._findings_in_time(wants))
        except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - a run that nobody asked for may not end the check
            return ()

    def _findings_in_time(self, wants: Wants) -> list[Finding]:
        target_module = self.call.target_module
        live = self._rerun_call.module is self.call.module and target_module.live
        with nullcontext() if live else deadline(MAX_RERUN_SECONDS):  # a module of the caller's runs without a deadline
            batch = self._batch_findings() if wants(ONE_BATCH) and not target_module.batch_guessed else ()
            return [*batch, *(self._landscape_findings() if wants(SQUARE_ONLY) else ())]

    def _batch_findings(self) -> Iterator[Finding]:
        other, guesses = doubled_batches(self.report.trace, self.call.given.batch)
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
    def _rerun_call(self) -> PreparedCall:
        """The call of the module itself, or of its copy on meta. Raises ReplacementError."""
        own = replace(self.call.target_module, live=True)
        if not self.is_on_meta:
            return replace(self.call, target_module=own)
        twin, args, kwargs = targets.copy_to_meta(self.call.module, self.call.args, self.call.kwargs)
        on_meta = replace(own, module=twin, device="meta", holding=walk_modules(twin))
        return replace(self.call, target_module=on_meta, args=args, kwargs=kwargs)

    def _run_at_shapes(self, shapes: Sequence[Shape]) -> Report | None:
        """Return the report of a run with inputs of these shapes; None if they cannot be made."""
        call = self._rerun_call
        try:
            args, kwargs = targets.resize_inputs(call.module, call.args, call.kwargs, shapes)
            return summarize_call(replace(call, args=args, kwargs=kwargs), train=self.train)
        except targets.ResizeError:
            return None
        except ForwardError as error:
            return error.report
