"""Fixes of a Python target in its author's source: one piece of a file replaced, the target made again and run.

    conflict ─ layers on the walk, the calls that made them, the forwards around ─→ SourceEdits
             ─ each tried: functions run the new text, the target is made and recorded again ─→ Fixes, checked, priced

Nothing is written. Two runs are compared row by row, as for a layer that is replaced in a copy.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import inf, prod
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from archscope.checks.conflicts.comparing import Compared, compared, cures_everything, with_more_rows
from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.checks.conflicts.layer_changes import layer_changes
from archscope.report import Fix, Report
from archscope.spec.text_diff import diff

if TYPE_CHECKING:
    from archscope.targets import CallPlace, Remaking, Subject
    from archscope.targets.source_edits import SourceEdit
    from archscope.targets.source_files import SourceFile
    from archscope.trace import Row

MOST_TRIALS = 60
"""How many edits are tried for one conflict."""
MOST_MACS = 20_000_000_000
"""How many multiply-adds the trials of one conflict may take together, where they are computed."""
MOST_PARAMS = 2_000_000_000
"""How many parameters they may make together, where they are filled."""
MOST_SECONDS = 2.0
"""How long the target may take to be made, if it is to be made again and again."""
PATIENCE = 3
"""How many more edits are tried once one has cured everything."""
WANTED = 3
MOST_NAMES = 4


@dataclass(frozen=True)
class SourceTrial:
    """An edit that cured the conflict. outside: the layers that it changes though they do not lead to it."""

    edit: SourceEdit
    compared: Compared
    outside: tuple[str, ...]
    params: int | None
    macs: int | None
    number: int

    @property
    def rank(self) -> tuple[object, ...]:
        """What it leaves, what else it changes, how near it stands to the cause."""
        return self.compared.left, bool(self.outside) and not self.edit.own, self.number


@dataclass
class SourceSearch:
    """Finds fixes in the source of one target. run: a recorded run of the target made again."""

    remaking: Remaking
    report: Report
    run: Callable[[Subject], Report | None]

    def fixes(self, diagnosis: Diagnosis) -> tuple[list[Fix], frozenset[int]]:
        """The best fixes, three at most, and the rows of the conflicts that the first one cures."""
        passed: list[SourceTrial] = []
        patience = PATIENCE
        for number, edit in enumerate(islice(distinct(self.edits(diagnosis)), self.most)):
            trial = self.attempt(edit, diagnosis, number)
            passed += [trial] if trial is not None else []
            done = [one for one in passed if not any(one.rank[:2])]
            patience -= bool(done)
            if not patience or len(done) == WANTED or (done and done[0].edit.own):
                break
        best = self.offered(sorted(passed, key=lambda one: one.rank))
        return [fix_of(one) for one in best], best[0].compared.cured if best else frozenset()

    def offered(self, passed: Sequence[SourceTrial]) -> list[SourceTrial]:
        """The first, and those that leave as little and make a net of about the same size."""
        alike = [one for one in passed if one.rank[:2] == passed[0].rank[:2]]
        first = alike[0].params if alike else None
        most = max(abs(first or 0), self.report.total.params // 10)
        near = [one for one in alike if first is None or one.params is None or abs(one.params) <= most]
        return near[:1] if near and near[0].edit.own else near[:WANTED]

    @property
    def most(self) -> int:
        """How many edits are tried; on meta nothing is computed or filled. None where making takes long."""
        if self.seconds > MOST_SECONDS:
            return 0
        if self.remaking.device == "meta":
            return MOST_TRIALS
        macs, params = self.report.total.known or 1, self.report.total.params or 1
        return max(min(MOST_TRIALS, MOST_MACS // macs, MOST_PARAMS // params), 1)

    @cached_property
    def seconds(self) -> float:
        """How long it takes to make the target; infinite where it cannot be made again."""
        begun = perf_counter()
        try:
            self.made  # noqa: B018 - it is made here
        except (Exception, SystemExit):  # noqa: BLE001 - the author's code raises what it likes
            return inf
        return perf_counter() - begun

    # ------------------------------------------------------------ edits
    @cached_property
    def made(self) -> tuple[Any, Mapping[str, Sequence[CallPlace]]]:
        return self.remaking.with_calls()

    @cached_property
    def layers(self) -> Mapping[str, Any]:
        from archscope.record import walk

        return dict(walk(self.made[0]).modules)

    def edits(self, diagnosis: Diagnosis) -> Iterator[SourceEdit]:
        """What may have been meant, the likeliest first."""
        from archscope.targets import forward_edits, layer_edits

        calls = self.made[1]
        for path in self.on_the_way(diagnosis):
            yield from layer_edits.own_edits(calls.get(path, ()), self.names_at(path))
        for file, function in self.functions(diagnosis):
            yield from forward_edits.unread_values(file, function)
        for change in layer_changes(diagnosis, self.arguments_at):
            if len(change.arguments) == 1:
                ((argument, value),) = change.arguments.items()
                names = self.names_at(change.path)
                yield from layer_edits.argument_edits(calls.get(change.path, ()), names, argument, value)
        yield from self.flattening(diagnosis)
        for path in reversed(list(self.on_the_way(diagnosis))):  # a stride stands in the first layer as a rule
            yield from layer_edits.window_edits(calls.get(path, ()), self.names_at(path))
        for file, function in self.functions(diagnosis):
            yield from forward_edits.forward_edits(file, function)

    def flattening(self, diagnosis: Diagnosis) -> Iterator[SourceEdit]:
        """A flatten before a layer that was told as many features as its whole input has; one of images that are to be
        sequences."""
        from archscope.targets import forward_edits, layer_edits

        says, place = diagnosis.mismatch.says, diagnosis.mismatch.site.place
        if {3, 4} == set(map(len, diagnosis.shapes)):
            for file, function in self.functions(diagnosis):
                yield from forward_edits.flattened_images(file, function)
        if says is None or says.argument != "in_features" or says.said != prod(diagnosis.shapes[0][1:]):
            return
        if place is not None:
            for file, function in self.functions(diagnosis):
                yield from forward_edits.flattened_operands(file, function, place.line, place.column)
        yield from layer_edits.flatten_edits(self.made[1].get(diagnosis.mismatch.site.path, ()))

    def on_the_way(self, diagnosis: Diagnosis) -> Iterator[str]:
        """The paths of the layers at the conflict and on its walk, the nearest first."""
        index = diagnosis.index
        walked = [change.row for side in diagnosis.sides for change in side]
        sites = [index.layer(row) for row in sorted(walked, key=lambda row: -row.index)]
        yield from dict.fromkeys([diagnosis.mismatch.site.path, *(site.path for site in sites if site is not None)])

    def names_at(self, path: str) -> list[str]:
        """The arguments that the layer at a path takes by position or by name."""
        from archscope import targets

        layer = self.layers.get(path)
        return targets.names_of(layer) if layer is not None and targets.is_torch_layer(layer) else []

    def arguments_at(self, path: str) -> Mapping[str, object]:
        from archscope import targets

        layer = self.layers.get(path)
        return targets.arguments_of(layer) if layer is not None and targets.is_torch_layer(layer) else {}

    def functions(self, diagnosis: Diagnosis) -> list[tuple[SourceFile, ast.FunctionDef]]:
        """The function that the conflict stands in, then the methods of the modules around it and its walk."""
        place, index = diagnosis.mismatch.site.place, diagnosis.index
        rows = [change.row for side in diagnosis.sides for change in side]
        around = [call.site.path for row in rows for call in index.calls_around(row.call)]
        paths = [path for path in (*parents(diagnosis.mismatch.site.path), *around) if path in self.layers]
        kinds = dict.fromkeys(type(self.layers[path]) for path in paths)
        methods = (value for kind in kinds for value in (kind.forward, *vars(kind).values()))
        known = (self.remaking.sources.definition(one) for one in methods if isinstance(one, FunctionType))
        found = [one for one in known if one is not None and one.node.name != "__init__"]
        files = {definition.file.shown: definition.file for definition in found}
        file = files.get(place.file) if place is not None else None
        own = function_at(file, place.line) if file is not None and place is not None else None
        first = [(file, own)] if file is not None and own is not None else []
        return list({id(node): (file, node) for file, node in [*first, *((d.file, d.node) for d in found)]}.values())

    # ------------------------------------------------------------ trials
    def attempt(self, edit: SourceEdit, diagnosis: Diagnosis, number: int) -> SourceTrial | None:
        """What an edit does; None where the target cannot be made with it, or it cures nothing or does harm."""
        try:
            if edit.leaves_a_parameter_unread:
                return None
            with self.remaking.changed(edit.file.name, edit.text) as subject:
                after = self.run(subject)
                paths = self.changed_layers(dict(subject.holding.modules))
        except (Exception, SystemExit):  # noqa: BLE001 - the author's code raises what it likes
            return None
        if after is None:
            return None
        found = None
        if paths is not None:
            found = compared(self.report, after, paths, diagnosis, rows=self.rows_of(edit))
            found = found or with_more_rows(self.report, after, "flatten")
        if found is None and edit.own:
            paths, found = [], cures_everything(self.report, after)
        if found is None:
            return None
        outside = tuple(path for path in paths or () if not self.leads_there(path, diagnosis))
        if outside and found.left:
            return None
        before, total = self.report.total, after.total
        if not found.is_priced:
            return SourceTrial(edit, found, outside, None, None, number)
        macs = None if total.macs is None or before.macs is None else total.macs - before.macs
        return SourceTrial(edit, found, outside, total.params - before.params, macs, number)

    def changed_layers(self, layers: Mapping[str, Any]) -> list[str] | None:
        """The paths of layers that are others than they were; None where the model has others at all."""
        if len(layers) == len(self.layers) + 1:
            return []  # a layer more, which the rows tell
        if layers.keys() != self.layers.keys():
            return None
        pairs = ((path, self.layers[path], layer) for path, layer in layers.items())
        return [path for path, old, new in pairs if is_another(old, new)]

    def rows_of(self, edit: SourceEdit) -> set[int]:
        """The rows of the functions that an edited call of a forward may have run."""
        from archscope.targets.forward_edits import called

        name = called(edit.call) if isinstance(edit.call, ast.Call) else ""
        paths = {path for path, module in self.layers.items() if self.is_forward(module, edit)}
        index = self.report.index
        own = (row for row in index.trace.rows if not isinstance(edit.call, ast.Call) or row.short == name)
        return {row.index for row in own if paths & {self.holder(row)}}

    def is_forward(self, module: Any, edit: SourceEdit) -> bool:
        """Whether an edit lies in a method of a module's class that is no constructor."""
        methods = (value for name, value in vars(type(module)).items() if name != "__init__")
        found = (self.remaking.sources.definition(method) for method in methods if isinstance(method, FunctionType))
        return any(
            one.file is edit.file and one.node.lineno <= edit.call.lineno <= (one.node.end_lineno or 0)
            for one in found
            if one is not None
        )

    def holder(self, row: Row) -> str:
        """The path of the innermost module of the author's that a row stands in."""
        index = self.report.index
        sites = (call.site for call in index.calls_around(row.call))
        return next((site.path for site in sites if site.kind == "block"), "")

    def leads_there(self, path: str, diagnosis: Diagnosis) -> bool:
        """Whether a layer stands before the conflict on its way, at it, or behind it."""
        if path == diagnosis.mismatch.site.path:
            return True
        index, conflict = self.report.index, diagnosis.mismatch.row
        ahead = {row for operand in diagnosis.operands for row in index.ancestors(operand).values()}
        calls = index.trace.calls
        own = [row.index for row in index.trace.rows if row.call >= 0 and calls[row.call].site.path == path]
        return not own or any(row in ahead or row >= conflict for row in own)


