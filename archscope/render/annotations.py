"""Findings for machines: one line each for editors and scripts, or one workflow command each for GitHub.

    net.yaml:12:5: error residual-shape the two sides cannot be added (at layer2.0.add)
    ::error file=net.yaml,line=12,col=5,title=residual-shape::the two sides cannot be added (at layer2.0.add)

Equal findings are printed once, as in the table; lines are not wrapped, and nothing else is printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from archscope.errors import escape_one_line
from archscope.render.findings import fix_title
from archscope.render.folding import FoldedFinding, fold_findings
from archscope.report import Checked, Finding

GITHUB_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def format_lines(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Return lines `file:line:column: level code message`; 1:1 of the target's file without a location."""
    return "".join(f"{format_line(one)}\n" for one in fold_findings(item.least(level) for item in checked))


def format_line(one: FoldedFinding) -> str:
    finding = one.finding
    row, column = (max(1, finding.place.line), max(1, finding.place.column)) if finding.place else (1, 1)
    message = " ".join(message_with_paths(finding).split())
    return escape_one_line(f"{finding_file(one)}:{row}:{column}: {finding.level} {finding.rule} {message}")


def format_github(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Return workflow commands, which GitHub shows beside the lines of a pull request."""
    return "".join(f"{github_command(one)}\n" for one in fold_findings(item.least(level) for item in checked))


def github_command(one: FoldedFinding) -> str:
    finding = one.finding
    where = {"file": display_path(finding_file(one))}
    if finding.place and finding.place.line:
        where |= {"line": str(finding.place.line), "col": str(max(1, finding.place.column))}
    said = ",".join(f"{name}={escape_property(value)}" for name, value in {**where, "title": finding.rule}.items())
    return f"::{GITHUB_LEVELS[finding.level]} {said}::{escape_message(full_message(finding))}"


def escape_message(text: str) -> str:
    """Return a text escaped for a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    return escape_message(text).replace(":", "%3A").replace(",", "%2C")


# ------------------------------------------------------------ what both say
def full_message(finding: Finding) -> str:
    """Return the message, the help and the fixes, a line each."""
    helped = [f"help: {finding.help}"] if finding.help else []
    fixes = [f"{fix_title(number, fix)}: {fix.description}" for number, fix in enumerate(finding.fixes, start=1)]
    return "\n".join([message_with_paths(finding), *helped, *fixes])


def message_with_paths(finding: Finding) -> str:
    """Return the message with the paths of the layers that it is about."""
    paths = ", ".join(filter(None, [finding.path, *finding.also]))
    return f"{finding.message} (at {paths})" if paths else finding.message


def finding_file(one: FoldedFinding) -> str:
    """Return the file of a finding; of a target without a file, its name."""
    return one.finding.place.file if one.finding.place else target_file(one.target)


def target_file(target: str) -> str:
    """Return the file of `net.yaml:small` or `net.py:Net`."""
    file, colon, _ = target.rpartition(":")
    return file if colon and file.endswith((".yaml", ".yml", ".py")) else target


def display_path(file: str) -> str:
    """Return a file with slashes, relative to the current directory if it is below that."""
    path = Path(os.path.abspath(file))
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()
