"""Findings for machines: one line each for editors and scripts, or one workflow command each for GitHub.

    net.yaml:12:5: error residual-shape the two sides cannot be added (at layer2.0.add)
    ::error file=net.yaml,line=12,col=5,title=residual-shape::the two sides cannot be added (at layer2.0.add)

Each fault is told once, as in the table; nothing is wrapped, and nothing else is printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from archscope.errors import one_line
from archscope.render.findings import title
from archscope.render.folding import Told, told
from archscope.report import Checked, Finding

COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def lines(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """`file:line:column: level code message`; what has no line of its own stands at 1:1 of its target's file."""
    return "".join(f"{line(one)}\n" for one in told(item.least(level) for item in checked))


def line(one: Told) -> str:
    finding = one.finding
    row, column = (max(1, finding.place.line), max(1, finding.place.column)) if finding.place else (1, 1)
    said = " ".join(fact(finding).split())
    return one_line(f"{file_of(one)}:{row}:{column}: {finding.level} {finding.rule} {said}")


def github(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Workflow commands: GitHub shows each beside its line of a pull request."""
    return "".join(f"{command(one)}\n" for one in told(item.least(level) for item in checked))


def command(one: Told) -> str:
    finding = one.finding
    where = {"file": shown_path(file_of(one))}
    if finding.place and finding.place.line:
        where |= {"line": str(finding.place.line), "col": str(max(1, finding.place.column))}
    said = ",".join(f"{name}={property_text(value)}" for name, value in {**where, "title": finding.rule}.items())
    return f"::{COMMANDS[finding.level]} {said}::{message_text(whole(finding))}"


def message_text(text: str) -> str:
    """A text in the form in which a workflow command holds it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_text(text: str) -> str:
    return message_text(text).replace(":", "%3A").replace(",", "%2C")


# ------------------------------------------------------------ what both say
def whole(finding: Finding) -> str:
    """The fact, the cure and the fixes, a line each."""
    helped = [f"help: {finding.help}"] if finding.help else []
    fixes = [f"{title(number, fix)}: {fix.description}" for number, fix in enumerate(finding.fixes, start=1)]
    return "\n".join([fact(finding), *helped, *fixes])


def fact(finding: Finding) -> str:
    """The message with the paths in the net that it is about."""
    paths = ", ".join(filter(None, [finding.path, *finding.also]))
    return f"{finding.message} (at {paths})" if paths else finding.message


def file_of(one: Told) -> str:
    """The file that a finding is about; of a target without a file, its name."""
    return one.finding.place.file if one.finding.place else file_of_target(one.target)


def file_of_target(target: str) -> str:
    """`net.yaml:small` and `net.py:Net` without what follows the file."""
    file, colon, _ = target.rpartition(":")
    return file if colon and file.endswith((".yaml", ".yml", ".py")) else target


def shown_path(file: str) -> str:
    """A file from the current directory, where it lies below, with slashes."""
    path = Path(os.path.abspath(file))
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()
