"""The output of `check`: text, a document for machines, or a baseline; also of mistakes in the project's settings."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from archscope import api, config
from archscope.cli.formats import FORMATS_BY_NAME, MACHINE_FORMATS, render_function
from archscope.cli.options import library_options
from archscope.cli.output import EXIT_WRONG, echo, write_output
from archscope.cli.output_files import refuse_outputs
from archscope.cli.project_settings import with_project_settings
from archscope.cli.wording import reword
from archscope.errors import UsageError
from archscope.report import Checked, Finding

INPUT_KEYWORD = re.compile(r"\binput=")
NO_INPUT_KEY = (
    f"{config.CONFIG_FILE} has no key for inputs: take it out of specs there, and check it by name, with --input"
)


def run_check(
    wanted: Sequence[str],
    project: config.Config,
    options: Mapping[str, Any],
    *,
    named: bool,
    saving: bool,
    repairing: bool = False,
) -> list[Any]:
    """Return the results of the library's `check`, or of its `repair`.

    named: the command line names the targets, and not the project.
    """
    call = api.repair if repairing else api.check
    is_explicit = named or options["input"] is not None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = list(call(*wanted, **library_options(with_project_settings(options, project, saving=saving))))
    except UsageError as error:
        if is_explicit:
            raise
        raise UsageError(error.message, input_key_help(error.help), error.place) from None
    return found if is_explicit or repairing else [with_input_key_help(item) for item in found]


def input_key_help(help: str) -> str:
    """Return a help on an input with the key of pyproject.toml that gives it."""
    return f"{help}; {NO_INPUT_KEY}" if INPUT_KEYWORD.search(help) else help


def with_input_key_help(item: Any) -> Any:
    """Return the result for a target of the project, with such help."""
    return replace(item, findings=tuple(replace(f, help=input_key_help(f.help)) for f in item.findings))


@contextlib.contextmanager
def errors_as_document(
    format: str, level: str, output: str | None, *, baseline: str | None, files: Iterable[str | None]
) -> Iterator[None]:
    """Print an error in the project's settings, or in its baseline, as a document, if the format is one for machines.

    baseline: that of the command line. files: other files that are read or written, to which no document is written.
    """
    try:
        yield
    except UsageError as error:
        if error.place is None or error.place.file == baseline or format not in MACHINE_FORMATS:
            raise
        refuse_outputs([output], filter(None, [error.place.file, *files]))
        file = os.path.relpath(error.place.file)
        place = replace(error.place, file=file)
        finding = Finding("spec", "error", error.message, place=place, help=reword(error.help))
        write_output(format_checked([Checked(file, (finding,))], format, level, quiet=False), output)
        click.get_current_context().exit(EXIT_WRONG)


def baseline_document(checked: Sequence[Checked]) -> str:
    """Return the reports of all targets that run; names the others on standard error."""
    from archscope.render import json_csv

    able = {item.target: item.report for item in checked if item.report and not item.report.broken}
    ran = {target: report for target, report in able.items() if report.trace.finished}
    if not ran:
        raise UsageError("no target runs, so there is no baseline to save", "fix what check finds first")
    for item in checked:
        if item.target not in ran:
            why = "did not run" if item.report is None else "does not run"
            echo(f"not in the baseline, since it {why}: {item.target}", err=True)
    return json_csv.format_json([report.to_dict() for report in ran.values()])


def format_checked(checked: Sequence[Checked], format: str, level: str, *, quiet: bool) -> str:
    from archscope.render import findings, json_csv, notebook_views

    least = "error" if quiet else level
    if format == "json":
        return json_csv.format_json(json_csv.findings_document([item.least(least) for item in checked]))
    if writer := FORMATS_BY_NAME[format].checked:
        return render_function(writer)(checked, level=least)
    return findings.format_check_report(checked, level=least, width=notebook_views.terminal_width(), quiet=quiet)
