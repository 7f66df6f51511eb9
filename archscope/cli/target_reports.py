"""One report of a target, as far as it runs; and the findings of a net that has to run and does not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from archscope.cli import wording
from archscope.cli.options import library_options
from archscope.cli.output import ForwardCliError, write_output
from archscope.errors import ArchscopeError, ForwardError, SpecError

if TYPE_CHECKING:
    from archscope.report import Report

RUN_OPTION_NAMES = ("set", "arg", "input", "batch", "device", "dtype", "train", "seed", "allow_python", "verbose")
"""The options of a run."""


def partial_report(target: str, options: Mapping[str, Any]) -> Report:
    """The report; of a forward pass that failed, what ran so far."""
    from archscope import api

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the model itself prints is no part of the report
            return wording.reword_report(api.summarize(target, **library_options(options)))
    except ForwardError as error:
        if error.report is None:
            raise
        return wording.reword_report(error.report)  # type: ignore[arg-type]  # errors.py stands below the Report


@contextlib.contextmanager
def failures_explained(target: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Raises ForwardCliError where a net that has to run does not, since its shapes do not fit, with its findings as
    `summary` has them, instead of what the library says. options: of a run, with one value each."""
    try:
        yield
    except (SpecError, ForwardError):
        report = broken_report(target, options)
        if report is None:
            raise
        from archscope.render import findings, views

        told = findings.format_report_findings([report], level="error", width=views.terminal_width())
        raise ForwardCliError(told.rstrip("\n"), report) from None


@contextlib.contextmanager
def failures_as_document(format: str, output: str | None) -> Iterator[None]:
    """Where JSON is wanted of a net that has to run and does not, its report is written, as `summary` writes it, before
    the exception goes on."""
    try:
        yield
    except ForwardCliError as error:
        if format == "json" and error.report is not None:
            from archscope.render import json_csv

            write_output(json_csv.format_json(error.report.to_dict()), output)
        raise


def broken_report(target: str, options: Mapping[str, Any]) -> Report | None:
    """The report of a net that does not run; None where it runs, or no report can be had."""
    try:
        report = partial_report(target, {name: options[name] for name in RUN_OPTION_NAMES})
    except ArchscopeError:
        return None
    return report if report.broken else None
