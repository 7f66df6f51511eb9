"""Fixes of a Python target: other arguments of one layer, each tried in a copy of the model that shares the other
tensors.

    conflict → LayerChanges → a copy with that layer replaced → a recorded run, compared with the failed one → Fixes

A fix is accepted if the conflict is gone and nothing changes that does not depend on the layer. No file is written,
and the model is not changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from typing import Any

from archscope import targets
from archscope.analysis.module_at_other_sizes import LIGHT_MACS
from archscope.analysis.module_runs import PreparedCall, prepare_target, summarize_call
from archscope.analysis.run_options import RunOptions
from archscope.analysis.same_runs import is_same_run
from archscope.conflicts.declared_arguments import LayerChange
from archscope.conflicts.diagnosis import Diagnosis
from archscope.conflicts.layer_changes import SEQUENCE_LAYERS, changes_after_failure, is_layer_fixable, layer_changes
from archscope.conflicts.messages import mark_fixed_by
from archscope.errors import ArchscopeError, ForwardError, Span
from archscope.fixes.argument_trials import find_argument_fixes
from archscope.fixes.fix_search import MAX_OFFERED_FIXES
from archscope.fixes.input_trials import InputTrials
from archscope.fixes.run_comparison import RunComparison, compare_runs
from archscope.fixes.source_fixes import MAX_TRIAL_MACS, SourceFixSearch, format_paths
from archscope.gc_pause import gc_paused
from archscope.record import walk_modules
from archscope.report import Finding, Fix, Report
from archscope.spec.text_diff import unified_diff
from archscope.targets import ConstructorCall, ConstructorFinder, TargetModule, TargetRebuilder
from archscope.trace import Shape

MAX_LAYER_TRIALS = 12
"""The most changes that are tried for one conflict."""
"""A target with at most so many multiply-adds runs on its own device: loading the meta device takes longer."""
MAX_MODULE_CONFLICTS = 4
"""The most conflicts of a target for which fixes are searched."""


@dataclass(frozen=True)
class LayerTrial:
    """A change of one layer, or of all layers that one call in the source makes.

    texts: the arguments as the source would state them. untouched_layers: other layers that the same call makes and
    that are not changed; so a change of its line would not have this effect.
    """

    change: LayerChange
    layers: Mapping[str, Mapping[str, object]]
    constructor: ConstructorCall | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    untouched_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PassedTrial:
    """A trial that resolved the conflict, with the other changes that it causes and its cost."""

    trial: LayerTrial
    compared: RunComparison
    named: tuple[str, ...]
    params: int | None
    macs: int | None

    @property
    def has_untouched_layers(self) -> bool:
        return bool(self.trial.untouched_layers)

    @property
    def rank(self) -> tuple[object, ...]:
        change = self.trial.change
        price = abs(self.params or 0), abs(self.macs or 0)
        return bool(self.named), self.compared.changed, not change.likely, change.distance, *price


def with_module_fixes(target: Any, report: Report, options: RunOptions) -> tuple[Finding, ...]:
    """Return the report's findings; conflicts have the fixes that were found by trying other arguments of layers.

    options: those of `summarize` that the report was made with. Raises no errors of its own.
    """
    if not is_fixable(target, report):
        return report.findings
    with gc_paused(), targets.target_import_path(target), targets.seeded(options.seed):
        search = make_meta_search(target, report, options) or make_search(target, report, options)
        return report.findings if search is None else search.findings()


def is_fixable(target: Any, report: Report) -> bool:
    """Return whether there is a conflict that other layers, or, of a named target, edits of the source may resolve."""
    failure, known = report.trace.failure, [f.diagnosis for f in report.findings if f.diagnosis is not None]
    if (isinstance(target, (str, os.PathLike)) and known) or (failure is not None and failure.size_conditions):
        return True
    return (failure is not None and failure.site.name in SEQUENCE_LAYERS) or any(map(is_layer_fixable, known))


def make_search(target: Any, report: Report, options: RunOptions) -> ModuleFixSearch | None:
    """Return the search for a target; None if the target cannot be made again."""
    try:
        call = prepare_target(target, options)
    except ArchscopeError:
        return None
    return ModuleFixSearch(call, options.train, report, make_rebuilder(target, options, call.target_module))


def make_rebuilder(target: Any, options: RunOptions, target_module: TargetModule) -> TargetRebuilder | None:
    """Return the rebuilder of a named target; None if no call makes it."""
    if not isinstance(target, (str, os.PathLike)):
        return None
    found = targets.TargetRebuilder(os.fspath(target), options.settings, target_module.device, options.dtype)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # printed when it was first loaded
            return found if found.is_callable_target else None
    except ArchscopeError:
        return None


def make_meta_search(target: Any, report: Report, options: RunOptions) -> ModuleFixSearch | None:
    """Return a search on meta for a large target that runs there as on its device; None for other targets."""
    heavy = report.total.known > LIGHT_MACS and options.device != "meta"
    if not heavy or not isinstance(target, (str, os.PathLike)):
        return None
    search = make_search(target, report, replace(options, device="meta"))
    again = search.run_model(search.call.module) if search is not None else None
    if search is None or again is None or not is_same_run(report, again):
        return None
    return replace(search, report=replace(again, findings=report.findings))


@dataclass
class ModuleFixSearch:
    """The search for fixes of one failed run."""

    call: PreparedCall
    train: bool
    report: Report
    rebuilder: TargetRebuilder | None = None
    constructors: ConstructorFinder = field(init=False)
    layers: Mapping[str, Any] = field(init=False)
    in_source: SourceFixSearch | None = None
    inputs: InputTrials = field(init=False)
    fixed_rows: frozenset[int] = frozenset()  # rows of conflicts that a fix of an earlier conflict also resolves

    def __post_init__(self) -> None:
        if self.rebuilder is not None:
            self.in_source = SourceFixSearch(self.rebuilder, self.report, self._run_rebuilt)
        self.inputs = InputTrials(self.report, self.run_at_shapes)
        self.layers = dict(self.call.target_module.holding.modules)
        self.constructors = targets.ConstructorFinder(self.call.module)

    def findings(self) -> tuple[Finding, ...]:
        """Return every finding; a conflict that follows from no other has its fixes."""
        left, found = MAX_MODULE_CONFLICTS, []
        unfixed: set[int] = set()
        fixed_by: dict[int, Finding] = {}
        for finding in self.report.findings:
            diagnosis: Diagnosis | None = finding.diagnosis
            if self._is_light and not self._is_fixed(diagnosis):
                finding = self.inputs.with_fitting_sizes(finding)
                diagnosis = finding.diagnosis
            if left and not self._is_fixed(diagnosis) and not self._follows_unfixed(diagnosis, unfixed):
                fixes, cause = self._source_fixes(diagnosis)
                is_in_source = self.in_source is not None and self.in_source.is_possible and diagnosis is not None
                changes = self._candidate_changes(finding, diagnosis) if not fixes and not is_in_source else None
                left -= bool(fixes) or changes is not None
                fixes = fixes or (self._layer_fixes(changes, diagnosis) if changes is not None else [])
                finding = replace(finding, fixes=tuple(fixes), cause=cause or finding.cause)
                unfixed |= {diagnosis.mismatch.row} if diagnosis is not None and not fixes else set()
                fixed_by |= dict.fromkeys(self.fixed_rows - fixed_by.keys(), finding)
            elif diagnosis is not None and diagnosis.mismatch.row in fixed_by:
                finding = mark_fixed_by(finding, fixed_by[diagnosis.mismatch.row])
            found.append(
                finding if finding.place is not None else replace(finding, place=self._construction_place(finding.path))
            )
        return tuple(found)

    def _construction_place(self, path: str) -> Span | None:
        """Return the line that makes the layer at a path; of a named target, which is made again for that."""
        if self.in_source is None or not path or not self.in_source.is_possible:
            return None
        call = next(iter(self.in_source.proposals.calls_of(path)), None)
        return call.file.place(call.node) if call is not None else None

    @property
    def _is_light(self) -> bool:
        return self.call.target_module.device == "meta" or self.report.total.known <= LIGHT_MACS

    def run_at_shapes(self, shapes: Sequence[Shape]) -> Report | None:
        """Return the report of a run with inputs of these shapes; None if they cannot be made."""
        try:
            args, kwargs = targets.resize_inputs(self.call.module, self.call.args, self.call.kwargs, shapes)
        except targets.ResizeError:
            return None
        live = replace(self.call.target_module, live=True)
        return self._record_run(replace(self.call, target_module=live, args=args, kwargs=kwargs))

    def _follows_unfixed(self, diagnosis: Diagnosis | None, rows: set[int]) -> bool:
        """Return whether a conflict reads the output of another one that has no fix: its sizes are assumed."""
        index = self.report.index
        operands = diagnosis.operands if diagnosis is not None and self.in_source is not None else ()
        return any(rows.intersection(index.ancestors(operand).values()) for operand in operands)

    def _is_fixed(self, diagnosis: Diagnosis | None) -> bool:
        return diagnosis is not None and (diagnosis.likely or diagnosis.mismatch.row in self.fixed_rows)

    def _source_fixes(self, diagnosis: Diagnosis | None) -> tuple[list[Fix], str]:
        """Return the best edits of the source and the cause that they show; none for a live model."""
        if diagnosis is None or self.in_source is None:
            return [], ""
        found, rows, cause = self.in_source.find_fixes(diagnosis)
        self.fixed_rows |= rows
        return [*self._argument_fixes(diagnosis), *found][:MAX_OFFERED_FIXES], cause

    def _argument_fixes(self, diagnosis: Diagnosis) -> list[Fix]:
        """Return fixes that change an argument of the target."""
        if self.rebuilder is None or not self._is_light or not self.in_source or not self.in_source.is_possible:
            return []
        return find_argument_fixes(diagnosis, self.rebuilder, self.report, self._run_rebuilt)

    def _candidate_changes(self, finding: Finding, diagnosis: Diagnosis | None) -> Iterator[LayerChange] | None:
        failure = self.report.trace.failure
        if diagnosis is not None:
            return layer_changes(diagnosis, self.layer_arguments)
        return (
            changes_after_failure(failure, self.layer_arguments)
            if failure is not None and finding.rule == "forward"
            else None
        )

    def layer_arguments(self, path: str) -> Mapping[str, object]:
        """Return the present arguments of a layer of torch.nn; an empty mapping for other modules."""
        layer = self.layers.get(path)
        return targets.present_arguments(layer) if layer is not None and targets.is_torch_layer(layer) else {}

    # ------------------------------------------------------------ trials
    def _layer_fixes(self, changes: Iterable[LayerChange], diagnosis: Diagnosis | None) -> list[Fix]:
        """Return the best fixes, three at most, among those that leave the fewest conflicts."""
        passed: list[PassedTrial] = []
        for change in islice(changes, self._max_trials()):
            first = next(filter(None, (self._run_trial(trial, diagnosis) for trial in self._trials(change))), None)
            passed += [first] if first is not None else []
            if sum(not trial.named and not trial.has_untouched_layers for trial in passed) == MAX_OFFERED_FIXES:
                break
        # those that a source line cannot express only if there are no others
        expressible = [trial for trial in passed if not trial.has_untouched_layers] or passed
        least = min((trial.compared.left for trial in expressible), default=0)
        fewest = [trial for trial in expressible if trial.compared.left == least]
        best = sorted(fewest, key=lambda trial: trial.rank)[:MAX_OFFERED_FIXES]
        self.fixed_rows |= best[0].compared.fixed_rows if best else frozenset()
        return list(dict.fromkeys(map(self._make_fix, best)))

    def _max_trials(self) -> int:
        """Return the most changes that are tried; more on meta, where nothing is computed."""
        macs = 1 if self.call.target_module.device == "meta" else self.report.total.known or 1
        return max(min(MAX_LAYER_TRIALS, MAX_TRIAL_MACS // macs), 1)

    def _trials(self, change: LayerChange) -> Iterator[LayerTrial]:
        """Yield the change of all layers that the source line makes; if there are several, also that of this layer
        alone.
        """
        constructor = self.constructors.at(change.path)
        alone = {change.path: change.arguments}
        if constructor is None:
            yield LayerTrial(change, alone)
            return
        yield from self._named_trials(change, constructor)
        texts = {name: repr(value) for name, value in change.arguments.items()}
        every = dict.fromkeys((change.path, *constructor.other_paths), change.arguments)
        yield LayerTrial(change, every, constructor, texts)
        if constructor.other_paths:
            yield LayerTrial(change, alone, untouched_layers=constructor.other_paths)

    def _named_trials(self, change: LayerChange, constructor: ConstructorCall) -> Iterator[LayerTrial]:
        """Yield the change with the new size written as the name that the layer before it has for its width, if both
        are made in one function.
        """
        source = self.constructors.at(change.source) if change.source else None
        word = self.constructors.shared_width_name(change.source, change.path) if source is not None else ""
        if source is None or not word or len(change.arguments) != 1:
            return
        ((argument, _),) = change.arguments.items()
        width = next(name for name, given in source.arguments.items() if given.text == word)
        layers = {}
        for path in (change.path, *constructor.other_paths):
            maker = counterpart_path(path, change.path, change.source)
            value = self.layer_arguments(maker).get(width) if maker is not None else None
            if value is None:
                return
            layers[path] = {argument: value}
        if layers[change.path] == change.arguments:
            yield LayerTrial(change, layers, constructor, {argument: word})

    def _run_trial(self, trial: LayerTrial, diagnosis: Diagnosis | None) -> PassedTrial | None:
        """Return the result of a run with the changed layers; None if they cannot be inserted, or do not resolve the
        conflict.
        """
        try:
            made = targets.with_layers(self.call.module, trial.layers)
        except targets.ReplacementError:
            return None
        after = self.run_model(made.model)
        if after is None:
            return None
        found = compare_runs(self.report, after, made.paths, diagnosis)
        if found is None:
            return None
        before, total = self.report.total, after.total
        named = tuple(
            dict.fromkeys([*(path for path in made.paths if path != trial.change.path), *self._repeated_layers(made)])
        )
        if named and found.left:  # one of several layers may now be wrong
            return None
        if not found.is_priced:
            return PassedTrial(trial, found, named, None, None)
        macs = None if total.macs is None or before.macs is None else total.macs - before.macs
        return PassedTrial(trial, found, named, total.params - before.params, macs)

    def _repeated_layers(self, made: Any) -> Iterator[str]:
        """Yield the layers that are called more than once, as `fc (2 times)`."""
        calls = [call.site.path for call in self.report.trace.calls]
        for path in made.paths:
            if calls.count(path) > 1:
                yield f"{path} ({calls.count(path)} times)"

    def run_model(self, model: Any) -> Report | None:
        """Return the report of a run of another module in place of the target's; None if it cannot run."""
        return self._run_rebuilt(
            replace(self.call.target_module, module=model, live=True, holding=walk_modules(model))
        )

    def _run_rebuilt(self, target_module: TargetModule) -> Report | None:
        """Return the report of a run of this module with the arguments of the target's own call."""
        return self._record_run(replace(self.call, target_module=target_module))

    def _record_run(self, call: PreparedCall) -> Report | None:
        """Return the report of a run, also of one that fails; None if it cannot be made."""
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # the first run has printed it
                return summarize_call(call, train=self.train)
        except ForwardError as error:
            return error.report
        except ArchscopeError:
            return None

    # ------------------------------------------------------------ words
    def _make_fix(self, passed: PassedTrial) -> Fix:
        trial = passed.trial
        constructor = trial.constructor
        text = constructor.with_arguments(trial.texts) if constructor is not None else None
        arguments = trial.texts or {name: repr(value) for name, value in trial.change.arguments.items()}
        what = " and ".join(f"`{name}={value}`" for name, value in arguments.items())
        also = f"; also changes {format_paths(passed.named)}" if passed.named else ""
        also += (
            f"; {format_paths(trial.untouched_layers)}, made by the same call, stay as they are"
            if passed.has_untouched_layers
            else ""
        )
        if constructor is None or text is None:
            where = f"`{trial.change.path}`" if trial.change.path else "the layer"
            return Fix(f"{where}: {what}{also}", passed.params, passed.macs, checked=True, leaves=passed.compared.left)
        call = " ".join(constructor.text.split())
        place = f"`{call}` in `{constructor.function}`, line {constructor.place.line}"
        return Fix(
            description=f"{place}: {what}{also}",
            params=passed.params,
            macs=passed.macs,
            checked=True,
            edit=unified_diff(
                constructor.as_written(constructor.source), constructor.as_written(text), constructor.place.file
            ),
            file=constructor.place.file,
            text=constructor.as_written(text),
            leaves=passed.compared.left,
        )


def counterpart_path(path: str, like: str, source: str) -> str | None:
    """Return the path that relates to `path` as `source` to `like`; None if they have no block in common."""
    head, _, name = like.rpartition(".")
    other, _, last = path.rpartition(".")
    prefix = f"{head}." if head else ""
    if last != name or not source.startswith(prefix):
        return None
    rest = source.removeprefix(prefix)
    return f"{other}.{rest}" if other else rest
