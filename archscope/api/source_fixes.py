"""Fixes of a Python target in its author's source: a piece of a file replaced, the target made again and run.

    SourceEdits ─ each tried: functions run the new text, the target is made and recorded again ─→ SourceTrial
                ─ what it leaves, what else it changes, how near it stands ─→ Fixes, checked and priced

Nothing is written. Two runs are compared row by row, as for a layer that is replaced in a copy.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from archscope.api.source_proposals import SourceProposals, parent_paths
from archscope.checks.conflicts.causes import CAUSE_OF_ARGUMENT, more_precise_cause
from archscope.checks.conflicts.diagnosis import Diagnosis
from archscope.checks.conflicts.fix_search import MAX_OFFERED_FIXES, is_similar_change, stop_at_error
from archscope.checks.conflicts.run_comparison import (
    RunComparison,
    compare_if_all_fixed,
    compare_runs,
    compare_with_added_rows,
)
from archscope.report import Fix, Report
from archscope.report.receptive_reshape import count_equal_leading
from archscope.spec.tensor_calls import RESHAPE_FUNCTIONS, call_name
from archscope.spec.text_diff import unified_diff

if TYPE_CHECKING:
    from archscope.targets import TargetModule, TargetRebuilder
    from archscope.targets.source_edits import SourceEdit
    from archscope.trace import Row

MAX_EDIT_TRIALS = 60
"""How many edits are tried for one conflict."""
MAX_TRIAL_MACS = 20_000_000_000
"""How many multiply-adds the trials of one conflict may take together, where they are computed."""
MAX_TRIAL_PARAMS = 2_000_000_000
"""How many parameters they may make together, where they are filled."""
MAX_CONSTRUCTION_SECONDS = 2.0
"""How long the target may take to be made, if it is to be made again and again."""
EDIT_TRIAL_SECONDS = 3.0
"""How long one trial may take: with another number, the author's loop may have no end."""
MAX_SEARCH_SECONDS = 8.0
"""How long the trials of all conflicts may take."""
EXTRA_TRIALS = 3
"""How many more edits are tried once one has cured everything."""
MAX_LISTED_PATHS = 4
ADDABLE_FUNCTIONS = ("flatten", "transpose", "permute")
"""Functions of which a mended run may have more rows."""


@dataclass(frozen=True)
class SourceTrial:
    """An edit that cured the conflict. outside: the layers that it changes though they do not lead to it."""

    edit: SourceEdit
    compared: RunComparison
    outside: tuple[str, ...]
    params: int | None
    macs: int | None
    number: int

    @property
    def rank(self) -> tuple[object, ...]:
        """What it leaves, what else it changes, how near it stands to the cause."""
        return self.compared.left, bool(self.outside) and not self.edit.own, self.number


