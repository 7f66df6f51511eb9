"""`check --fix` and `check --diff`: Repairs are written to their files, or printed as one unified diff.

A file is written only if it still has the text that was checked; its line ends and its mode are kept. With `-o`, the
fixed spec is written there, and the file is not changed.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.output import (
    changed_file_error,
    echo,
    refuse_unwritable,
    unwritable_error,
    write_atomically,
    write_output,
)
from archscope.errors import UsageError
from archscope.spec.bundled_networks import TARGET_PREFIX
from archscope.spec.target_names import split_target
from archscope.spec.text_diff import with_line_endings

if TYPE_CHECKING:
    from archscope.api import Repair

FIX_EACH = -1
"""The value of `--fix` without a number: the first fix of each conflict that changes nothing else."""


class FixCommand(click.Command):
    """A command whose `--fix` may be followed by a number; anything else after it is a target."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments with `--fix` and its number joined."""
        given: list[str] = []
        for position, argument in enumerate(args):
            if given[-1:] == [f"--fix={FIX_EACH}"] and args[position - 1] == "--fix" and argument.isdecimal():
                given[-1] = f"--fix={argument}"
            else:
                given.append(f"--fix={FIX_EACH}" if argument == "--fix" else argument)
        return super().parse_args(ctx, given)


def is_repair_wanted(fix: int | None, diff: bool, options: Mapping[str, Any]) -> bool:
    """Return whether `--fix` or `--diff` is given. Raises UsageError for options that exclude each other."""
    if fix is not None and diff:
        raise UsageError("--fix and --diff in one call", "--diff shows what --fix would write")
    if (fix is not None or diff) and (options["set"] or options["arg"] or options["input"] is not None):
        suggestion = "leave --set, --arg and --input out; --fix changes specs, not Python code"
        raise UsageError("--fix changes a file for its own sizes alone", suggestion)
    return fix is not None or diff


def echo_unfixed(repairs: Iterable[Repair]) -> None:
    """Report on standard error which targets have errors and were not changed, and which fixes there are."""
    for repair in repairs:
        left = [finding for item in repair.checked for finding in item.errors().findings]
        choices = next((finding.fixes for finding in left if finding.fixes), ())
        if choices and choices[0].outside and is_spec_target(repair.target):
            echo(f"{repair.target}: fix 1 changes more than the block of the conflict; choose one:", err=True)
            for number, fix in enumerate(choices, start=1):
                echo(f"  --fix {number}  {fix.description}", err=True)
        elif not repair.fixes and left:
            why = "no checked fix" if is_spec_target(repair.target) else "only specs are changed, Python code is not"
            echo(f"{repair.target}: {why}", err=True)


def is_spec_target(target: str) -> bool:
    return split_target(target) is not None


def write_repairs(repairs: Sequence[Repair], output: str | None = None) -> None:
    """Write every changed file, or the one fixed spec to `output`, and report the fixes on standard error.

    Raises UsageError if `output` cannot hold all of it, nothing was fixed, or a file cannot be written.
    """
    steps = [(file, repair.before[file], text) for repair in repairs for file, text in repair.after.items()]
    latest = {file: (before, after) for file, before, after in steps}
    if output is not None:
        if len(latest) != 1:
            names = ", ".join(latest) or "no file"
            raise UsageError(f"-o takes one fixed spec; {names} would change", "name one target that can be fixed")
        (file, (before, after)), target = next(iter(latest.items())), repairs[0].target
        if not target.startswith(file.removesuffix(".yaml") if file.startswith(TARGET_PREFIX) else file):
            raise UsageError(f"the fix of {target} changes {file}", "leave -o out, or check that file")
        write_output(fixed_text(before, after), output, verbatim=True)
    else:
        first = {file: before for file, before, _ in reversed(steps)}
        for file in latest:  # all are checked before the first is written
            read_unchanged(file, first[file])
        for file, (_, after) in latest.items():
            write_file(file, first[file], after)
    for repair in repairs:
        for fix in repair.fixes:
            echo(f"{output if output not in (None, '-') else fix.file}: fixed: {fix.description}", err=True)


def fixed_text(before: str, after: str) -> str:
    """Return a fixed text with the line ends of its file."""
    return with_line_endings(after, before)


def write_file(file: str, before: str, after: str) -> None:
    """Write one file. Raises UsageError if it comes with archscope, has changed meanwhile or cannot be written."""
    content = read_unchanged(file, before)
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    try:
        write_atomically(Path(file), mark + fixed_text(before, after).encode(), instead_of=content)
    except OSError as error:
        raise unwritable_error(file, error) from None


def read_unchanged(file: str, before: str) -> bytes:
    """Return the content of a file. Raises UsageError if it is not the text that was read, as `write_file` does."""
    if file.startswith(TARGET_PREFIX):
        raise UsageError(f"{file} comes with archscope and is not changed", "-o FILE writes the changed spec to FILE")
    refuse_unwritable(file)
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise unwritable_error(file, error) from None
    if data.decode("utf-8-sig", errors="replace") != before:
        raise changed_file_error(file)
    return data
