"""Places in files (`Span`), problems (`Problem`) and the exceptions that carry them.

`escape_invisible` is applied to text from specs, file names, models and torch before it is printed.

Archscope exceptions
ArchscopeError                 base class of all exceptions below
├── SpecError                  a spec that cannot be read or compiled: all its problems at once
├── UsageError                 a wrong target, option or argument, with help
│   └── KeywordError           an unknown keyword argument; also a TypeError
├── ForwardError               the forward pass failed: the report so far, and the failing step
├── FindingsError              a net that runs, but has findings of level error
└── SizeError                  a built net was run at a size it was not built for; also a RuntimeError
"""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archscope.report import Report

INVISIBLE_CHARACTERS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # control characters, except newline and tab
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # writing direction
    "\\u2028\\u2029\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff]"  # other line ends, marks, surrogates
)
"""Invisible characters that change how text is displayed."""


def escape_invisible(text: str) -> str:
    """Return the text with each invisible character escaped as in JSON: `\\u001b`."""
    return INVISIBLE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape_one_line(text: str) -> str:
    """Return the text on one line: invisible characters escaped, newlines and tabs as `\\n` and `\\t`."""
    return escape_invisible(text).replace("\n", "\\n").replace("\t", "\\t")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its class name if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, order=True)
class Span:
    """A place in a text: file, 1-based line, 1-based column; line 0 stands for the file as a whole."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def shifted(self, columns: int) -> Span:
        """Return the place `columns` further right on the same line."""
        return Span(self.file, self.line, self.column + columns)


@dataclass(frozen=True)
class BlockFrame:
    """One use of a block around a problem: the block's name, the place of its use, and the path of its use."""

    block: str
    span: Span
    path: str

    def __str__(self) -> str:
        return f"in {self.block} at {self.span.file}:{self.span.line} ({self.path})"


@dataclass(frozen=True)
class Problem:
    """One problem: the fact in `message`, how to fix it in `help`, and the uses of blocks around it in `chain`,
    innermost first."""

    span: Span
    message: str
    help: str = ""
    chain: tuple[BlockFrame, ...] = ()

    def lines(self, sources: Mapping[str, str] | None = None) -> list[str]:
        """Return the printed lines of the problem; with `sources` (file → text) also the line of source with a
        caret."""
        out = [f"{self.span}: {self.message}"]
        out += source_excerpt(self.span, sources or {})
        out += [f"  {frame}" for frame in self.chain]
        if self.help:
            out.append(f"  help: {self.help}")
        return [escape_invisible(line) for line in out]


def source_excerpt(span: Span, sources: Mapping[str, str]) -> list[str]:
    """Return the line that `span` points at and a caret below the column; empty if the text is not known."""
    lines = split_lines(sources.get(span.file, ""))
    if not 0 < span.line <= len(lines) or not lines[span.line - 1].strip():
        return []
    line = lines[span.line - 1]
    lead = len(line) - len(line.lstrip())
    start = max(lead, span.column - 60)
    before = escape_one_line(line[start : max(start, span.column - 1)].ljust(span.column - 1 - start))
    return ["    " + escape_one_line(line[start : start + 100].rstrip()), "    " + " " * len(before) + "^"]


@lru_cache(maxsize=16)
def split_lines(text: str) -> list[str]:
    """Return the lines of a text; cached, since many problems may lie in one text."""
    return text.splitlines()


class ArchscopeError(Exception):
    """The base class of the exceptions that archscope raises."""


class SpecError(ArchscopeError):
    """A spec that cannot be read or compiled. `problems` holds all independent problems, `sources` the texts."""

    def __init__(self, problems: Iterable[Problem], sources: Mapping[str, str] | None = None):
        self.problems = tuple(problems)
        self.sources = dict(sources or {})
        super().__init__("\n\n".join("\n".join(p.lines(self.sources)) for p in self.problems))


