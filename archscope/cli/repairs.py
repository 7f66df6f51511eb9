"""`check --fix` and `check --diff`: Repairs → files written whole, or their changes as one unified diff.

A file is written only if it still holds what was checked; its line ends and its mode are kept.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.output import Refusal, write_whole
from archscope.errors import UsageError
from archscope.report import Checked, Fix

if TYPE_CHECKING:
    from archscope.api import Repair

AGAIN = "run check again: it looks at the file as it is now"


def wanted(fix: bool, diff: bool, options: Mapping[str, Any]) -> bool:
    """Whether repairs are wanted at all. Raises UsageError for wishes that exclude each other."""
    if fix and diff:
        raise UsageError("--fix and --diff in one call", "--diff shows what --fix would write")
    if (fix or diff) and (options["set"] or options["input"] is not None):
        cure = "leave --set and --input out; only specs are mended, Python code is not"
        raise UsageError("a file is mended at its own sizes", cure)
    return fix or diff


def tell_unmended(repairs: Iterable[Repair]) -> None:
    """Says on standard error where nothing could be changed though something is wrong."""
    for repair in repairs:
        if not repair.fixes and any(item.errors().findings for item in repair.checked):
            click.echo(f"{repair.target}: no checked fix (only specs are changed)", err=True)


def write(repairs: Iterable[Repair]) -> None:
    """Writes every changed file, and says on standard error what was changed."""
    for repair in repairs:
        for file, text in repair.after.items():
            write_file(file, repair.before[file], text)
        for fix in repair.fixes:
            click.echo(f"{fix.file}: fixed: {fix.description}", err=True)


def write_file(file: str, before: str, after: str) -> None:
    """Raises UsageError where the file has changed meanwhile, Refusal where it cannot be written."""
    from archscope.spec.edits import with_ends_of

    path = Path(file)
    try:
        data = path.read_bytes()
        if data.decode("utf-8-sig", errors="replace") != before:
            raise UsageError(f"{file} has changed since it was checked; nothing was written to it", AGAIN)
        mark = "\ufeff" if data.startswith(codecs.BOM_UTF8) else ""
        write_whole(path, mark + with_ends_of(after, before))
    except OSError as error:
        raise Refusal(f"cannot write {file}: {(error.strerror or str(error)).lower()}") from None


def diff_of(repairs: Iterable[Repair]) -> str:
    return "".join(repair.diff for repair in repairs)


def checked_of(repairs: Iterable[Repair]) -> list[Checked]:
    """What is found after the repairs."""
    return [item for repair in repairs for item in repair.checked]


def mended(repairs: Iterable[Repair]) -> Sequence[Fix]:
    return [fix for repair in repairs for fix in repair.fixes]
