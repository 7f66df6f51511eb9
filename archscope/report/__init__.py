"""The Report of one recorded run: rows with their costs, totals, findings, the outline and breakdowns."""

from archscope.report.document import finding_json
from archscope.report.findings import FIRST_FIX_PATH, Finding, Fix, WalkStep, finding_from_problem
from archscope.report.outline import breakdown, full_outline, outline
from archscope.report.outline_lines import OutlineLine, detach_lines, leaf_lines, prune_lines, walk_lines
from archscope.report.report import LEVELS, Checked, CostFigures, PricedRow, Report, ReportViews, Total, build_report
from archscope.report.request import Request, make_request, parse_options, set_text
from archscope.report.soundness import ASSUMED, FAILS, UNRUN

__all__ = [
    "ASSUMED",
    "FAILS",
    "FIRST_FIX_PATH",
    "LEVELS",
    "UNRUN",
    "Checked",
    "CostFigures",
    "Finding",
    "Fix",
    "OutlineLine",
    "PricedRow",
    "Report",
    "ReportViews",
    "Request",
    "Total",
    "WalkStep",
    "breakdown",
    "build_report",
    "detach_lines",
    "finding_from_problem",
    "finding_json",
    "full_outline",
    "leaf_lines",
    "make_request",
    "outline",
    "parse_options",
    "prune_lines",
    "set_text",
    "walk_lines",
]
