"""The Report of one recorded run: rows with their costs, totals, findings and receptive fields."""

from archscope.report.document import finding_json
from archscope.report.findings import FIRST_FIX_PATH, Finding, Fix, WalkStep, finding_from_problem, problem_findings
from archscope.report.report import LEVELS, Checked, CostFigures, PricedRow, Report, ReportViews, Total, build_report
from archscope.report.request import Request, make_request, parse_options, set_text
from archscope.trace_index import ASSUMED, FAILS, UNRUN

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
    "PricedRow",
    "Report",
    "ReportViews",
    "Request",
    "Total",
    "WalkStep",
    "build_report",
    "finding_from_problem",
    "finding_json",
    "make_request",
    "parse_options",
    "problem_findings",
    "set_text",
]
