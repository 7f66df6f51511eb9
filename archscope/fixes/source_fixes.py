"""Fixes in the source of a Python target: a piece of a file is replaced, the target is made again and run.

    SourceEdits → each is tried: functions run the new text, the target is remade and recorded → SourceTrials → Fixes

No file is written. Two runs are compared row by row, as for a layer that is replaced in a copy.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from time import perf_counter
from types import FunctionType
from typing import Any

from archscope import targets
from archscope.conflicts.causes import CAUSE_OF_ARGUMENT, more_precise_cause
from archscope.conflicts.diagnosis import Diagnosis
from archscope.fixes.fix_search import MAX_OFFERED_FIXES, is_similar_change, stop_at_error
from archscope.fixes.run_comparison import RunComparison, compare_if_all_fixed, compare_runs, compare_with_added_rows
from archscope.fixes.source_proposals import SourceProposals, parent_paths
from archscope.ops.axis_map import count_equal_leading
from archscope.report import Fix, Report
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS, call_name
from archscope.spec.text_diff import unified_diff
from archscope.targets import TargetModule, TargetRebuilder
from archscope.targets.source_edits import SourceEdit
from archscope.targets.user_code_limits import DeadlineExceeded
from archscope.trace import Row

MAX_EDIT_TRIALS = 60
"""The most edits that are tried for one conflict."""
MAX_TRIAL_MACS = 20_000_000_000
"""The most multiply-adds of all trials for one conflict, if they are computed."""
MAX_TRIAL_PARAMS = 2_000_000_000
"""The most parameters of all trials for one conflict, if they are allocated."""
MAX_CONSTRUCTION_SECONDS = 2.0
"""The most seconds that the construction of a target may take for it to be made again."""
EDIT_TRIAL_SECONDS = 3.0
"""The most seconds of one trial: with another number, a loop in the model's code may not end."""
MAX_SEARCH_SECONDS = 8.0
"""The most seconds of the trials for all conflicts."""
EXTRA_TRIALS = 3
"""The number of further edits that are tried after one has resolved everything."""
MAX_LISTED_PATHS = 4
ADDABLE_FUNCTIONS = ("flatten", "transpose", "permute")
"""Functions of which a run with the edit may have more rows."""


@dataclass(frozen=True)
class SourceTrial:
    """An edit that resolved the conflict. outside: layers that it changes and that do not lead to the conflict."""

    edit: SourceEdit
    compared: RunComparison
    outside: tuple[str, ...]
    params: int | None
    macs: int | None
    number: int

    @property
    def rank(self) -> tuple[object, ...]:
        """The sort key of an edit: conflicts that it leaves, other changes, distance from the cause."""
        return self.compared.left, bool(self.outside) and not self.edit.own, self.number


