"""Fixes that were tried: a conflict's remedies → each applied in memory and run again → those that cure it, priced.

    Diagnosis ─ remedies ─→ attempt(remedy) → Outcome ─ nothing new, the conflict gone? ─→ errors left → Fix, checked

The best fix leaves no error at all, in no variant; so expectations guide the search where a file has them. What it
changes is the likeliest culprit: it gives the finding its cause, and leads its walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from archscope.checks.remedies import Remedy
from archscope.errors import Span
from archscope.report import MEANT, Finding, Fix, Link
from archscope.spec.edits import diff, first_change
from archscope.trace import Shape

Fault = tuple[str, str]
"""The rule and the path of an error."""
FIGURES = frozenset(["expect-params", "expect-macs"])


@dataclass(frozen=True)
class Outcome:
    """What a run found: the errors by rule and path, and the totals; None where they are not known.

    waste: how many values are joined with themselves or used by nothing, which is never what was meant. unfit: each
    operand that did not fit, as path and shapes.
    """

    errors: frozenset[Fault]
    params: int | None = None
    macs: int | None = None
    waste: int = 0
    unfit: frozenset[tuple[str, tuple[Shape, ...]]] = frozenset()


@dataclass(frozen=True)
class Trials:
    """How remedies are tried.

    attempt: runs the spec with a remedy for the conflict at a place (None: it cannot be compiled, or did not help).
    elsewhere: how many other variants are wrong with it; None where one is that was right before. source: a file's text
    before. most: how many remedies are tried; wanted: how many perfect ones are enough; patience: how many more are
    tried after the first of them.
    """

    before: Outcome
    attempt: Callable[[Remedy, Span | None], Outcome | None]
    elsewhere: Callable[[Remedy], int | None]
    source: Callable[[str], str]
    most: int = 80
    wanted: int = 2
    patience: int = 5


@dataclass(frozen=True)
class Cure:
    """A remedy that cured the conflict, and how many errors are left with it."""

    remedy: Remedy
    outcome: Outcome
    left: int
    figures: bool  # only the expected figures are new errors


def fixed(finding: Finding, remedies: Iterable[Remedy], trials: Trials) -> Finding:
    """The finding with the best remedies that cured it, the cause that they show, and the place that they change."""
    cures = sorted(cures_of(finding, remedies, trials), key=lambda cure: (cure.figures, cure.left))
    if not cures:
        return finding
    alike = [cure for cure in cures if not cure.figures and cure.left == cures[0].left]
    checked = [cure for cure in alike if is_near(cure, alike[0], trials.before)][: trials.wanted]
    best = checked or cures[:1]
    found = replace(finding, fixes=tuple(made(finding, cure, trials) for cure in best))
    return placed(found, best[0].remedy, trials) if checked and not best[0].left else found


def is_near(cure: Cure, first: Cure, before: Outcome) -> bool:
    """Whether a cure changes the network about as little as the first one: an alternative, not another network."""
    change, least = (difference(one.outcome.params, before.params) for one in (cure, first))
    if cure is first or change is None or least is None:
        return True
    return abs(change) <= max(abs(least), (before.params or 0) // 10)


def cures_of(finding: Finding, remedies: Iterable[Remedy], trials: Trials) -> list[Cure]:
    own = {(finding.rule, path) for path in (finding.path, *finding.also)}
    cures: list[Cure] = []
    left_over = trials.patience
    for remedy in islice(remedies, trials.most):
        perfect = sum(not cure.left for cure in cures)
        if perfect == trials.wanted or left_over < 0:
            break
        left_over -= bool(perfect)
        outcome = trials.attempt(remedy, finding.place)
        if outcome is None or own & outcome.errors or outcome.waste > trials.before.waste:
            continue
        new = {rule for rule, _ in outcome.errors - trials.before.errors}
        left = trials.elsewhere(remedy) if not new else len(outcome.errors)
        if new <= FIGURES and left is not None:
            cures.append(Cure(remedy, outcome, left + len(outcome.errors), bool(new)))
    return cures


def made(finding: Finding, cure: Cure, trials: Trials) -> Fix:
    remedy, outcome, before = cure.remedy, cure.outcome, trials.before
    priced = is_priced(finding, outcome, before)
    return Fix(
        description=remedy.description + " (the expected figures are others then)" * cure.figures,
        params=difference(outcome.params, before.params) if priced else None,
        macs=difference(outcome.macs, before.macs) if priced else None,
        checked=not cure.figures,
        edit=diff(trials.source(remedy.file), remedy.text, remedy.file),
        file=remedy.file,
        text=remedy.text,
    )


def is_priced(finding: Finding, outcome: Outcome, before: Outcome) -> bool:
    """Whether only this conflict is gone and the others are as they were: else made-up sizes would be in the price."""
    own = {finding.path, *finding.also}
    return {(path, shapes) for path, shapes in before.unfit if path not in own} == outcome.unfit


def difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def placed(finding: Finding, remedy: Remedy, trials: Trials) -> Finding:
    """The finding with the cause that the remedy shows, and with the line that it changes at the head of the walk."""
    line, column = first_change(trials.source(remedy.file), remedy.text)
    there = [link for link in finding.walk if link.place and (link.place.file, link.place.line) == (remedy.file, line)]
    own = finding.place is not None and (finding.place.file, finding.place.line) == (remedy.file, line)
    head = there or ([] if own else [Link(MEANT, remedy.description, Span(remedy.file, line, column))])
    rest = [link for link in finding.walk if link not in there]
    return replace(finding, cause=remedy.cause or finding.cause, walk=(*head, *rest))


def faults(findings: Sequence[Finding]) -> frozenset[Fault]:
    """The errors among findings, those folded into others too."""
    errors = (finding for finding in findings if finding.level == "error")
    return frozenset((finding.rule, path) for finding in errors for path in (finding.path, *finding.also))
