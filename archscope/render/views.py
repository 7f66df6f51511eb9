"""How reports, and what is made of them, show themselves in a session or a notebook: the Views that api hands them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from archscope.comparison import Comparison
from archscope.render import comparisons, crosschecks, findings, html, sheet, table
from archscope.report import Report, Views


def terminal_width() -> int:
    """The terminal's columns (`COLUMNS` goes first), 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def shown_as(laid: Callable[[Any], sheet.Sheet]) -> Views:
    """The views of what is one table."""
    return Views(
        lambda it: table.text(laid(it), width=terminal_width()).rstrip("\n"),
        lambda it: html.text(laid(it)),
    )


def with_findings(page: sheet.Sheet, reports: Sequence[Report], *, level: str = "note", width: int = 80) -> sheet.Sheet:
    """The sheet with the findings of its reports, down to a level, below it."""
    return replace(page, found="".join(findings.of(report, level=level, width=width) for report in reports))


def report_text(report: Report) -> str:
    width = terminal_width()
    return table.text(with_findings(sheet.summary(report), [report], width=width), width=width).rstrip("\n")


def report_html(report: Report) -> str:
    return html.text(with_findings(sheet.summary(report), [report]))


def errors_text(report: Report) -> str:
    return findings.of(report, level="error").rstrip("\n")


def comparison_text(compared: Comparison) -> str:
    width = terminal_width()
    page = with_findings(comparisons.sheet(compared), compared.reports, level="error", width=width)
    return table.text(page, width=width).rstrip("\n")


def comparison_html(compared: Comparison) -> str:
    return html.text(with_findings(comparisons.sheet(compared), compared.reports, level="error"))


REPORT = Views(report_text, report_html, errors_text)
COMPARISON = Views(comparison_text, comparison_html)
CROSS_CHECK = shown_as(crosschecks.sheet)
