"""How reports, and what is made of them, show themselves in a session or a notebook: the Views that api hands them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from archscope.render import crosschecks, findings, html, sheet, table
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


def report_text(report: Report) -> str:
    found = findings.text(report.findings, target=report.target, width=terminal_width())
    return "\n".join(filter(None, [table.text(sheet.summary(report), width=terminal_width()), found])).rstrip("\n")


def report_html(report: Report) -> str:
    found = findings.text(report.findings, target=report.target)
    return html.text(sheet.summary(report)) + (html.preformatted(found) if found else "")


REPORT = Views(report_text, report_html)
COMPARISON = shown_as(sheet.comparison)
CROSS_CHECK = shown_as(crosschecks.sheet)
