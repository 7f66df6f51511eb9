"""The report of one target, also of one that fails; and the findings of a net that fails in a command that needs it
to run. Reports, comparisons and cross-checks as text in the format that a command was asked for.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope import api
from archscope.cli import wording
from archscope.cli.formats import FORMATS_BY_NAME, render_function
from archscope.cli.options import library_options
from archscope.cli.output import ForwardCliError, write_output
from archscope.errors import ArchscopeError, ForwardError, SpecError, UsageError
from archscope.render import comparisons, crosschecks, findings, json_csv, notebook_views, table, table_content

if TYPE_CHECKING:
    from archscope.counters.differences import CrossCheck
    from archscope.render.table_content import TableOptions
    from archscope.report import Report
    from archscope.report_comparison import Comparison


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
            write_output(json_csv.format_json(error.report.to_dict()), output)
        raise


def broken_report(target: str, options: Mapping[str, Any]) -> Report | None:
    """Return the report of a net that fails; None if it runs, or if there is no report."""
    try:
        report = partial_report(target, {name: options[name] for name in RUN_OPTION_NAMES})
    except ArchscopeError:
        return None
    return report if report.broken else None


def format_report(report: Report, command: str, table_options: TableOptions, format: str, quiet: bool = False) -> str:
    if format == "json":
        return json_csv.format_json(
            report.to_dict() if command == "summary" else json_csv.flops_document(report, table_options)
        )
    if format == "csv":
        return (json_csv.summary_csv if command == "summary" else json_csv.flops_csv)(report, table_options)
    page = (table_content.summary_sheet if command == "summary" else table_content.flops_sheet)(report, table_options)
    return format_sheet(add_findings(page, [report], format, quiet), format)


def add_findings(page: Any, reports: Sequence[Report], format: str, quiet: bool) -> Any:
    """Return the page with its findings; a table has the errors only, since standard error has the others."""
    level, width = (
        ("error", notebook_views.terminal_width()) if format == "table" else ("error" if quiet else "note", 80)
    )
    return notebook_views.with_findings(page, reports, level=level, width=width)


def format_comparison(comparison: Comparison, table_options: TableOptions, format: str, quiet: bool = False) -> str:
    if format == "json":
        return json_csv.format_json(comparison.to_dict())
    if format == "csv":
        return json_csv.comparison_csv(comparison, table_options)
    return format_sheet(
        add_findings(comparisons.comparison_sheet(comparison, table_options), comparison.reports, format, quiet), format
    )


def format_cross_check(check: CrossCheck, format: str, quiet: bool = False) -> str:
    if format == "json":
        return json_csv.format_json(check.to_dict())
    if format == "csv":
        return crosschecks.cross_check_csv(check)
    return format_sheet(add_findings(crosschecks.cross_check_sheet(check), [check.report], format, quiet), format)


def format_sheet(page: Any, format: str) -> str:
    page = wording.reword_sheet(page)
    if writer := FORMATS_BY_NAME[format].sheet:
        return render_function(writer)(page)
    return table.format_table(page, width=notebook_views.terminal_width())


def join_documents(texts: Sequence[str], format: str, *, of: int) -> str:
    """Return the documents of several targets as one. of: the number of targets."""
    if of == 1:
        return texts[0]
    if format == "csv":
        raise UsageError("CSV holds one target", "name one, or use --compare")
    return f"[{','.join(text.rstrip() for text in texts)}]\n" if format == "json" else "\n".join(texts)
