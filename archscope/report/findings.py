"""One thing found: rule, level, place, one sentence with the numbers in it, and how to cure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.errors import Problem, Span, source_excerpt


@dataclass(frozen=True)
class Fix:
    """A cure: what it does, what it costs, whether it was run and worked.

    edit: the change as a unified diff of the spec, or of the Python file that makes the layer. file, text: that file
    and its whole text after the change; empty where there is none to change. changes: the steps that it changes though
    they do not lead to the conflict, each with its sizes. outside: whether steps outside the block of the conflict
    change. leaves: how many other conflicts are still there with it.
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
"""The path of a WalkStep that is no step of the net, but what the first fix changes."""


@dataclass(frozen=True)
class WalkStep:
    """One step on the way from where branches fork to where they should meet: what it did, and where it stands."""

    path: str
    text: str
    place: Span | None = None


@dataclass(frozen=True)
class Finding:
    """One thing found. level: `error`, `warning` or `note`. details: lines that lay out what `message` says.

    cause: why, as a code: of a shape conflict its class (`channels`, `stride`, …), of other findings their rule. walk:
    the steps that made the sizes what they are, the likeliest culprit first. also: other paths where the same place of
    the author's text has the same fault. likely: an earlier conflict may be the cause of this one. sizes: of a conflict
    the shapes, the axes that differ and the input sizes that would fit, as plain data. row: the index of
    the row that it is about, for whoever looks for its place. diagnosis: what a conflict was found to be, for whoever
    looks for fixes.
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
    """A problem of the reader or the compiler as a finding. Details: the faulty line, where `sources` (file → text) has
    it, and the chain of blocks."""
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
