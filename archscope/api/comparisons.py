"""`compare`: reports side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from archscope.analysis.comparisons import compare_targets
from archscope.api.keyword_checks import validate_keywords
from archscope.api.summaries import summarize

if TYPE_CHECKING:
    from archscope.report_comparison import Comparison


@validate_keywords(summarize)
def compare(*wanted: Any, against: str | None = None, **options: Any) -> Comparison:
    """Return the reports of several targets side by side, with ratios to the first; a spec stands for all its
    variants.

    wanted: targets, or mappings of names to targets. against: the name or target that ratios refer to instead of the
    first. `options` are those of `summarize`. A net whose forward pass fails is compared by the rows that ran; of one
    without an input only the parameters are known. Raises the other errors of `summarize`.
    """
    return compare_targets(wanted, partial(summarize, **options), against)
