"""The join: Trace + costs + places → Report (rows, totals, findings) → outline and breakdowns for the renderings."""

from archscope.report.document import finding_data
from archscope.report.findings import from_failure, from_mismatch, from_problem
from archscope.report.model import Checked, Finding, Fix, PricedRow, Report, Total, Views, join
from archscope.report.outline import Line, breakdown, leaves, outline, prune, unfolded

__all__ = [
    "Checked",
    "Finding",
    "Fix",
    "Line",
    "PricedRow",
    "Report",
    "Total",
    "Views",
    "breakdown",
    "finding_data",
    "from_failure",
    "from_mismatch",
    "from_problem",
    "join",
    "leaves",
    "outline",
    "prune",
    "unfolded",
]
