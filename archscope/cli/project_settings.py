"""The project's settings for `check` in pyproject.toml, used where the command line has no option.

specs → targets        select, ignore, budgets, baseline, tolerance, object → keyword arguments of api.check
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archscope.checks.selection import Selection
from archscope.cli.output import echo, file_mode
from archscope.config import CONFIG_FILE, Config, key_span, read_config_text
from archscope.errors import Span, UsageError
from archscope.spec.target_names import split_target

NO_TARGET_HELP = "name a spec, a folder of specs or net.py:Net, or list specs under [tool.archscope] in pyproject.toml"


def targets_or_project_specs(targets: Sequence[str], project: Config, *, allow_python: bool) -> tuple[str, ...]:
    """Return the targets, else the project's specs. Raises UsageError if there are none.

    Python targets of the project are left out and named on standard error, unless the command line allows them: the
    checkout may come from anybody.
    """
    if targets:
        return tuple(targets)
    found = [path for written in project.specs for path in expand_spec_entry(project, written)]
    if not found:
        raise UsageError("no target", NO_TARGET_HELP)
    skipped = [] if allow_python else list(filter(is_python_target, found))
    named = ", ".join(skipped)
    if len(skipped) == len(found):
        suggestion = f"--allow-python runs it, and so does archscope check {' '.join(skipped[:1])}"
        where = Span(project.file, 0, 0)
        raise UsageError(f"it names nothing but Python code, which was not run: {named}", suggestion, where)
    if skipped:
        echo(f"not run, since only {CONFIG_FILE} names it: {named}; --allow-python runs Python code", err=True)
    return tuple(path for path in found if path not in skipped)


def is_python_target(target: str) -> bool:
    return split_target(target) is None and not os.path.isdir(target)


def expand_spec_entry(project: Config, written: str) -> list[str]:
    """Return the paths of an entry of `specs`. Raises UsageError, with its place, for a path that does not exist."""
    path = path_from_here(project, written)
    found = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]
    if found and not (":" in written or os.path.exists(found[0])):  # `net.yaml:small` is not a file name
        text = read_config_text(Path(project.file))
        suggestion = "its entries are files, folders and patterns, from the folder of that file"
        raise UsageError(f"specs: there is no {written}", suggestion, key_span(text, project.file, "specs"))
    return found


def path_from_here(project: Config, path: str) -> str:
    """Return a path of the project relative to the current directory."""
    return os.path.relpath(project.resolve_path(path))


def with_project_settings(options: Mapping[str, Any], project: Config, *, saving: bool) -> dict[str, Any]:
    """Return the options, completed by those of the project.

    A baseline that is being written is not compared with, unless the command line names one.
    """
    check_codes(project)
    baseline = path_from_here(project, project.baseline) if project.baseline and not saving else None
    if baseline is not None and stat.S_ISFIFO(file_mode(baseline) or 0):
        raise UsageError("baseline: it is a pipe", "a file; only --baseline may name a pipe", Span(project.file, 0, 0))
    own = {
        "max_params": project.max_params,
        "max_macs": project.max_macs,
        "tolerance": project.tolerance,
        "baseline": baseline,
        "select": project.select,
        "ignore": project.ignore,
    }
    merged = {name: options[name] or value for name, value in own.items()}
    merged["tolerance"] = next((t for t in (options["tolerance"], project.tolerance) if t is not None), 0)
    if options["tolerance"] is not None and merged["baseline"] is None:
        raise UsageError("--tolerance without a baseline", "--baseline FILE names one")
    return {**options, **merged, "object_size": project.object}


def check_codes(project: Config) -> None:
    """Raise UsageError, with the file's name, for an unknown rule."""
    try:
        Selection.of(project.select, project.ignore)
    except UsageError as error:
        raise UsageError(error.message, error.help, Span(project.file, 0, 0)) from None
