"""Bad specs as golden cases: a YAML file whose first lines are comments that hold what it must be refused with.

    # expect: 9:13: Conv2d says in_channels=64 but its input is (1, 128, 28, 28), which has 128
    # help: leave in_channels out

One `# expect:` line per problem, in order of place, with the file before the line where it is another one; a `# help:`
line must be found in the help of the problem above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from archscope.errors import Problem, SpecError

FOLDER = Path(__file__).parent / "cases" / "bad"


@dataclass(frozen=True)
class BadCase:
    path: Path
    expected: tuple[str, ...]  # `line:column: message`
    helps: tuple[str, ...]  # one per problem, empty where none is asked for

    def check(self, error: SpecError) -> None:
        """Asserts that the error's problems are exactly the expected ones."""
        assert [self.line(problem) for problem in error.problems] == list(self.expected)
        for problem, part in zip(error.problems, self.helps, strict=True):
            assert part in problem.help
            assert problem.help, f"a problem without a help: {problem.message}"

    def line(self, problem: Problem) -> str:
        file = "" if Path(problem.span.file).name == self.path.name else f"{problem.span.file}:"
        return f"{file}{problem.span.line}:{problem.span.column}: {problem.message}"


def read_case(path: Path) -> BadCase:
    expected: list[str] = []
    helps: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"# (expect|help): (.*)", line)
        if not match:
            break
        if match[1] == "expect":
            expected.append(match[2])
            helps.append("")
        else:
            helps[-1] = match[2]
    assert expected, f"{path} does not say what to expect"
    return BadCase(path, tuple(expected), tuple(helps))


def bad_cases(kind: str) -> list[BadCase]:
    """The cases of one folder below `cases/bad`, by name."""
    return [read_case(path) for path in sorted((FOLDER / kind).glob("*.yaml"))]
