"""The join: Trace + costs + places → Report (rows, totals, findings) → outline and breakdowns for the renderings."""

from archscope.report.document import finding_data
from archscope.report.findings import MEANT, Finding, Fix, Link, from_problem
from archscope.report.lines import Line, apart, leaves, prune, walk
from archscope.report.model import LEVELS, Checked, Figures, PricedRow, Report, Total, Views, join
from archscope.report.outline import breakdown, outline, unfolded
from archscope.report.request import Request, options_of, request, set_text
from archscope.report.soundness import ASSUMED, FAILS, UNRUN

__all__ = [
    "ASSUMED",
    "FAILS",
    "LEVELS",
    "MEANT",
    "UNRUN",
    "Checked",
    "Figures",
    "Finding",
    "Fix",
    "Line",
    "Link",
    "PricedRow",
    "Report",
    "Request",
    "Total",
    "Views",
    "apart",
    "breakdown",
    "finding_data",
    "from_problem",
    "join",
    "leaves",
    "options_of",
    "outline",
    "prune",
    "request",
    "set_text",
    "unfolded",
    "walk",
]
