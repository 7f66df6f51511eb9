"""Fixes of a spec: proposals for each conflict, compiled in memory for the variant and for the other variants.

session, report, plan → proposals → compiled with the changed text → EditVerdict, costs → findings with checked fixes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from archscope.analysis.plan_costs import plan_costs
from archscope.analysis.spec_session import SpecSession
from archscope.compile import Plan
from archscope.conflicts.diagnosis import Diagnosis
from archscope.conflicts.messages import mark_fixed_by
from archscope.fixes.edit_verdict import CompiledNet, ConflictScope, is_confirmed_by_run, judge_edit, mismatch_scope
from archscope.fixes.effect_on_variants import OtherVariants, format_step_changes
from archscope.fixes.expected_figures import compiled_net, has_exact_macs, has_expected_macs, meets_macs, meets_sizes
from archscope.fixes.fix_search import (
    MAX_OFFERED_FIXES,
    FixCandidate,
    search_fixes,
    select_offered,
    stop_at_error,
    with_fixes,
)
from archscope.fixes.proposals import Proposal, find_proposals
from archscope.fixes.step_changes import LineMap
from archscope.report import Finding, Report, WalkStep
from archscope.spec.editable_spec import EditableSpec
from archscope.spec.name_usage import unused_labels
from archscope.spec.text_diff import first_change

MAX_COMPILED_STEPS = 6_000
"""The most distinct steps that are compiled for one conflict, over all proposals."""
MAX_TOTAL_STEPS = 24_000
"""After so many compiled steps, over all variants, fixes are searched for one conflict of each further variant."""
MAX_VARIANTS = 16
"""The most variants of a file for which fixes are searched."""
MAX_STEPS_FOR_CHOICE = 1_000
"""With at most so many distinct steps, over all variants, more fixes are searched after one that resolves everything.
"""
MAX_SPEC_CONFLICTS = 8
"""The most conflicts of a target for which fixes are searched."""
MIN_PROPOSALS, FEW_PROPOSALS = 12, 4
"""The least number of proposals that are tried for a conflict; and for one of many conflicts."""
MANY_CONFLICTS = 40
"""With more conflicts than this, fixes are searched for the first one only, and few are tried."""
UNBUILDABLE_ARGUMENTS = ("groups", "padding")
"""Arguments with an invalid value of which a layer cannot be made, so that its parameters are not known."""


@dataclass
class SpecFixes:
    """The search for fixes of one spec's conflicts."""

    session: SpecSession
    pages: Mapping[str, EditableSpec] = field(init=False)
    variants: OtherVariants = field(init=False)
    found: dict[object, tuple[Proposal, ...]] = field(default_factory=dict)  # by rule and location, from other variants
    spent: int = 0  # steps that were compiled to try proposals
    searched: int = 0  # variants for which fixes were searched

    def __post_init__(self) -> None:
        self.variants = OtherVariants(self.session)
        self.pages = {
            name: EditableSpec(self.session.library.sources[name].replace("\r\n", "\n"), spec)
            for name, spec in self.session.library.files.items()
            if not name.startswith("std/")
        }

    def with_fixes(self, target: str, plan: Plan, report: Report, *, batch: int | None = None) -> tuple[Finding, ...]:
        """Return the report's findings; conflicts have the fixes that were found.

        batch: that of the plan, if it is not the spec's own; then a fix must fit at both.
        """
        many = len(report.trace.mismatches) > MANY_CONFLICTS
        before, left, findings = compiled_net(plan), 1 if many else MAX_SPEC_CONFLICTS, []
        left *= self.searched < MAX_VARIANTS
        self.searched += 1
        has_macs, exact, fixed_by = has_expected_macs(plan.expected), has_exact_macs(plan.expected), None
        for finding in report.findings:
            diagnosis: Diagnosis | None = finding.diagnosis
            if fixed_by is not None and diagnosis is not None:
                finding = mark_fixed_by(finding, fixed_by)
            elif diagnosis is not None and finding.place is not None and not finding.likely and left:
                left = left - 1 if self.spent < MAX_TOTAL_STEPS else 0
                attempts = ProposalTrials(self, target, before, report, diagnosis, has_macs, exact, batch)
                finding, resolves_all = self._find_fixes(
                    finding, diagnosis, attempts, least=FEW_PROPOSALS if many else MIN_PROPOSALS
                )
                fixed_by = finding if resolves_all else None
            findings.append(self._with_definitions(finding, report) if diagnosis is not None else finding)
        return tuple(findings)

    def _find_fixes(
        self, finding: Finding, diagnosis: Diagnosis, attempts: ProposalTrials, least: int
    ) -> tuple[Finding, bool]:
        """Return the finding with its fixes, and whether the first one leaves nothing wrong in any variant.

        least: the number of proposals that are tried in any case.
        """
        key = finding.rule, finding.place
        edits = distinct_proposals(chain(self.found.get(key, ()), stop_at_error(find_proposals(diagnosis, self.pages))))
        edits = filter(attempts.is_worth_trying, edits)
        most = (
            least if least < MIN_PROPOSALS else min(max(MAX_COMPILED_STEPS // max(attempts.step_count, 1), least), 80)
        )
        small = attempts.step_count * len(self.session.all_targets) <= MAX_STEPS_FOR_CHOICE
        found = search_fixes(edits, attempts.try_proposal, most=most, wanted=MAX_OFFERED_FIXES if small else 1)
        passed = [trial for trial in found if attempts.suits_every_variant(trial)]
        trials = select_offered(passed, attempts.before.params, attempts.report.total.known)
        self.found[key] = tuple(trial.proposal for trial in trials)
        resolves_all = bool(trials) and not any(trials[0].leaves[:2])
        return with_fixes(finding, trials, lambda file: self.pages[file].text), resolves_all

    def _with_definitions(self, finding: Finding, report: Report) -> Finding:
        """Return the finding with the locations of the block definitions that its steps go through."""
        paths = {link.path for link in finding.walk}
        sites = (call.site for call in report.trace.calls)
        names = {site.name for site in sites if site.kind == "block" and site.path in paths}
        blocks = [block for page in self.pages.values() for block in page.spec.blocks if block.name in names]
        found = (WalkStep(block.name, "is defined here", block.span) for block in blocks)
        return replace(finding, walk=(*finding.walk, *found))


@dataclass
class ProposalTrials:
    """Trials of proposals for one conflict of one variant.

    macs_expected: the file states the MACs of its net. exact: it states them exactly, so that an edit of a block that
    meets them is right for all its uses.
    """

    fixes: SpecFixes
    target: str
    before: CompiledNet
    report: Report
    diagnosis: Diagnosis
    macs_expected: bool
    exact: bool
    batch: int | None = None
    scope: ConflictScope = field(init=False)

    def __post_init__(self) -> None:
        found = [finding.diagnosis for finding in self.report.findings if finding.diagnosis is not None]
        others = tuple(conflict_scope(self.report, other) for other in found if other is not self.diagnosis)
        self.scope = replace(conflict_scope(self.report, self.diagnosis), others=others)

    @property
    def step_count(self) -> int:
        """The number of steps of the net's distinct blocks."""
        blocks = {id(block): block for _, block in self.before.outline.walk_blocks()}
        return len(self.before.outline.steps) + sum(len(block.steps) for block in blocks.values())

    def is_worth_trying(self, proposal: Proposal) -> bool:
        """Return False if a proposal can be rejected without compiling it."""
        guess = proposal.cause == "source" and not self.can_tell_labels_apart
        return not guess and not self._edits_another_block(proposal)

    def try_proposal(self, proposal: Proposal) -> FixCandidate | None:
        """Return the result of a proposal; None if it cannot be compiled, resolves nothing, or breaks something."""
        self.fixes.spent += self.step_count
        try:
            return self._compile_proposal(proposal)
        except Exception:  # noqa: BLE001 - an edit that no run survives is no fix, whatever it raises
            return None

    def _compile_proposal(self, proposal: Proposal) -> FixCandidate | None:
        edit = proposal.file, proposal.text
        plan = self.fixes.session.plan(self.target, edit=edit, batch=self.batch)
        if self.batch and self.fixes.session.plan(self.target, edit=edit).mismatches:
            return None
        lines = LineMap(proposal.file, self.fixes.pages[proposal.file].text, proposal.text)
        blocks = edited_blocks(self.fixes.pages[proposal.file], lines)
        found = judge_edit(self.before, compiled_net(plan), self.scope, lines, blocks, own=proposal.own or self.exact)
        # another conflict could be the reason that an expectation is not met
        judged = () if plan.mismatches else plan.expected
        if found.removes and not proposal.conditional:
            return None
        if found.objection or not all(meets_sizes(plan, e) for e in judged):
            return None
        if proposal.cause == "source" and not (
            found.frees_value or self._is_using_unused_label(proposal) or has_expected_macs(judged)
        ):
            return None  # that another label fits by its size alone is no sign that it was meant
        others = self.fixes.variants.edit_outcome(self.target, proposal, lines)
        run = self.fixes.session.options
        costs = plan_costs(plan, dtype=run.dtype, train=run.train)
        if found.shared and (others.wrong or others.changes):
            return None
        if others.breaks or costs is None or not all(meets_macs(costs, e) for e in judged):
            return None
        if not is_confirmed_by_run(self.report.trace.mismatches, costs.mismatches, self.scope, lines):
            return None
        params, macs_before = figures_before(self.report, self.diagnosis, self.before.params)
        macs = costs.macs() if found.others_unchanged else None
        return FixCandidate(
            proposal,
            found,
            others=tuple(format_step_changes(others.changes)),
            params=plan.parameter_count - params if found.others_unchanged else None,
            macs=None if macs is None or macs_before is None else macs - macs_before,
            wrong=others.wrong,
        )

    def suits_every_variant(self, trial: FixCandidate) -> bool:
        """Return whether no valid variant breaks, if the search tried only a sample of them."""
        variants, page = self.fixes.variants, self.fixes.pages[trial.proposal.file]
        if not variants.is_sampled():
            return True
        lines = LineMap(trial.proposal.file, page.text, trial.proposal.text)
        return not variants.edit_outcome(self.target, trial.proposal, lines, every=True).breaks

    def _edits_another_block(self, proposal: Proposal) -> bool:
        """Return whether an edit lies in a block that is used in several places, none of them in the conflict."""
        page = self.fixes.pages[proposal.file]
        if proposal.several or proposal.own or self.exact:
            return False
        block = page.block_at(first_change(page.text, proposal.text)[0])
        shared = block is not None and self.before.ways_to_use[block.name] > 1
        return block is not None and shared and block.name not in self.blocks_in_conflict

    @cached_property
    def blocks_in_conflict(self) -> frozenset[str]:
        """The blocks with a use that takes part in a conflict."""
        scopes = self.scope, *self.scope.others
        sites = (call.site for call in self.report.trace.calls if call.site.kind == "block")
        return frozenset(site.name for site in sites if any(scope.takes_part(site.path) for scope in scopes))

    @cached_property
    def can_tell_labels_apart(self) -> bool:
        """True if anything but its size can show that another label was meant, such as an unused label or one that is
        used twice.
        """
        unused = any(unused_labels(page.spec) for page in self.fixes.pages.values())
        return bool(unused or self.before.warnings or self.before.self_joins or self.macs_expected)

    def _is_using_unused_label(self, proposal: Proposal) -> bool:
        """Return whether an edit uses a label that is unused without it."""
        before = self.fixes.pages[proposal.file].spec
        after = self.fixes.session.edited_library(proposal.file, proposal.text).files[proposal.file]
        return bool(unused_labels(before) - unused_labels(after))


def edited_blocks(page: EditableSpec, lines: LineMap) -> frozenset[str]:
    """Return the blocks whose definitions an edit changes."""
    found = (page.block_at(line) for _, line in lines.old)
    return frozenset(block.name for block in found if block is not None)


def distinct_proposals(proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """Yield each edit once."""
    seen: set[tuple[str, str]] = set()
    for proposal in proposals:
        if (proposal.file, proposal.text) not in seen:
            seen.add((proposal.file, proposal.text))
            yield proposal


def conflict_scope(report: Report, diagnosis: Diagnosis) -> ConflictScope:
    """Return the part of a run that a conflict concerns."""
    own = diagnosis.mismatch
    others = (
        m for m in report.trace.mismatches if (m.site.place, m.kind) == (own.site.place, own.kind) and m is not own
    )
    return mismatch_scope(report.index, [own, *others])


def figures_before(report: Report, diagnosis: Diagnosis, params: int) -> tuple[int, int | None]:
    """Return the parameters and MACs of the net before; without those of a layer that cannot be built."""
    wrong, path = diagnosis.mismatch.wrong_argument, diagnosis.mismatch.site.path
    if diagnosis.mismatch.kind != "layer" or wrong is None or wrong.argument not in UNBUILDABLE_ARGUMENTS:
        return params, report.total.macs
    rows = [row for row in report.rows if row.path in (path, *diagnosis.also)]
    macs = report.total.macs
    return params - sum(row.params for row in rows), None if macs is None else macs - sum(row.macs or 0 for row in rows)
