"""A Python target that fits, run at another batch and at images that are wider than high.

module, its report → runs where it ran, if that was quick; else of its twin on meta → warnings

Nothing of the module is changed, and what its code prints is not printed again. Of a run that fails for another reason
than the sizes nothing is said.
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

from archscope.api.given_inputs import Given
from archscope.api.other_sizes import Wants
from archscope.api.runs import at_rest, is_without_inputs, parameters_of, ready_of, summarize_subject
from archscope.checks.conflicts.comparing import is_same_run
from archscope.checks.other_sizes import ONE_BATCH, SQUARE_ONLY, batches, landscapes, lost_batch, told, turned_image
from archscope.errors import ArchscopeError, ForwardError
from archscope.report import Finding, Report
from archscope.trace import Shape

if TYPE_CHECKING:
    from archscope.targets import Subject

LIGHT = 200_000_000
"""Up to how many multiply-adds a module runs again where it ran: loading the meta device takes longer than that."""
HEAVY = 20_000_000_000
"""Up to how many multiply-adds a module with conflicts runs again for the lines of its functions."""
QUICK = 0.5
"""Up to how many seconds the run of a heavier one may have taken for the same."""
LONGEST = 3.0
"""How many seconds all runs at other sizes may take; a live module, which is not broken off, is run only if its own run
took less."""
OUTSIDE = ("meta", "memory", "allocate")
"""Words in what ends a run for a reason that is no size of the net's."""


@at_rest
def summarize_at_sizes(
    target: Any,
    options: Mapping[str, Any],
    wants: Wants,
    judge: Callable[[Report], tuple[Finding, ...]],
    *,
    runs: bool = True,
) -> tuple[Report, tuple[Finding, ...]]:
    """What `summarize` gives of a Python target, and the warnings of the other sizes and of `judge`, each with the line
    of the code that it is about. runs: whether a target that is given no input, and needs one, is refused; else what is
    known of its parameters is all. Raises what `summarize` raises."""
    from archscope import targets

    given = Given(*(options.get(name) for name in ("input", "args", "kwargs", "batch")))
    place, train = (options.get("device", "auto"), options.get("dtype")), bool(options.get("train"))
    with targets.surroundings(target), targets.seeded(options.get("seed")):
        found = targets.subject(target, options.get("set") or {}, device=place[0], dtype=place[1])
        if not runs and is_without_inputs(found, given):
            report = parameters_of(found, train=train)
            return report, judge(report)
        subject, args, kwargs = ready_of(found, given)
        begun = perf_counter()
        report = summarize_subject(subject, args, kwargs, given, train=train, backward=False)
        module = ModuleAtOtherSizes(subject, args, kwargs, given, train, report, perf_counter() - begun)
        told = (*module.findings(wants), *judge(report))
        return module.with_lines(), module.with_places(told)


