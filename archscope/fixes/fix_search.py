"""The search for fixes of one conflict: proposals, tried in memory → those that fix it and break nothing, best first.

    Diagnosis ─ proposals ─→ attempt → FixCandidate ─ rank ─→ at most three Fixes, checked

Fixes are ranked by what else they change, how near the edit is to the cause (the order of proposals), their cost, and
their size. The best one shows the likeliest cause: it gives the finding its cause, and comes first in its walk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from archscope.errors import Span
from archscope.fixes.edit_verdict import EditVerdict
from archscope.fixes.proposals import Proposal
from archscope.fixes.step_changes import StepChange
from archscope.report import FIRST_FIX_PATH, Finding, Fix, WalkStep
from archscope.spec.text_diff import first_change, unified_diff

MAX_OFFERED_FIXES = 3
"""The largest number of fixes offered."""
FAILURES_AFTER_FIX = 1
"""The number of proposals that may fail in a row, or fix only a part, after one that leaves nothing wrong."""
FAILURES_AFTER_PARTIAL_FIX = 8
"""The same after one that fixes only a part."""


@dataclass(frozen=True)
class FixCandidate:
    """A proposal that passed: its verdict, and the change of the whole net's figures (None if unknown).

    wrong: the number of other variants that still fail with it. others: changes in variants without conflict, in words.
    number: its position among the proposals.
    """

    proposal: Proposal
    verdict: EditVerdict
    params: int | None
    macs: int | None
    wrong: int = 0
    others: tuple[str, ...] = ()
    number: int = 0

    @property
    def rank(self) -> tuple[object, ...]:
        """A sort key: what else changes, nearness, cost, size; the smallest is the best."""
        found, cost = self.verdict, (abs(self.params or 0), self.macs or 0)
        if self.proposal.evident:
            return (*self.leaves, False, 0, self.number, *cost)
        return (
            *self.leaves,
            found.halves,
            len(found.unrelated_changes) + found.edited + len(self.others),
            self.number,
            *cost,
        )

    @property
    def leaves(self) -> tuple[object, ...]:
        """A sort key of what remains wrong, worst first: remaining conflicts, then uses and steps that it changes
        besides the conflict's. An evident mistake is fixed for every use."""
        found, evident = self.verdict, self.proposal.evident
        return found.partial, found.left + self.wrong, not evident and found.shared, not evident and self.outside

    @property
    def outside(self) -> bool:
        """True if anything outside the block of the conflict changes, in this variant or in another one without
        conflict."""
        return self.verdict.outside or bool(self.others)

    @property
    def fixes_all(self) -> bool:
        """True if it leaves nothing wrong, and nothing outside the conflict's block changes."""
        return not any(self.leaves)

    @property
    def is_clean(self) -> bool:
        """True if it leaves nothing wrong and changes nothing else."""
        return not any(self.rank[:6])


def search_fixes(
    proposals: Iterable[Proposal],
    attempt: Callable[[Proposal], FixCandidate | None],
    *,
    most: int,
    wanted: int = MAX_OFFERED_FIXES,
) -> list[FixCandidate]:
    """Return the proposals that pass, the best first. most: the largest number of proposals tried."""
    passed: list[FixCandidate] = []
    failed = 0
    for number, proposal in enumerate(islice(proposals, most)):
        if sum(trial.is_clean for trial in passed) == wanted or failed >= allowed_failures(passed):
            break
        if proposal.guess and any(trial.fixes_all for trial in passed):
            break
        trial = attempt(proposal)
        helps = trial is not None and (trial.fixes_all or not any(other.fixes_all for other in passed))
        failed = 0 if helps else failed + 1
        if trial is not None:
            passed.append(replace(trial, number=number))
    return sorted(passed, key=lambda trial: trial.rank)


def allowed_failures(passed: list[FixCandidate]) -> float:
    """Return how many proposals may fail in a row before the search ends."""
    if any(trial.fixes_all for trial in passed):
        return FAILURES_AFTER_FIX
    return FAILURES_AFTER_PARTIAL_FIX if any(not trial.verdict.partial for trial in passed) else math.inf


def select_offered(trials: list[FixCandidate], params: int, macs: int = 0) -> list[FixCandidate]:
    """Return the candidates to offer: as good as the best, and for a net of similar size and cost.

    params, macs: of the net as it is; MACs as far as they are known.
    """
    best = trials[:1]
    for trial in trials[1:]:
        known = {other.proposal.description for other in best}
        if (
            trial.proposal.description not in known
            and trial.leaves[:3] == best[0].leaves[:3]
            and not best[0].proposal.own
            and is_similar_change(trial.params, best[0].params, params)
            and is_similar_change(trial.macs, best[0].macs, macs)
            and len(best) < MAX_OFFERED_FIXES
        ):
            best.append(trial)
    return best


def is_similar_change(change: int | None, first: int | None, total: int) -> bool:
    """Return whether a figure changes about as little as with the first fix, so that the net stays about the same."""
    return change is None or first is None or abs(change) <= max(abs(first), total // 10)


T = TypeVar("T")


def stop_at_error(found: Iterator[T]) -> Iterator[T]:
    """Yield the proposals up to one that raises: the conflict is reported even if no fix can be proposed."""
    try:
        yield from found
    except Exception:  # noqa: BLE001 - the finding is reported in any case
        return


# ------------------------------------------------------------ findings
def with_fixes(finding: Finding, trials: list[FixCandidate], source: Callable[[str], str]) -> Finding:
    """Return the finding with its fixes, the cause that the first one shows, and the place that it changes.

    source: returns a file's text before.
    """
    if not trials:
        return finding
    found = replace(finding, fixes=tuple(make_fix(trial, source) for trial in trials))
    return with_fix_place(found, trials[0].proposal, source) if not any(trials[0].leaves[:2]) else found


def make_fix(trial: FixCandidate, source: Callable[[str], str]) -> Fix:
    proposal = trial.proposal
    return Fix(
        description=proposal.description,
        params=trial.params,
        macs=trial.macs,
        checked=True,
        edit=unified_diff(source(proposal.file), proposal.text, proposal.file),
        file=proposal.file,
        text=proposal.text,
        changes=(*map(describe_step_change, trial.verdict.unrelated_changes), *trial.others),
        outside=trial.outside,
        leaves=trial.verdict.left,
    )


def describe_step_change(change: StepChange) -> str:
    """Return `coarse.1: 1×255×26×26 → 1×255×13×13`."""
    old, new = (step.shapes if step is not None else () for step in (change.before, change.after))
    words = [" and ".join("×".join(map(str, shape)) or "scalar" for shape in shapes) or "none" for shapes in (old, new)]
    what = f"{words[0]} → {words[1]}" if words[0] != words[1] else "other parameters"
    return f"{change.path or change.block}: {what}"


def with_fix_place(finding: Finding, proposal: Proposal, source: Callable[[str], str]) -> Finding:
    """Return the finding with the cause that an edit shows, and the changed line as first step of the walk."""
    line, column = first_change(source(proposal.file), proposal.text)
    on_line = [
        link for link in finding.walk if link.place and (link.place.file, link.place.line) == (proposal.file, line)
    ]
    own = finding.place is not None and (finding.place.file, finding.place.line) == (proposal.file, line)
    head = on_line or (
        [] if own else [WalkStep(FIRST_FIX_PATH, proposal.description, Span(proposal.file, line, column))]
    )
    rest = [link for link in finding.walk if link not in on_line]
    return replace(finding, cause=proposal.cause or finding.cause, walk=(*head, *rest))