@dataclass
class SourceFixSearch:
    """The search for fixes in the source of one target. run: returns the report of a run of the rebuilt target."""

    rebuilder: TargetRebuilder
    report: Report
    run: Callable[[TargetModule], Report | None]
    spent: float = 0.0
    proposals: SourceProposals = field(init=False)

    def __post_init__(self) -> None:
        self.proposals = SourceProposals(self.rebuilder, self.report.index)

    @cached_property
    def is_possible(self) -> bool:
        """True if the target can be made again in a short time."""
        begun = perf_counter()
        try:
            self.proposals.rebuilt_target  # noqa: B018 - it is made here
        except (Exception, SystemExit):  # noqa: BLE001 - the author's code raises what it likes
            return False
        return perf_counter() - begun <= MAX_CONSTRUCTION_SECONDS

    def find_fixes(self, diagnosis: Diagnosis) -> tuple[list[Fix], frozenset[int], str]:
        """Return the best fixes, three at most; the rows of the conflicts that the first one resolves; the cause that
        it shows.

        Replacing a value by another one is offered only if exactly one other value fits.
        """
        passed: list[SourceTrial] = []
        patience = EXTRA_TRIALS
        for number, edit in enumerate(
            islice(distinct_edits(stop_at_error(self.proposals.edits(diagnosis))), self.max_trials)
        ):
            trial = self.try_edit(edit, diagnosis, number)
            passed += [trial] if trial is not None else []
            done = [known for known in passed if not any(known.rank[:2])]
            patience -= bool(done) and not edit.guess
            if (
                not patience
                or len(done) == MAX_OFFERED_FIXES
                or (done and done[0].edit.own)
                or self.spent > MAX_SEARCH_SECONDS
            ):
                break
        if sum(trial.edit.is_other_value for trial in passed) > 1:
            passed = [trial for trial in passed if not trial.edit.is_other_value]
        best = self.best_trials(sorted(passed, key=lambda trial: trial.rank))
        if not best:
            return [], frozenset(), diagnosis.cause
        first = best[0]
        shown = first.edit.cause or CAUSE_OF_ARGUMENT.get(first.edit.argument, "")
        cause = more_precise_cause(shown, diagnosis.cause) if not first.compared.left else diagnosis.cause
        return [make_fix(trial) for trial in best], first.compared.fixed_rows, cause

    def best_trials(self, passed: Sequence[SourceTrial]) -> list[SourceTrial]:
        """Return the first trial, and those that leave as few conflicts and give a net of about the same size and
        cost.
        """
        alike = [trial for trial in passed if trial.rank[:2] == passed[0].rank[:2]]
        total = self.report.total
        near = [trial for trial in alike if is_similar_change(trial.params, alike[0].params, total.params)]
        near = [trial for trial in near if is_similar_change(trial.macs, alike[0].macs, total.known)]
        return near[:1] if near and near[0].edit.own else near[:MAX_OFFERED_FIXES]

    @property
    def max_trials(self) -> int:
        """The most edits that are tried; more on meta, where nothing is computed or allocated."""
        if not self.is_possible:
            return 0
        if self.rebuilder.device == "meta":
            return MAX_EDIT_TRIALS
        macs, params = self.report.total.known or 1, self.report.total.params or 1
        return max(min(MAX_EDIT_TRIALS, MAX_TRIAL_MACS // macs, MAX_TRIAL_PARAMS // params), 1)

    # ------------------------------------------------------------ trials
    def try_edit(self, edit: SourceEdit, diagnosis: Diagnosis, number: int) -> SourceTrial | None:
        """Return the effect of an edit; None if the target cannot be made with it, or if it resolves nothing or
        breaks something.
        """
        if not edit.is_sound:
            return None
        begun = perf_counter()
        tried = self.run_edit(edit)
        self.spent += perf_counter() - begun
        if tried is None:
            return None
        after, paths = tried
        found = self.compare_runs(edit, after, paths, diagnosis)
        if found is None:
            return None
        if (not edit.own or found.left) and self.changes_other_uses(edit, paths or (), diagnosis, found):
            return None
        outside = tuple(path for path in paths or () if not self.is_on_conflict_path(path, diagnosis))
        if (outside or edit.guess) and found.left:
            return None
        before, total = self.report.total, after.total
        if not found.is_priced:
            return SourceTrial(edit, found, outside, None, None, number)
        macs = None if total.macs is None or before.macs is None else total.macs - before.macs
        return SourceTrial(edit, found, outside, total.params - before.params, macs, number)

    def run_edit(self, edit: SourceEdit) -> tuple[Report, list[str] | None] | None:
        """Return the report with an edit, and the paths of the layers that it changes."""
        try:
            with self.rebuilder.changed(edit.file.name, edit.text, EDIT_TRIAL_SECONDS) as target_module:
                after = self.run(target_module)
                paths = self.changed_layers(dict(target_module.holding.modules))
        except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - the author's code raises what it likes
            return None
        return (after, paths) if after is not None else None

    def compare_runs(
        self, edit: SourceEdit, after: Report, paths: list[str] | None, diagnosis: Diagnosis
    ) -> RunComparison | None:
        """Return the comparison of the runs with and without the edit."""
        found, rows = None, self.edited_rows(edit)
        if paths is not None:
            found = compare_runs(self.report, after, paths, diagnosis, rows=rows)
            found = found or compare_with_added_rows(self.report, after, ADDABLE_FUNCTIONS)
        if found is None and edit.own:
            found = compare_if_all_fixed(self.report, after)
        return found if found is not None and not self.mixes_axes(after, rows) else None

    def mixes_axes(self, after: Report, rows: set[int]) -> bool:
        """Return whether an edited view keeps fewer leading axes than before, so that it would mix tokens and heads."""
        old, new = self.report.trace.rows, after.trace.rows
        pairs = ((old[row], new[row]) for row in rows if row < len(new) and old[row].short_name in RESHAPE_FUNCTIONS)
        return any(
            kept_axis_count(other) < kept_axis_count(row) for row, other in pairs if row.short_name == other.short_name
        )

    def changed_layers(self, layers: Mapping[str, Any]) -> list[str] | None:
        """Return the paths of changed layers; None if modules were added or removed."""
        known = self.proposals.layers
        if len(layers) == len(known) + 1:
            return []  # an additional layer, which the comparison of rows shows
        if layers.keys() != known.keys():
            return None
        return [path for path, layer in layers.items() if is_changed_layer(known[path], layer)]

    def changes_other_uses(
        self, edit: SourceEdit, paths: Sequence[str], diagnosis: Diagnosis, found: RunComparison
    ) -> bool:
        """Return whether an edit of a function also changes layers of a call of it in which no conflict is resolved."""
        groups: dict[object, list[str]] = {}
        for path in paths:
            calls = self.proposals.calls_of(path)
            inner = [number for number, place in enumerate(calls) if place.function is edit.enclosing]
            outer = calls[inner[-1] + 1 :] if inner else ()
            places = tuple((call.file.name, call.node.lineno, call.node.col_offset) for call in outer)
            groups.setdefault(places, []).append(path)
        layer = diagnosis.mismatch.kind == "layer"
        part = set(self.proposals.layer_paths(diagnosis)) if not layer else set()
        resolved = (m.site.path for m in self.report.trace.mismatches if m.row in found.fixed_rows)
        sites = [site for site in (diagnosis.mismatch.site.path, *diagnosis.also, *resolved) if site]
        blocks = tuple(f"{path}." for site in sites if (path := parent_paths(site)[1] if layer else site))
        takes_part = [
            any(path in part or path in sites or path.startswith(blocks) for path in group) for group in groups.values()
        ]
        return len(groups) > 1 and not all(takes_part)

    # ------------------------------------------------------------ where an edit shows
    def edited_rows(self, edit: SourceEdit) -> set[int]:
        """Return the rows of the functions that an edited call in a forward method may have run."""
        name = call_name(edit.call) if isinstance(edit.call, ast.Call) else ""
        paths = {path for path, module in self.proposals.layers.items() if self.is_in_forward(module, edit)}
        own = (row for row in self.report.trace.rows if not isinstance(edit.call, ast.Call) or row.short_name == name)
        return {row.index for row in own if paths & {self.enclosing_module(row)}}

    def is_in_forward(self, module: Any, edit: SourceEdit) -> bool:
        """Return whether an edit lies in a method of a module's class other than the constructor."""
        methods = (value for name, value in vars(type(module)).items() if name != "__init__")
        found = (self.rebuilder.sources.definition(method) for method in methods if isinstance(method, FunctionType))
        return any(
            method.file is edit.file and method.node.lineno <= edit.call.lineno <= (method.node.end_lineno or 0)
            for method in found
            if method is not None
        )

    def enclosing_module(self, row: Row) -> str:
        """Return the path of the innermost non-torch module that a row belongs to."""
        sites = (call.site for call in self.report.index.calls_around(row.call))
        return next((site.path for site in sites if site.kind == "block"), "")

    def is_on_conflict_path(self, path: str, diagnosis: Diagnosis) -> bool:
        """Return whether a layer comes before the conflict, is in it, or comes after it."""
        if path == diagnosis.mismatch.site.path:
            return True
        index, conflict = self.report.index, diagnosis.mismatch.row
        ahead = {row for operand in diagnosis.operands for row in index.ancestors(operand).values()}
        calls = index.trace.calls
        own = [row.index for row in index.trace.rows if row.call >= 0 and calls[row.call].site.path == path]
        return not own or any(row in ahead or row >= conflict for row in own)


def is_changed_layer(old: Any, new: Any) -> bool:
    """Return whether two torch layers have different arguments; of other modules, whether their tensors have other
    shapes.
    """
    if type(old).__name__ != type(new).__name__:
        return True
    if targets.is_torch_layer(old) and targets.is_torch_layer(new):
        return targets.present_arguments(old) != targets.present_arguments(new)
    shapes = ([tuple(p.shape) for p in module.parameters(recurse=False)] for module in (old, new))
    return next(shapes) != next(shapes)


def kept_axis_count(row: Row) -> int:
    """Return how many leading axes of a view's input its output keeps in place."""
    return count_equal_leading(row.inputs[0].value.shape, row.outputs[0].shape)


def distinct_edits(edits: Iterator[SourceEdit]) -> Iterator[SourceEdit]:
    seen: set[object] = set()
    for edit in edits:
        key = edit.file.name, edit.text
        if key not in seen:
            seen.add(key)
            yield edit


def make_fix(trial: SourceTrial) -> Fix:
    edit = trial.edit
    also = f"; also changes {format_paths(trial.outside)}" if trial.outside else ""
    where = f" in `{edit.function}`" if edit.function else ""
    before, after = (edit.file.as_written(text) for text in (edit.file.text, edit.text))
    return Fix(
        description=f"`{edit.call_text}`{where}, line {edit.call.lineno}: `{edit.words}`{also}",
        params=trial.params,
        macs=trial.macs,
        checked=True,
        edit=unified_diff(before, after, edit.file.display_name),
        file=edit.file.display_name,
        text=after,
        leaves=trial.compared.left,
    )


def format_paths(names: Sequence[str]) -> str:
    """Return the names as text, the first ones if there are many."""
    more = f" and {len(names) - MAX_LISTED_PATHS} more" if len(names) > MAX_LISTED_PATHS else ""
    return ", ".join(names[:MAX_LISTED_PATHS]) + more
