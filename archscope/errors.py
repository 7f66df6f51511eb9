"""Ground: where a thing stands (`Span`), what is wrong with it (`Problem`), and the exceptions that carry problems.

`visible` is what any text of a spec, a file name, a model or torch passes before a terminal sees it.

Archscope exceptions
ArchscopeError                 everything this package raises on purpose
├── SpecError                  a spec that cannot be read or compiled: all its problems at once
├── UsageError                 a wrong target, option or argument; what and a cure
│   └── KeywordError           a keyword that a call does not have; also a TypeError
├── ForwardError               the forward pass failed: what had run so far, and the failing step
├── FindingsError              a net that runs has findings that are errors
└── SizeError                  a built net was run at a size that decides how it is built; also a RuntimeError
"""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

INVISIBLE_CHARACTERS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # controls, which a terminal obeys, save newline and tab
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # the direction of writing
    "\\u2028\\u2029\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff]"  # other ends of lines, marks, bytes that are no UTF-8
)
"""Characters that a reader does not see, and that change what the others look like."""


def escape_invisible(text: str) -> str:
    """The text with each such character as its number, `\\u001b`, which JSON reads as the character again."""
    return INVISIBLE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape_one_line(text: str) -> str:
    """The same, with newlines and tabs as `\\n` and `\\t`."""
    return escape_invisible(text).replace("\n", "\\n").replace("\t", "\\t")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, order=True)
class Span:
    """A place in a text: file, 1-based line, 1-based column; line 0 is the file as a whole."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def shifted(self, columns: int) -> Span:
        """The place `columns` further right on the same line."""
        return Span(self.file, self.line, self.column + columns)


@dataclass(frozen=True)
class BlockFrame:
    """One link of the chain of blocks that a problem happened in: the block's name, its use, the use's path."""

    block: str
    span: Span
    path: str

    def __str__(self) -> str:
        return f"in {self.block} at {self.span.file}:{self.span.line} ({self.path})"


@dataclass(frozen=True)
class Problem:
    """One fault: the fact with its numbers in `message`, the cure in `help`, innermost block first in `chain`."""

    span: Span
    message: str
    help: str = ""
    chain: tuple[BlockFrame, ...] = ()

    def lines(self, sources: Mapping[str, str] | None = None) -> list[str]:
        """The problem as it is printed;
        with `sources` (file → text) the faulty line and a caret stand below the fact.
        """
        out = [f"{self.span}: {self.message}"]
        out += source_excerpt(self.span, sources or {})
        out += [f"  {frame}" for frame in self.chain]
        if self.help:
            out.append(f"  help: {self.help}")
        return [escape_invisible(line) for line in out]


def source_excerpt(span: Span, sources: Mapping[str, str]) -> list[str]:
    """The line that `span` points at and a caret below the column; nothing where the text is not known."""
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
    """The lines of a text, which many problems may have a place in."""
    return text.splitlines()


class ArchscopeError(Exception):
    """Everything that archscope raises on purpose."""


class SpecError(ArchscopeError):
    """A spec that cannot be read or compiled. `problems` holds every independent fault, `sources` the texts."""

    def __init__(self, problems: Iterable[Problem], sources: Mapping[str, str] | None = None):
        self.problems = tuple(problems)
        self.sources = dict(sources or {})
        super().__init__("\n\n".join("\n".join(p.lines(self.sources)) for p in self.problems))


class UsageError(ArchscopeError):
    """A wrong target, option or argument: what is wrong, and the cure. place: where that is written, in a file."""

    def __init__(self, message: str, help: str = "", place: Span | None = None):
        self.message, self.help, self.place = message, help, place
        said = f"{place}: {message}" if place else message
        super().__init__(escape_invisible(said + (f"\n  help: {help}" if help else "")))


class KeywordError(UsageError, TypeError):
    """A keyword that a call of ours does not have."""


class ForwardError(ArchscopeError):
    """The forward pass raised. `report` holds the rows so far; `problem` names the failing step.

    text: what is said instead of the problem.
    """

    def __init__(self, problem: Problem, report: object = None, text: str = ""):
        self.problem, self.report = problem, report
        super().__init__(text or "\n".join(problem.lines()))


class FindingsError(ArchscopeError):
    """A net that runs, with findings that are errors: an expectation that is not met. `report` holds them."""

    def __init__(self, text: str, report: object = None):
        self.report = report
        super().__init__(text)


class SizeError(ArchscopeError, RuntimeError):
    """A built net is run at a size that it was not built for, where that size decides how the net is built.

    path: the step, from the net that was called. place: its text and `file:line` in the spec. rebuild: whether another
    net might take that size. help: the cure.
    """

    def __init__(self, fact: str, path: str, place: str, rebuild: bool = True, help: str = ""):
        self.fact, self.path, self.place, self.rebuild, self.located = fact, path, place, rebuild, False
        self.help = help
        super().__init__(f"{fact}\n  at {path or 'the net'}: {place}" + (f"\n  help: {help}" if help else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, bool, str]]:
        return type(self), (self.fact, self.path, self.place, self.rebuild, self.help)


MOST_PROBLEMS = 100
"""How many problems are collected; then it ends with those."""


@dataclass
class Problems:
    """Collects problems while work goes on; each (place, message) is kept once. sources: the texts, for excerpts."""

    found: dict[tuple[Span, str], Problem] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Keeps a problem. Raises SpecError where there are too many."""
        if len(self.found) >= MOST_PROBLEMS and (problem.span, problem.message) not in self.found:
            fact = f"more than {MOST_PROBLEMS} problems: from here on none is looked for"
            self.found[problem.span, fact] = Problem(problem.span, fact, "mend those above first")
            self.raise_if_any(self.sources)
        self.found.setdefault((problem.span, problem.message), problem)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.found.values())

    def __bool__(self) -> bool:
        return bool(self.found)

    def raise_if_any(self, sources: Mapping[str, str] | None = None) -> None:
        """Raises SpecError with everything found, in the order of the places; silence is success."""
        if self.found:
            raise SpecError(sorted(self, key=lambda p: p.span), sources)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`did you mean 'channels' or 'in_channels'?`, or nothing where no candidate is near."""
    names = list(candidates)
    alike = [c for c in names if c[:1].isupper() == word[:1].isupper()]  # `Conv3` means a layer, `conv3` a label
    known = {c.lower(): c for c in alike or names}
    near = difflib.get_close_matches(word.lower(), known, n=2, cutoff=0.7) if len(word) > 1 else []
    return "did you mean " + " or ".join(repr(known[n]) for n in near) + "?" if near else ""


def clear_frames(error: BaseException) -> None:
    """Takes from an exception, and from those behind it, what it keeps of where it was raised: the frames hold whatever
    was made there, tensors too."""
    behind: BaseException | None = error
    met: set[int] = set()
    while behind is not None and id(behind) not in met:
        met.add(id(behind))
        traceback.clear_frames(behind.__traceback__)
        behind.__traceback__ = None
        behind = behind.__cause__ or behind.__context__