@dataclass
class ModuleAtOtherSizes:
    """A module that has run. spent: how many seconds that took."""

    subject: Subject
    args: Any
    kwargs: Any
    given: Given
    train: bool
    report: Report
    spent: float

    @property
    def on_meta(self) -> bool:
        """Whether its twin is run there, and not the module itself where it ran."""
        return self.subject.device != "meta" and self.report.total.known > LIGHT and self.spent > QUICK

    def with_places(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The findings about rows with the lines of the author's code that call them, which another run tells."""
        rows = {finding.row for finding in findings if finding.row >= 0 and finding.place is None}
        if not rows or self.report.failed:
            return findings
        again = self._again(rows)
        if again is None:
            return findings
        places = {row: again.trace.rows[row].place for row in rows}
        return tuple(replace(one, place=places.get(one.row)) if one.place is None else one for one in findings)

    def with_lines(self) -> Report:
        """The report; of a run with conflicts that of another run, whose steps tell the lines of the author's functions
        that the values in conflict come through."""
        index, found = self.report.index, self.report.trace.mismatches
        ahead = {row for one in found for operand in one.operands for row in index.ancestors(operand).values()}
        rows = {row for row in ahead if index.layer(self.report.trace.rows[row]) is None}
        again = self._again(rows) if rows and self.report.total.known <= HEAVY else None
        return again or self.report

    def _again(self, located: Collection[int]) -> Report | None:
        """The report of another run with the lines of these rows; None where it cannot be run alike."""
        again = (self.subject, self.args, self.kwargs, self.given)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                after = summarize_subject(*again, train=self.train, backward=False, located=located)
        except ArchscopeError:
            return None
        return after if is_same_run(self.report, after) else None

    def findings(self, wants: Wants) -> tuple[Finding, ...]:
        """The warnings of other sizes; none where the author's code raises or takes too long."""
        from archscope.targets.deadlines import Overdue

        is_slow = self.subject.live and not self.on_meta and self.spent > LONGEST
        if self.report.failed or not self.subject.is_made or is_slow:
            return ()
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()), catch_warnings(action="ignore"):
                return tuple(self._within_time(wants))
        except (Exception, SystemExit, Overdue):  # noqa: BLE001 - a run that nobody asked for may not end the check
            return ()

    def _within_time(self, wants: Wants) -> list[Finding]:
        from archscope.targets.deadlines import deadline

        live = self._ready[0].module is self.subject.module and self.subject.live
        with nullcontext() if live else deadline(LONGEST):  # what is the caller's is not broken off
            batch = self._at_another_batch() if wants(ONE_BATCH) and not self.subject.guessed else ()
            return [*batch, *(self._in_landscape() if wants(SQUARE_ONLY) else ())]

    def _at_another_batch(self) -> Iterator[Finding]:
        other, guesses = batches(self.report.trace, self.given.batch)
        first: Report | None = None
        for shapes in guesses:
            after = self._run(shapes)
            if after is not None and not after.failed:
                if self._is_trusted:
                    yield from lost_batch(self.report, after, other // 2, other)
                return
            first = first or after
        if first is not None and self._is_of_sizes(first):
            yield from told(first.findings, ONE_BATCH, f"a batch of {other}")

    def _in_landscape(self) -> Iterator[Finding]:
        wanted = landscapes(self.report.trace)
        for where, shapes in wanted.others if wanted is not None else ():
            after = self._run(shapes)
            if after is None or wanted is None:
                continue
            found = list(told(after.findings, SQUARE_ONLY, where)) if after.failed and self._is_of_sizes(after) else []
            found += () if after.failed else turned_image(self.report, after, where)
            if found and self._is_free(wanted.square):
                yield from found

    def _is_free(self, shapes: Sequence[Shape]) -> bool:
        after = self._run(shapes)
        return after is not None and not after.failed

    # ------------------------------------------------------------ runs
    def _is_of_sizes(self, after: Report) -> bool:
        """Whether a run failed for its sizes: the same run at the sizes that are known to fit does not."""
        failure = after.trace.failure
        outside = failure is not None and any(word in failure.message for word in OUTSIDE)
        return not outside and self._is_trusted

    @cached_property
    def _is_trusted(self) -> bool:
        """Whether the module runs there as it ran for its report."""
        if not self.on_meta:
            return True
        again = self._run([operand.value.shape for operand in self.report.trace.inputs])
        return again is not None and is_same_run(self.report, again)

    @cached_property
    def _ready(self) -> tuple[Subject, Any, Any]:
        """What is run: the module itself, or its twin. Raises ReplacementError."""
        from archscope import targets
        from archscope.record import walk

        if not self.on_meta:
            return replace(self.subject, live=True), self.args, self.kwargs
        twin, args, kwargs = targets.on_meta(self.subject.module, self.args, self.kwargs)
        return replace(self.subject, module=twin, live=True, device="meta", holding=walk(twin)), args, kwargs

    def _run(self, shapes: Sequence[Shape]) -> Report | None:
        """A recorded run with inputs of these shapes; None where they cannot be made."""
        from archscope import targets

        subject, args, kwargs = self._ready
        try:
            args, kwargs = targets.resized(subject.module, args, kwargs, shapes)
            return summarize_subject(subject, args, kwargs, self.given, train=self.train, backward=False)
        except targets.ResizeError:
            return None
        except ForwardError as error:
            return error.report  # type: ignore[return-value]  # errors.py stands below the Report
