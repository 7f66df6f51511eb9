"""How reports and comparisons show themselves in a session or a notebook: the Views that api hands them."""

from __future__ import annotations

import shutil

from archscope.comparison import Comparison
from archscope.render import findings, html, sheet, table
from archscope.report import Report, Views


def terminal_width() -> int:
    """The terminal's columns (`COLUMNS` goes first), 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def report_text(report: Report) -> str:
    found = findings.text(report.findings, target=report.target, width=terminal_width())
    return "\n".join(filter(None, [table.text(sheet.summary(report), width=terminal_width()), found])).rstrip("\n")


def report_html(report: Report) -> str:
    found = findings.text(report.findings, target=report.target)
    return html.text(sheet.summary(report)) + (html.preformatted(found) if found else "")


def comparison_text(comparison: Comparison) -> str:
    return table.text(sheet.comparison(comparison), width=terminal_width()).rstrip("\n")


def comparison_html(comparison: Comparison) -> str:
    return html.text(sheet.comparison(comparison))


REPORT = Views(report_text, report_html)
COMPARISON = Views(comparison_text, comparison_html)
