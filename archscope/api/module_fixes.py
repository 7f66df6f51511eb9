"""Fixes of a Python target: other arguments for one layer, each tried in a copy of the model that shares its tensors.

    conflict → LayerChanges → a copy with that layer → a recorded run beside the broken one → Fixes, checked and priced

A fix has cured its conflict and changed nothing that does not depend on the layer. Nothing is written, and the model
stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from archscope.api.argument_trials import argument_fixes
from archscope.api.given_inputs import Given
from archscope.api.input_trials import InputTrials
from archscope.api.runs import subject_of, summarize_subject
from archscope.api.source_fixes import MOST_MACS, SourceSearch, listed
from archscope.checks.conflicts.comparing import Compared, compared, is_same_run
from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.checks.conflicts.fix_search import WANTED
from archscope.checks.conflicts.layer_changes import SEQUENCES, after_failure, is_layers, layer_changes
from archscope.checks.conflicts.told_arguments import LayerChange
from archscope.errors import ArchscopeError, ForwardError, Span
from archscope.report import Finding, Fix, Report
from archscope.spec.text_diff import diff
from archscope.trace import Shape

if TYPE_CHECKING:
    from archscope.targets import Constructor, Constructors, Remaking, Subject

MOST_TRIALS = 12
"""How many changes are tried for one conflict."""
LIGHT = 200_000_000
"""Up to how many multiply-adds a target runs on its own device: loading the meta device takes longer than that."""
MOST_FINDINGS = 4
"""For how many conflicts of a target fixes are looked for."""


@dataclass(frozen=True)
class Trial:
    """A change of one layer, or of all that one call makes.

    texts: its arguments as the source would say them. apart: the other layers that the call makes, which stay as they
    are, so that no change of its line gives this.
    """

    change: LayerChange
    layers: Mapping[str, Mapping[str, object]]
    constructor: Constructor | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    apart: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passed:
    """A trial that cured the conflict: what else it changes, and what it costs."""

    trial: Trial
    compared: Compared
    named: tuple[str, ...]
    params: int | None
    macs: int | None

    @property
    def is_apart(self) -> bool:
        return bool(self.trial.apart)

    @property
    def rank(self) -> tuple[object, ...]:
        change = self.trial.change
        price = abs(self.params or 0), abs(self.macs or 0)
        return bool(self.named), self.compared.changed, not change.likely, change.distance, *price


def with_module_fixes(target: Any, report: Report, options: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The report's findings; its conflicts with the fixes that were found by trying other arguments of layers.

    options: those of `summarize`. report: what it gave for the target. Raises nothing of its own.
    """
    if not is_mendable(target, report):
        return report.findings
    from archscope import targets
    from archscope.record import resting

    with resting(), targets.surroundings(target), targets.seeded(options.get("seed")):
        search = search_on_meta(target, report, options) or search_of(target, report, options)
        return report.findings if search is None else search.findings()


def is_mendable(target: Any, report: Report) -> bool:
    """Whether there is a conflict that another layer, or another text of a target that is named, may cure."""
    failure, known = report.trace.failure, [f.diagnosis for f in report.findings if f.diagnosis is not None]
    if (isinstance(target, (str, os.PathLike)) and known) or (failure is not None and failure.asked):
        return True
    return (failure is not None and failure.site.name in SEQUENCES) or any(map(is_layers, known))


def search_of(target: Any, report: Report, options: Mapping[str, Any], device: str | None = None) -> Search | None:
    """The search for a target, on this device or the one that the options say; None where it cannot be made again."""
    given = Given(*(options.get(name) for name in ("input", "args", "kwargs", "batch")))
    place = device or options.get("device", "auto"), options.get("dtype")
    try:
        subject, args, kwargs = subject_of(target, options.get("set") or {}, given, *place)
    except ArchscopeError:
        return None
    remaking = remaking_of(target, options, subject)
    return Search(subject, args, kwargs, given, bool(options.get("train")), report, remaking)


