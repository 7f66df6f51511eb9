"""Reports, comparisons and cross-checks as text in the format that a command was asked for.

Commands import this module when they have something to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archscope.cli import wording
from archscope.cli.formats import FORMATS_BY_NAME, render_function
from archscope.comparison import Comparison
from archscope.counters.differences import CrossCheck
from archscope.errors import UsageError
from archscope.render import comparisons, crosschecks, json_csv, notebook_views, table, table_content
from archscope.render.table_content import TableOptions
from archscope.report import Report


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
