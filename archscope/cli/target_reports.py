"""The report of one target, also of one that fails; and the findings of a net that fails in a command that needs it
to run.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from archscope import api
from archscope.cli import wording
from archscope.cli.options import library_options
from archscope.cli.output import ForwardCliError, write_output
from archscope.errors import ArchscopeError, ForwardError, SpecError

if TYPE_CHECKING:
    from archscope.report import Report

RUN_OPTION_NAMES = ("set", "arg", "input", "batch", "device", "dtype", "train", "seed", "allow_python", "verbose")
"""The options of a run."""


def partial_report(target: str, options: Mapping[str, Any]) -> Report:
    """Return the report; after a failed forward pass, that of the rows that ran."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the model's own output is not part of the report
            return wording.reword_report(api.summarize(target, **library_options(options)))
    except ForwardError as error:
        return wording.reword_report(error.report)


@contextlib.contextmanager
def failures_explained(target: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Replace the error of a net whose shapes do not fit by a ForwardCliError with the findings that `summary` shows.

    options: of a run, with one value each.
    """
    try:
        yield
    except (SpecError, ForwardError):
        report = broken_report(target, options)
        if report is None:
            raise
        from archscope.render import findings, notebook_views

        text = findings.format_report_findings([report], level="error", width=notebook_views.terminal_width())
        raise ForwardCliError(text.rstrip("\n"), report) from None


@contextlib.contextmanager
def failures_as_document(format: str, output: str | None) -> Iterator[None]:
    """A context that writes the report of a net that does not run as JSON, as `summary` does, before the error is
    raised further; if another format is asked for, it writes nothing."""
    try:
        yield
    except ForwardCliError as error:
        if format == "json" and error.report is not None:
            from archscope.render import json_csv

            write_output(json_csv.format_json(error.report.to_dict()), output)
        raise


def broken_report(target: str, options: Mapping[str, Any]) -> Report | None:
    """Return the report of a net that fails; None if it runs, or if there is no report."""
    try:
        report = partial_report(target, {name: options[name] for name in RUN_OPTION_NAMES})
    except ArchscopeError:
        return None
    return report if report.broken else None