def is_another(old: Any, new: Any) -> bool:
    """Whether two layers are told something else; of others than torch's, whether their tensors have other shapes."""
    from archscope import targets

    if type(old).__name__ != type(new).__name__:
        return True
    if targets.is_torch_layer(old) and targets.is_torch_layer(new):
        return targets.arguments_of(old) != targets.arguments_of(new)
    shapes = ([tuple(p.shape) for p in one.parameters(recurse=False)] for one in (old, new))
    return next(shapes) != next(shapes)


def function_at(file: SourceFile, line: int) -> ast.FunctionDef | None:
    """The innermost function that a line stands in."""
    nodes = [node for node in ast.walk(file.tree) if isinstance(node, ast.FunctionDef)]
    around = [node for node in nodes if node.lineno <= line <= (node.end_lineno or 0)]
    return max(around, key=lambda node: node.lineno, default=None)


def parents(path: str) -> list[str]:
    """A path and those around it, the innermost first, the model itself last."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names), -1, -1)]


def distinct(edits: Iterator[SourceEdit]) -> Iterator[SourceEdit]:
    seen: set[tuple[str, int, int, str]] = set()
    for edit in edits:
        key = edit.file.name, edit.start, edit.end, edit.new
        if key not in seen:
            seen.add(key)
            yield edit


def fix_of(trial: SourceTrial) -> Fix:
    edit = trial.edit
    also = f"; also changes {listed(trial.outside)}" if trial.outside else ""
    where = f" in `{edit.function}`" if edit.function else ""
    return Fix(
        description=f"`{edit.said}`{where}, line {edit.call.lineno}: `{edit.words}`{also}",
        params=trial.params,
        macs=trial.macs,
        checked=True,
        edit=diff(edit.file.text, edit.text, edit.file.shown),
        file=edit.file.shown,
        text=edit.text,
    )


def listed(names: Sequence[str]) -> str:
    """The names, or the first of many."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