@dataclass
class SourceFixSearch:
    """Finds fixes in the source of one target. run: a recorded run of the target made again."""

    rebuilder: TargetRebuilder
    report: Report
    run: Callable[[TargetModule], Report | None]
    spent: float = 0.0
    proposals: SourceProposals = field(init=False)

    def __post_init__(self) -> None:
        self.proposals = SourceProposals(self.rebuilder, self.report.index)

    @cached_property
    def is_possible(self) -> bool:
        """Whether the target can be made again, and soon."""
        begun = perf_counter()
        try:
            self.proposals.rebuilt_target  # noqa: B018 - it is made here
        except (Exception, SystemExit):  # noqa: BLE001 - the author's code raises what it likes
            return False
        return perf_counter() - begun <= MAX_CONSTRUCTION_SECONDS

    def find_fixes(self, diagnosis: Diagnosis) -> tuple[list[Fix], frozenset[int], str]:
        """The best fixes, three at most; the rows of the conflicts that the first one cures, the cause that it shows.

        Another value in place of one is offered only where one value alone helps.
        """
        passed: list[SourceTrial] = []
        patience = EXTRA_TRIALS
        for number, edit in enumerate(
            islice(distinct_edits(stop_at_error(self.proposals.edits(diagnosis))), self.max_trials)
        ):
            trial = self.try_edit(edit, diagnosis, number)
            passed += [trial] if trial is not None else []
            done = [one for one in passed if not any(one.rank[:2])]
            patience -= bool(done) and not edit.guess
            if (
                not patience
                or len(done) == MAX_OFFERED_FIXES
                or (done and done[0].edit.own)
                or self.spent > MAX_SEARCH_SECONDS
            ):
                break
        if sum(one.edit.is_other_value for one in passed) > 1:
            passed = [one for one in passed if not one.edit.is_other_value]
        best = self.best_trials(sorted(passed, key=lambda one: one.rank))
        if not best:
            return [], frozenset(), diagnosis.cause
        first = best[0]
        shown = first.edit.cause or CAUSE_OF_ARGUMENT.get(first.edit.argument, "")
        cause = more_precise_cause(shown, diagnosis.cause) if not first.compared.left else diagnosis.cause
        return [make_fix(one) for one in best], first.compared.fixed_rows, cause

    def best_trials(self, passed: Sequence[SourceTrial]) -> list[SourceTrial]:
        """The first, and those that leave as little and make a net of about the same size and cost."""
        alike = [one for one in passed if one.rank[:2] == passed[0].rank[:2]]
        total = self.report.total
        near = [one for one in alike if is_similar_change(one.params, alike[0].params, total.params)]
        near = [one for one in near if is_similar_change(one.macs, alike[0].macs, total.known)]
        return near[:1] if near and near[0].edit.own else near[:MAX_OFFERED_FIXES]

    @property
    def max_trials(self) -> int:
        """How many edits are tried; on meta nothing is computed or filled."""
        if not self.is_possible:
            return 0
        if self.rebuilder.device == "meta":
            return MAX_EDIT_TRIALS
        macs, params = self.report.total.known or 1, self.report.total.params or 1
        return max(min(MAX_EDIT_TRIALS, MAX_TRIAL_MACS // macs, MAX_TRIAL_PARAMS // params), 1)

    # ------------------------------------------------------------ trials
    def try_edit(self, edit: SourceEdit, diagnosis: Diagnosis, number: int) -> SourceTrial | None:
        """What an edit does; None where the target cannot be made with it, or it cures nothing or does harm."""
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
        """The run with an edit, and the paths of the layers that it changes."""
        from archscope.targets.deadlines import DeadlineExceeded

        try:
            with self.rebuilder.changed(edit.file.name, edit.text, EDIT_TRIAL_SECONDS) as subject:
                after = self.run(subject)
                paths = self.changed_layers(dict(subject.holding.modules))
        except (Exception, SystemExit, DeadlineExceeded):  # noqa: BLE001 - the author's code raises what it likes
            return None
        return (after, paths) if after is not None else None

    def compare_runs(
        self, edit: SourceEdit, after: Report, paths: list[str] | None, diagnosis: Diagnosis
    ) -> RunComparison | None:
        """What the two runs say beside each other."""
        found, rows = None, self.edited_rows(edit)
        if paths is not None:
            found = compare_runs(self.report, after, paths, diagnosis, rows=rows)
            found = found or compare_with_added_rows(self.report, after, ADDABLE_FUNCTIONS)
        if found is None and edit.own:
            found = compare_if_all_fixed(self.report, after)
        return found if found is not None and not self.mixes_axes(after, rows) else None

    def mixes_axes(self, after: Report, rows: set[int]) -> bool:
        """Whether a view that was edited keeps fewer of the leading axes than before: tokens would become heads."""
        old, new = self.report.trace.rows, after.trace.rows
        pairs = ((old[row], new[row]) for row in rows if row < len(new) and old[row].short_name in RESHAPE_FUNCTIONS)
        return any(
            kept_axis_count(other) < kept_axis_count(row) for row, other in pairs if row.short_name == other.short_name
        )

    def changed_layers(self, layers: Mapping[str, Any]) -> list[str] | None:
        """The paths of layers that are others than they were; None where the model has others at all."""
        known = self.proposals.layers
        if len(layers) == len(known) + 1:
            return []  # a layer more, which the rows tell
        if layers.keys() != known.keys():
            return None
        return [path for path, layer in layers.items() if is_changed_layer(known[path], layer)]

    def changes_other_uses(
        self, edit: SourceEdit, paths: Sequence[str], diagnosis: Diagnosis, found: RunComparison
    ) -> bool:
        """Whether an edit of a function changes layers of a call of it that has no part in what the edit cures."""
        groups: dict[object, list[str]] = {}
        for path in paths:
            calls = self.proposals.calls_of(path)
            inner = [number for number, place in enumerate(calls) if place.function is edit.enclosing]
            outer = calls[inner[-1] + 1 :] if inner else ()
            groups.setdefault(tuple((one.file.name, one.node.lineno, one.node.col_offset) for one in outer), []).append(
                path
            )
        layer = diagnosis.mismatch.kind == "layer"
        part = set(self.proposals.layer_paths(diagnosis)) if not layer else set()
        cured = (m.site.path for m in self.report.trace.mismatches if m.row in found.fixed_rows)
        sites = [site for site in (diagnosis.mismatch.site.path, *diagnosis.also, *cured) if site]
        blocks = tuple(f"{one}." for site in sites if (one := parent_paths(site)[1] if layer else site))
        takes_part = [
            any(path in part or path in sites or path.startswith(blocks) for path in group) for group in groups.values()
        ]
        return len(groups) > 1 and not all(takes_part)

    # ------------------------------------------------------------ where an edit shows
    def edited_rows(self, edit: SourceEdit) -> set[int]:
        """The rows of the functions that an edited call of a forward may have run."""
        name = call_name(edit.call) if isinstance(edit.call, ast.Call) else ""
        paths = {path for path, module in self.proposals.layers.items() if self.is_in_forward(module, edit)}
        own = (row for row in self.report.trace.rows if not isinstance(edit.call, ast.Call) or row.short_name == name)
        return {row.index for row in own if paths & {self.enclosing_module(row)}}

    def is_in_forward(self, module: Any, edit: SourceEdit) -> bool:
        """Whether an edit lies in a method of a module's class that is no constructor."""
        methods = (value for name, value in vars(type(module)).items() if name != "__init__")
        found = (self.rebuilder.sources.definition(method) for method in methods if isinstance(method, FunctionType))
        return any(
            one.file is edit.file and one.node.lineno <= edit.call.lineno <= (one.node.end_lineno or 0)
            for one in found
            if one is not None
        )

    def enclosing_module(self, row: Row) -> str:
        """The path of the innermost module of the author's that a row stands in."""
        sites = (call.site for call in self.report.index.calls_around(row.call))
        return next((site.path for site in sites if site.kind == "block"), "")

    def is_on_conflict_path(self, path: str, diagnosis: Diagnosis) -> bool:
        """Whether a layer stands before the conflict on its way, at it, or behind it."""
        if path == diagnosis.mismatch.site.path:
            return True
        index, conflict = self.report.index, diagnosis.mismatch.row
        ahead = {row for operand in diagnosis.operands for row in index.ancestors(operand).values()}
        calls = index.trace.calls
        own = [row.index for row in index.trace.rows if row.call >= 0 and calls[row.call].site.path == path]
        return not own or any(row in ahead or row >= conflict for row in own)


def is_changed_layer(old: Any, new: Any) -> bool:
    """Whether two layers are told something else; of others than torch's, whether their tensors have other shapes."""
    from archscope import targets

    if type(old).__name__ != type(new).__name__:
        return True
    if targets.is_torch_layer(old) and targets.is_torch_layer(new):
        return targets.present_arguments(old) != targets.present_arguments(new)
    shapes = ([tuple(p.shape) for p in one.parameters(recurse=False)] for one in (old, new))
    return next(shapes) != next(shapes)


def kept_axis_count(row: Row) -> int:
    """How many of the first axes of a view's input its output has in their places."""
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
    """The names, or the first of many."""
    more = f" and {len(names) - MAX_LISTED_PATHS} more" if len(names) > MAX_LISTED_PATHS else ""
    return ", ".join(names[:MAX_LISTED_PATHS]) + more