class UsageError(ArchscopeError):
    """A wrong target, option or argument, with help. place: its place, if it is written in a file."""

    def __init__(self, message: str, help: str = "", place: Span | None = None):
        self.message, self.help, self.place = message, help, place
        said = f"{place}: {message}" if place else message
        super().__init__(escape_invisible(said + (f"\n  help: {help}" if help else "")))


class KeywordError(UsageError, TypeError):
    """An unknown keyword argument of a function of archscope."""

    @classmethod
    def unknown(cls, function: str, keyword: str, known: Iterable[str], helps: Mapping[str, str]) -> KeywordError:
        """Return the error with its help: that of `helps` (keyword → help), a similar keyword, or all of them."""
        names = sorted(known)
        help = helps.get(keyword) or did_you_mean(keyword, names) or f"arguments: {', '.join(names)}"
        return cls(f"{function} has no argument {keyword!r}", help)


class ForwardError(ArchscopeError):
    """A forward pass that raised. `report` holds the rows so far; `problem` names the failing step.

    text: the message, if it is not that of the problem.
    """

    def __init__(self, problem: Problem, report: Report, text: str = ""):
        self.problem, self.report = problem, report
        super().__init__(text or "\n".join(problem.lines()))


class FindingsError(ArchscopeError):
    """Findings of level error in a net that runs, such as an unmet expectation. `report` holds them."""

    def __init__(self, text: str, report: Report):
        self.report = report
        super().__init__(text)


class SizeError(ArchscopeError, RuntimeError):
    """A built net was run at an input size that it was not built for.

    path: the step, from the net that was called. place: its text and `file:line` in the spec. rebuild: whether building
    the net again may allow that size. help: how to fix it.
    """

    def __init__(self, fact: str, path: str, place: str, rebuild: bool = True, help: str = ""):
        self.fact, self.path, self.place, self.rebuild, self.located = fact, path, place, rebuild, False
        self.help = help
        super().__init__(f"{fact}\n  at {path or 'the net'}: {place}" + (f"\n  help: {help}" if help else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, bool, str]]:
        return type(self), (self.fact, self.path, self.place, self.rebuild, self.help)


MOST_PROBLEMS = 100
"""The number of problems after which compilation stops."""


@dataclass
class Problems:
    """A collection of problems without duplicates (by place and message). sources: the texts, for excerpts."""

    found: dict[tuple[Span, str], Problem] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Add a problem. Raises SpecError if there are more than MOST_PROBLEMS."""
        if len(self.found) >= MOST_PROBLEMS and (problem.span, problem.message) not in self.found:
            fact = f"more than {MOST_PROBLEMS} problems; the search ends here"
            self.found[problem.span, fact] = Problem(problem.span, fact, "fix those above first")
            self.raise_if_any(self.sources)
        self.found.setdefault((problem.span, problem.message), problem)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found.values())

    def __bool__(self) -> bool:
        return bool(self.found)

    def raise_if_any(self, sources: Mapping[str, str] | None = None) -> None:
        """Raise SpecError with all problems, sorted by place, if there are any."""
        if self.found:
            raise SpecError(sorted(self, key=lambda p: p.span), sources)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return `did you mean 'channels' or 'in_channels'?`, or an empty text if no candidate is similar."""
    names = list(candidates)
    alike = [c for c in names if c[:1].isupper() == word[:1].isupper()]  # `Conv3` means a layer, `conv3` a label
    known = {c.lower(): c for c in alike or names}
    near = difflib.get_close_matches(word.lower(), known, n=2, cutoff=0.7) if len(word) > 1 else []
    return "did you mean " + " or ".join(repr(known[n]) for n in near) + "?" if near else ""


def clear_frames(error: BaseException) -> None:
    """Remove the tracebacks of an exception and of its causes, whose frames keep tensors and other objects alive."""
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        traceback.clear_frames(current.__traceback__)
        current.__traceback__ = None
        current = current.__cause__ or current.__context__
