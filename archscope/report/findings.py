"""Findings: a rule, its level, its place, one sentence with the numbers, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.errors import Problem, Span, SpecError, source_excerpt


@dataclass(frozen=True)
class Fix:
    """A fix for a finding: what it changes, what that costs, and whether a run confirmed it.

    checked: a run with it worked. edit: the change as a unified diff of the spec, or of the Python file that makes the
    layer. file, text: that file and its whole text after the change; empty where no file can be changed. changes: steps
    with their sizes that the fix changes although they do not lead to the conflict. outside: steps outside the
    conflict's block change. leaves: the number of other conflicts that remain with it.
    """

    description: str
    params: int | None = None
    macs: int | None = None
    checked: bool = False
    edit: str = ""
    file: str = ""
    text: str = ""
    changes: tuple[str, ...] = ()
    outside: bool = False
    leaves: int = 0


FIRST_FIX_PATH = "fix 1"
"""The path of a WalkStep that shows what the first fix changes, instead of a step of the net."""


@dataclass(frozen=True)
class WalkStep:
    """One step between the fork of two branches and the point where they should join: its effect and its place."""

    path: str
    text: str
    place: Span | None = None


@dataclass(frozen=True)
class Finding:
    """One finding. level: `error`, `warning` or `note`. details: lines that explain `message` in full.

    cause: the reason as a code: for a shape conflict its class (`channels`, `stride`, …), for other findings their
    rule. walk: the steps that led to these sizes, the most likely cause first. also: other paths where the same place
    in the source has the same fault. likely: an earlier conflict may be the cause of this one. sizes: for a conflict,
    the shapes, the axes that differ and the input sizes that would fit, as plain data. row: the index of the row that
    the finding is about, -1 for none. diagnosis: the conflict's Diagnosis, for the search for fixes.
    """

    rule: str
    level: str
    message: str
    path: str = ""
    place: Span | None = None
    help: str = ""
    fixes: tuple[Fix, ...] = ()
    details: tuple[str, ...] = ()
    cause: str = ""
    walk: tuple[WalkStep, ...] = ()
    also: tuple[str, ...] = ()
    likely: bool = False
    sizes: Mapping[str, object] = field(default_factory=dict)
    row: int = field(default=-1, compare=False, repr=False)
    diagnosis: Any = field(default=None, compare=False, repr=False)


def finding_from_problem(
    problem: Problem, *, rule: str = "spec", level: str = "error", sources: Mapping[str, str] | None = None
) -> Finding:
    """Return a Problem of the spec reader or the compiler as a finding. Its details are the faulty line, if `sources`
    (file → text) holds it, and the chain of blocks."""
    line = [text.removeprefix("    ") for text in source_excerpt(problem.span, sources or {})]
    return Finding(
        rule=rule,
        level=level,
        message=problem.message,
        path=problem.chain[0].path if problem.chain else "",
        place=problem.span,
        help=problem.help,
        details=(*line, *map(str, problem.chain)),
    )


def problem_findings(error: SpecError) -> tuple[Finding, ...]:
    """Return the problems of a spec that cannot be read or compiled as findings."""
    return tuple(finding_from_problem(problem, sources=error.sources) for problem in error.problems)
