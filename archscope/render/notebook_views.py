"""The texts of reports and their derivatives in a session or a notebook: the ReportViews that `api` gives them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from archscope.errors import KeywordError, UsageError, did_you_mean
from archscope.render import findings, html, table, table_content
from archscope.render.columns import COLUMN_NAMES
from archscope.report import Report, ReportViews


def terminal_width() -> int:
    """Return the number of the terminal's columns (`COLUMNS` overrides it), 80 without a terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def sheet_views(laid: Callable[[Any], table_content.Sheet]) -> ReportViews:
    """Return the views of an object that is shown as one table."""
    return ReportViews(
        lambda shown: table.format_table(laid(shown), width=terminal_width()).rstrip("\n"),
        lambda shown: html.format_html(laid(shown)),
    )


def with_findings(
    page: table_content.Sheet, reports: Sequence[Report], *, level: str = "note", width: int = 80
) -> table_content.Sheet:
    """Return the sheet with the findings of its reports, down to a level, below it."""
    return replace(page, findings_text=findings.format_report_findings(reports, level=level, width=width))


def report_text(report: Report) -> str:
    width = terminal_width()
    page = replace(table_content.summary_sheet(report), help=COLUMNS_HELP)
    return table.format_table(with_findings(page, [report], width=width), width=width).rstrip("\n")


def report_html(report: Report) -> str:
    return html.format_html(with_findings(table_content.summary_sheet(report), [report]))


def errors_text(report: Report) -> str:
    return findings.format_report_findings([report], level="error").rstrip("\n")


def check_column_names(columns: Sequence[str], sort: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns; a string is one name. Raises UsageError for an unknown one."""
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in (*names, *filter(None, [sort])):
        if name not in known:
            raise UsageError(f"no column {name!r}", did_you_mean(name, known) or f"columns: {', '.join(known)}")
    return names


def report_table(
    report: Report,
    *,
    depth: int | None = None,
    columns: Sequence[str] = (),
    sort: str = "",
    expand: bool = False,
    **unknown: object,
) -> str:
    """Return the table alone with these options. Raises UsageError for an invalid value, KeywordError for an unknown
    option.
    """
    for name in unknown:
        raise KeywordError.unknown("table", name, TABLE_KEYWORDS, TABLE_KEYWORD_HELP)
    names = check_column_names(columns, sort, COLUMN_NAMES)
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise UsageError(f"a depth is a whole number from 1, not {depth!r}", "depth=2")
    page = table_content.summary_sheet(report, table_content.TableOptions(names, depth, sort, expand))
    return table.format_table(replace(page, help=COLUMNS_HELP), width=terminal_width()).rstrip("\n")


TABLE_KEYWORDS = ("columns", "depth", "expand", "sort")
TABLE_KEYWORD_HELP = {
    "max_depth": "depth=2",
    "col_names": 'columns=("path", "output", "params", "macs")',
    "width": "the table is as wide as the terminal, which the environment variable COLUMNS overrides",
    "col_width": "the table is as wide as the terminal, which the environment variable COLUMNS overrides",
    "format": "a table is text; archscope summary --format markdown, csv, json or html writes the others",
}
"""Keywords of other tools and of the command line → the help."""
COLUMNS_HELP = "report.table(columns=…) chooses"
REPORT_VIEWS = ReportViews(report_text, report_html, errors_text, report_table)
