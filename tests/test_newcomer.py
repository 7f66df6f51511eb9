"""The session of a newcomer, in an empty folder with an installed wheel: exit codes, and what must be said."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.installation import installed_python, site

__all__ = ["site"]  # a fixture
SESSION = Path(__file__).with_name("newcomer") / "session.txt"
CHILD = """
import contextlib, io, json, pathlib, sys
import archscope
from archscope.cli import run_command_line

assert pathlib.Path(archscope.__file__).is_relative_to(sys.argv[1]), archscope.__file__
said = []
for name, content in json.load(sys.stdin):
    if name:
        pathlib.Path(name).write_text(content, encoding="utf-8")
        continue
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run_command_line(content)
    said.append((code, out.getvalue()))
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Step:
    """A file to write, or a command with its exit code, what it prints and what not."""

    file: str = ""
    text: str = ""
    command: str = ""
    code: int = 0
    texts: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def steps(text: str) -> Iterator[Step]:
    for block in re.split(r"\n(?=\$ |write )", re.sub(r"(?m)^#.*\n", "", text).strip()):
        head, *lines = block.strip("\n").split("\n")
        if head.startswith("write "):
            yield Step(file=head.removeprefix("write "), text=dedent("\n".join(lines)) + "\n")
            continue
        code, *facts = lines
        absent = tuple(fact.removeprefix("! ") for fact in facts if fact.startswith("! "))
        texts = tuple(fact for fact in facts if not fact.startswith("! "))
        yield Step(command=head.removeprefix("$ "), code=int(code.removeprefix("exit ")), texts=texts, absent=absent)


STEPS = tuple(steps(SESSION.read_text(encoding="utf-8")))
COMMANDS = tuple(step for step in STEPS if step.command)


@pytest.fixture(scope="module")
def session(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Command (with its number) → its exit code and all that it printed, on one line."""
    folder = tmp_path_factory.mktemp("empty")
    asked = [(step.file, step.text) if step.file else ("", shlex.split(step.command)[1:]) for step in STEPS]
    done = installed_python(site, folder, "-c", CHILD, str(site), given=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return {name: (code, text) for (name, _), (code, text) in zip(numbered(), said, strict=True)}


def numbered() -> list[tuple[str, Step]]:
    return [(f"{number} {step.command}", step) for number, step in enumerate(COMMANDS, 1)]


def test_the_session_is_long_enough() -> None:
    assert len(COMMANDS) >= 60


@pytest.mark.parametrize(("name", "step"), numbered(), ids=[name for name, _ in numbered()])
def test_what_a_newcomer_types(session: dict[str, tuple[int, str]], name: str, step: Step) -> None:
    code, text = session[name]
    said = " ".join(text.split())
    assert code == step.code, text
    assert [fact for fact in step.texts if fact not in said] == [], text
    assert [fact for fact in step.absent if fact in said] == [], text
    assert "Traceback" not in text


@pytest.mark.parametrize(("name", "step"), numbered(), ids=[name for name, _ in numbered()])
def test_no_table_is_wider_than_the_terminal(session: dict[str, tuple[int, str]], name: str, step: Step) -> None:
    if "--format" not in step.command and step.code != 2:
        assert [line for line in session[name][1].splitlines() if len(line) > 80] == []
