"""The search for fixes of one conflict: proposals, tried in memory → those that cure it and harm nothing, best first.

    Diagnosis ─ proposals ─→ attempt → FixCandidate ─ rank ─→ at most three Fixes, checked

Ranked by what else changes, then how near the edit stands to the cause (proposals come in that order), what it costs,
and how small it is. The best one is the likeliest culprit: it gives the finding its cause, and leads its walk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from archscope.checks.conflicts.edit_verdict import EditVerdict
from archscope.checks.conflicts.proposals import Proposal
from archscope.checks.conflicts.step_changes import StepChange
from archscope.errors import Span
from archscope.report import FIRST_FIX_PATH, Finding, Fix, WalkStep
from archscope.spec.text_diff import first_change, unified_diff

MAX_OFFERED_FIXES = 3
"""How many fixes are offered at most."""
FAILURES_AFTER_FIX = 1
"""How many proposals may fail in a row, or leave something, once one has passed that leaves nothing wrong."""
FAILURES_AFTER_PARTIAL_FIX = 8
"""The same once one has passed that leaves something."""


@dataclass(frozen=True)
class FixCandidate:
    """A proposal that passed: its verdict, and by how much the figures of the whole net change; None: not known.

    wrong: how many other variants are still wrong with it. others: what changes in sound variants, in words.
    number: its place among the proposals.
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
        """What else changes, nearness, cost, size: the smallest is the best."""
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
        """What is wrong with it, worst first: what it leaves, uses and steps that it changes beside the conflict's.

        An evident slip is mended for every use.
        """
        found, evident = self.verdict, self.proposal.evident
        return found.partial, found.left + self.wrong, not evident and found.shared, not evident and self.outside

    @property
    def outside(self) -> bool:
        """Whether anything outside the block of the conflict changes, in this variant or in another that is sound."""
        return self.verdict.outside or bool(self.others)

    @property
    def fixes_all(self) -> bool:
        """Whether it leaves nothing wrong, and nothing outside the conflict's block changes."""
        return not any(self.leaves)

    @property
    def is_clean(self) -> bool:
        """Whether it leaves nothing wrong and changes nothing else."""
        return not any(self.rank[:6])


def search_fixes(
    proposals: Iterable[Proposal],
    attempt: Callable[[Proposal], FixCandidate | None],
    *,
    most: int,
    wanted: int = MAX_OFFERED_FIXES,
) -> list[FixCandidate]:
    """The proposals that pass, the best first. most: how many are tried."""
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
    """How many proposals may fail one after the other before the search ends."""
    if any(trial.fixes_all for trial in passed):
        return FAILURES_AFTER_FIX
    return FAILURES_AFTER_PARTIAL_FIX if any(not trial.verdict.partial for trial in passed) else math.inf


def select_offered(trials: list[FixCandidate], params: int, macs: int = 0) -> list[FixCandidate]:
    """Those to be offered: none that leaves more wrong than the best, none that makes a net of another size or cost.

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
    """Whether a figure changes about as little as with the first fix: an alternative, not another network."""
    return change is None or first is None or abs(change) <= max(abs(first), total // 10)


T = TypeVar("T")


def stop_at_error(found: Iterator[T]) -> Iterator[T]:
    """What is proposed up to what cannot be made: a conflict is told of also where no fix can be thought of."""
    try:
        yield from found
    except Exception:  # noqa: BLE001 - whatever an odd text makes it stumble over, the finding stands
        return


# ------------------------------------------------------------ findings
def with_fixes(finding: Finding, trials: list[FixCandidate], source: Callable[[str], str]) -> Finding:
    """The finding with its fixes, the cause that the first one shows, and the place that it changes.

    source: a file's text before.
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
    """`coarse.1: 1×255×26×26 → 1×255×13×13`."""
    old, new = (step.shapes if step is not None else () for step in (change.before, change.after))
    words = [" and ".join("×".join(map(str, shape)) or "scalar" for shape in shapes) or "none" for shapes in (old, new)]
    what = f"{words[0]} → {words[1]}" if words[0] != words[1] else "other parameters"
    return f"{change.path or change.block}: {what}"


def with_fix_place(finding: Finding, proposal: Proposal, source: Callable[[str], str]) -> Finding:
    """The finding with the cause that an edit shows, and with the line that it changes at the head of the walk."""
    line, column = first_change(source(proposal.file), proposal.text)
    there = [
        link for link in finding.walk if link.place and (link.place.file, link.place.line) == (proposal.file, line)
    ]
    own = finding.place is not None and (finding.place.file, finding.place.line) == (proposal.file, line)
    head = there or ([] if own else [WalkStep(FIRST_FIX_PATH, proposal.description, Span(proposal.file, line, column))])
    rest = [link for link in finding.walk if link not in there]
    return replace(finding, cause=proposal.cause or finding.cause, walk=(*head, *rest))
