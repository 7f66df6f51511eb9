"""How reports and comparisons show themselves in a session or a notebook: the Views that api hands them."""

from __future__ import annotations

import shutil

from archscope.comparison import Comparison
from archscope.crosscheck import CrossCheck
from archscope.render import crosschecks, devices, findings, grids, html, sheet, table, timings
from archscope.report import Report, Views
from archscope.roofline import Ceilings
from archscope.timing import Grid, Timing


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


def cross_check_text(check: CrossCheck) -> str:
    return table.text(crosschecks.sheet(check), width=terminal_width()).rstrip("\n")


def cross_check_html(check: CrossCheck) -> str:
    return html.text(crosschecks.sheet(check))


def timing_text(timing: Timing) -> str:
    return table.text(timings.sheet(timing), width=terminal_width()).rstrip("\n")


def timing_html(timing: Timing) -> str:
    return html.text(timings.sheet(timing))


def grid_text(grid: Grid) -> str:
    return table.text(grids.sheet(grid), width=terminal_width()).rstrip("\n")


def grid_html(grid: Grid) -> str:
    return html.text(grids.sheet(grid))


def ceilings_text(ceilings: Ceilings) -> str:
    return table.text(devices.sheet(ceilings), width=terminal_width()).rstrip("\n")


REPORT = Views(report_text, report_html)
COMPARISON = Views(comparison_text, comparison_html)
CROSS_CHECK = Views(cross_check_text, cross_check_html)
TIMING = Views(timing_text, timing_html)
GRID = Views(grid_text, grid_html)