def remaking_of(target: Any, options: Mapping[str, Any], subject: Subject) -> Remaking | None:
    """What makes a named target again; None where no call makes it."""
    from archscope import targets

    if not isinstance(target, (str, os.PathLike)):
        return None
    found = targets.Remaking(os.fspath(target), options.get("set") or {}, subject.device, options.get("dtype"))
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # its file has printed it before
            return found if found.is_made_by_a_call else None
    except ArchscopeError:
        return None


def search_on_meta(target: Any, report: Report, options: Mapping[str, Any]) -> Search | None:
    """The search where nothing is computed: of a large target that runs on meta as it did; None for others."""
    heavy = report.total.known > LIGHT and options.get("device", "auto") != "meta"
    if not heavy or not isinstance(target, (str, os.PathLike)):
        return None
    search = search_of(target, report, options, "meta")
    again = search.run(search.subject.module) if search is not None else None
    if search is None or again is None or not is_same_run(report, again):
        return None
    return replace(search, report=replace(again, findings=report.findings))


@dataclass
class Search:
    """The search for fixes of one broken run."""

    subject: Subject
    args: Any
    kwargs: Any
    given: Given
    train: bool
    report: Report
    remaking: Remaking | None = None
    constructors: Constructors = field(init=False)
    layers: Mapping[str, Any] = field(init=False)
    in_source: SourceSearch | None = None
    inputs: InputTrials = field(init=False)
    cured: frozenset[int] = frozenset()  # the rows of conflicts that a fix of an earlier one cures too

    def __post_init__(self) -> None:
        from archscope import targets

        if self.remaking is not None:
            self.in_source = SourceSearch(self.remaking, self.report, self._run)
        self.inputs = InputTrials(self.report, self.run_at)
        self.layers = dict(self.subject.holding.modules)
        self.constructors = targets.Constructors(self.subject.module)

    def findings(self) -> tuple[Finding, ...]:
        """Every finding; a conflict that follows from no other with its fixes."""
        from archscope.render.conflicts import cured_by

        left, found = MOST_FINDINGS, []
        unfixed: set[int] = set()
        cures: dict[int, Finding] = {}
        for finding in self.report.findings:
            diagnosis: Diagnosis | None = finding.diagnosis
            if self._is_light and not self._is_cured(diagnosis):
                finding = self.inputs.told(finding)
                diagnosis = finding.diagnosis
            if left and not self._is_cured(diagnosis) and not self._comes_from(diagnosis, unfixed):
                fixes, cause = self._in_source(diagnosis)
                told = self.in_source is not None and self.in_source.is_possible and diagnosis is not None
                changes = self._changes(finding, diagnosis) if not fixes and not told else None
                left -= bool(fixes) or changes is not None
                fixes = fixes or (self._fixes(changes, diagnosis) if changes is not None else [])
                finding = replace(finding, fixes=tuple(fixes), cause=cause or finding.cause)
                unfixed |= {diagnosis.mismatch.row} if diagnosis is not None and not fixes else set()
                cures |= dict.fromkeys(self.cured - cures.keys(), finding)
            elif diagnosis is not None and diagnosis.mismatch.row in cures:
                finding = cured_by(finding, cures[diagnosis.mismatch.row])
            found.append(finding if finding.place is not None else replace(finding, place=self._made_at(finding.path)))
        return tuple(found)

    def _made_at(self, path: str) -> Span | None:
        """The line that makes the layer at a path; of a named target, whose factory runs again for that."""
        if self.in_source is None or not path or not self.in_source.is_possible:
            return None
        call = next(iter(self.in_source.proposals.calls_of(path)), None)
        return call.file.place(call.node) if call is not None else None

    @property
    def _is_light(self) -> bool:
        return self.subject.device == "meta" or self.report.total.known <= LIGHT

    def run_at(self, shapes: Sequence[Shape]) -> Report | None:
        """A recorded run with inputs of these shapes; None where they cannot be made."""
        from archscope import targets

        subject = replace(self.subject, live=True)
        try:
            args, kwargs = targets.resized(subject.module, self.args, self.kwargs, shapes)
        except targets.ResizeError:
            return None
        return self._run(subject, args, kwargs)

    def _comes_from(self, diagnosis: Diagnosis | None, rows: set[int]) -> bool:
        """Whether a conflict reads what a row gives whose own conflict nothing cures: its sizes were made up."""
        index = self.report.index
        operands = diagnosis.operands if diagnosis is not None and self.in_source is not None else ()
        return any(rows.intersection(index.ancestors(operand).values()) for operand in operands)

    def _is_cured(self, diagnosis: Diagnosis | None) -> bool:
        return diagnosis is not None and (diagnosis.likely or diagnosis.mismatch.row in self.cured)

    def _in_source(self, diagnosis: Diagnosis | None) -> tuple[list[Fix], str]:
        """The best edits of the author's source and the cause that they show; none of a live model's."""
        if diagnosis is None or self.in_source is None:
            return [], ""
        found, cured, cause = self.in_source.fixes(diagnosis)
        self.cured |= cured
        return [*self._in_arguments(diagnosis), *found][:WANTED], cause

    def _in_arguments(self, diagnosis: Diagnosis) -> list[Fix]:
        """Other values of the arguments that the target was given."""
        if self.remaking is None or not self._is_light or not self.in_source or not self.in_source.is_possible:
            return []
        return argument_fixes(diagnosis, self.remaking, self.report, self._run)

    def _changes(self, finding: Finding, diagnosis: Diagnosis | None) -> Iterator[LayerChange] | None:
        failure = self.report.trace.failure
        if diagnosis is not None:
            return layer_changes(diagnosis, self.arguments_at)
        return after_failure(failure, self.arguments_at) if failure is not None and finding.rule == "forward" else None

    def arguments_at(self, path: str) -> Mapping[str, object]:
        """The present arguments of a layer of torch's; none of anything else."""
        from archscope import targets

        layer = self.layers.get(path)
        return targets.arguments_of(layer) if layer is not None and targets.is_torch_layer(layer) else {}

    # ------------------------------------------------------------ trials
    def _fixes(self, changes: Iterable[LayerChange], diagnosis: Diagnosis | None) -> list[Fix]:
        """The best fixes, three at most."""
        passed: list[Passed] = []
        for change in islice(changes, self._most()):
            one = next(filter(None, (self._passed(trial, diagnosis) for trial in self._trials(change))), None)
            passed += [one] if one is not None else []
            if sum(not one.named and not one.is_apart for one in passed) == WANTED:
                break
        best = sorted(alike(passed), key=lambda one: one.rank)[:WANTED]
        self.cured |= best[0].compared.cured if best else frozenset()
        return list(dict.fromkeys(map(self._fix, best)))

    def _most(self) -> int:
        """How many changes are tried; on meta nothing is computed."""
        macs = 1 if self.subject.device == "meta" else self.report.total.known or 1
        return max(min(MOST_TRIALS, MOST_MACS // macs), 1)

    def _trials(self, change: LayerChange) -> Iterator[Trial]:
        """The change as its line would make it; where that makes other layers too, of this one alone as well."""
        constructor = self.constructors.at(change.path)
        alone = {change.path: change.arguments}
        if constructor is None:
            yield Trial(change, alone)
            return
        yield from self._as_named(change, constructor)
        texts = {name: repr(value) for name, value in change.arguments.items()}
        every = dict.fromkeys((change.path, *constructor.also), change.arguments)
        yield Trial(change, every, constructor, texts)
        if constructor.also:
            yield Trial(change, alone, apart=constructor.also)

    def _as_named(self, change: LayerChange, constructor: Constructor) -> Iterator[Trial]:
        """The new size by the name that the layer before it has for its width, if both stand in one function."""
        source = self.constructors.at(change.source) if change.source else None
        word = self.constructors.shared_name(change.source, change.path) if source is not None else ""
        if source is None or not word or len(change.arguments) != 1:
            return
        ((argument, _),) = change.arguments.items()
        width = next(name for name, given in source.arguments.items() if given.text == word)
        layers = {}
        for path in (change.path, *constructor.also):
            maker = beside(path, change.path, change.source)
            value = self.arguments_at(maker).get(width) if maker is not None else None
            if value is None:
                return
            layers[path] = {argument: value}
        if layers[change.path] == change.arguments:
            yield Trial(change, layers, constructor, {argument: word})

    def _passed(self, trial: Trial, diagnosis: Diagnosis | None) -> Passed | None:
        """What a run with the layers says; None where they cannot be put there, or do not cure the conflict alone."""
        from archscope import targets

        try:
            made = targets.with_layers(self.subject.module, trial.layers)
        except targets.ReplacementError:
            return None
        after = self.run(made.model)
        if after is None:
            return None
        found = compared(self.report, after, made.paths, diagnosis)
        if found is None:
            return None
        before, total = self.report.total, after.total
        named = tuple(dict.fromkeys([*(path for path in made.paths if path != trial.change.path), *self._uses(made)]))
        if named and found.left:  # of layers that one line makes, or that run again, another may be wrong now
            return None
        if not found.is_priced:
            return Passed(trial, found, named, None, None)
        macs = None if total.macs is None or before.macs is None else total.macs - before.macs
        return Passed(trial, found, named, total.params - before.params, macs)

    def _uses(self, made: Any) -> Iterator[str]:
        """Layers that are called more than once, as `fc (2 times)`."""
        calls = [call.site.path for call in self.report.trace.calls]
        for path in made.paths:
            if calls.count(path) > 1:
                yield f"{path} ({calls.count(path)} times)"

    def run(self, model: Any) -> Report | None:
        """A recorded run of a module in the subject's place; None where it cannot be run."""
        from archscope.record import walk

        return self._run(replace(self.subject, module=model, live=True, holding=walk(model)))

    def _run(self, subject: Subject, args: Any = None, kwargs: Any = None) -> Report | None:
        """A run with the arguments of the target's own call, or with others."""
        given = (self.args, self.kwargs) if args is None else (args, kwargs)
        how = {"train": self.train, "backward": False}
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # the first run has printed it
                return summarize_subject(subject, *given, self.given, **how)
        except ForwardError as error:
            return error.report  # type: ignore[return-value]  # errors.py stands below the Report
        except ArchscopeError:
            return None

    # ------------------------------------------------------------ words
    def _fix(self, one: Passed) -> Fix:
        trial = one.trial
        constructor = trial.constructor
        text = constructor.with_arguments(trial.texts) if constructor is not None else None
        said = trial.texts or {name: repr(value) for name, value in trial.change.arguments.items()}
        what = " and ".join(f"`{name}={value}`" for name, value in said.items())
        also = f"; also changes {listed(one.named)}" if one.named else ""
        also += f"; {listed(trial.apart)}, made by the same call, stay as they are" if one.is_apart else ""
        if constructor is None or text is None:
            where = f"`{trial.change.path}`" if trial.change.path else "the layer"
            return Fix(f"{where}: {what}{also}", one.params, one.macs, checked=True, leaves=one.compared.left)
        call = " ".join(constructor.text.split())
        place = f"`{call}` in `{constructor.function}`, line {constructor.place.line}"
        return Fix(
            description=f"{place}: {what}{also}",
            params=one.params,
            macs=one.macs,
            checked=True,
            edit=diff(constructor.as_written(constructor.source), constructor.as_written(text), constructor.place.file),
            file=constructor.place.file,
            text=constructor.as_written(text),
            leaves=one.compared.left,
        )


def alike(passed: Sequence[Passed]) -> list[Passed]:
    """Those that leave the fewest conflicts; what its line cannot say alone counts only where nothing else is there."""
    said = [one for one in passed if not one.is_apart] or passed
    least = min((one.compared.left for one in said), default=0)
    return [one for one in said if one.compared.left == least]


def beside(path: str, like: str, source: str) -> str | None:
    """The path that stands to `path` as `source` stands to `like`; None where they have no block in common."""
    head, _, name = like.rpartition(".")
    other, _, last = path.rpartition(".")
    prefix = f"{head}." if head else ""
    if last != name or not source.startswith(prefix):
        return None
    rest = source.removeprefix(prefix)
    return f"{other}.{rest}" if other else rest
