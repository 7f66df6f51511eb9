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
from archscope.render.findings import FoldedFinding, fix_title, fold_findings
from archscope.report import Checked, Finding

GITHUB_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def format_lines(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Return lines `file:line:column: level code message`; 1:1 of the target's file without a location."""
    return "".join(f"{format_line(folded)}\n" for folded in fold_findings(item.least(level) for item in checked))


def format_line(folded: FoldedFinding) -> str:
    finding = folded.finding
    row, column = (max(1, finding.place.line), max(1, finding.place.column)) if finding.place else (1, 1)
    message = " ".join(message_with_paths(finding).split())
    return escape_one_line(f"{finding_file(folded)}:{row}:{column}: {finding.level} {finding.rule} {message}")


def format_github(checked: Iterable[Checked], *, level: str = "warning") -> str:
    """Return workflow commands, which GitHub shows beside the lines of a pull request."""
    return "".join(f"{github_command(folded)}\n" for folded in fold_findings(item.least(level) for item in checked))


def github_command(folded: FoldedFinding) -> str:
    finding = folded.finding
    properties = {"file": display_path(finding_file(folded))}
    if finding.place and finding.place.line:
        properties |= {"line": str(finding.place.line), "col": str(max(1, finding.place.column))}
    properties["title"] = finding.rule
    properties_text = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items())
    return f"::{GITHUB_LEVELS[finding.level]} {properties_text}::{escape_message(full_message(finding))}"


def escape_message(text: str) -> str:
    """Return a text escaped for a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    return escape_message(text).replace(":", "%3A").replace(",", "%2C")


# ------------------------------------------------------------ for both formats
def full_message(finding: Finding) -> str:
    """Return the message, the help and the fixes, a line each."""
    helped = [f"help: {finding.help}"] if finding.help else []
    fixes = [f"{fix_title(number, fix)}: {fix.description}" for number, fix in enumerate(finding.fixes, start=1)]
    return "\n".join([message_with_paths(finding), *helped, *fixes])


def message_with_paths(finding: Finding) -> str:
    """Return the message with the paths of the layers that it is about."""
    paths = ", ".join(filter(None, [finding.path, *finding.also]))
    return f"{finding.message} (at {paths})" if paths else finding.message


def finding_file(folded: FoldedFinding) -> str:
    """Return the file of a finding; of a target without a file, its name."""
    return folded.finding.place.file if folded.finding.place else target_file(folded.target)


def target_file(target: str) -> str:
    """Return the file of `net.yaml:small` or `net.py:Net`."""
    file, colon, _ = target.rpartition(":")
    return file if colon and file.endswith((".yaml", ".yml", ".py")) else target


def display_path(file: str) -> str:
    """Return a file with slashes, relative to the current directory if it is below that."""
    path = Path(os.path.abspath(file))
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()
