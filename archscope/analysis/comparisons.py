"""The reports of several targets side by side → Comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from archscope.errors import ForwardError
from archscope.render import comparisons
from archscope.report import Report
from archscope.report_comparison import Comparison, compare_reports
from archscope.spec.target_names import list_variants, split_target

Summarize = Callable[[Any], Report]


def compare_targets(wanted: Sequence[Any], summarize: Summarize, against: str | None) -> Comparison:
    """Return the comparison of targets, or mappings of names to targets; a spec stands for all its variants.

    against: the name or target that ratios refer to.
    """
    named = [pair for target in wanted for pair in named_targets(target)]
    reports = [report_so_far(target, summarize) for _, target in named]
    names = [name for name, _ in named]
    return compare_reports(reports, views=comparisons.COMPARISON_VIEWS, names=names, against=against)


def named_targets(target: Any) -> Iterator[tuple[str, Any]]:
    """Yield each target with its name, or with "" if it has none; variants of a named spec get names of their own."""
    for name, value in target.items() if isinstance(target, Mapping) else [("", target)]:
        found: list[Any] = list_variants(value) if isinstance(value, str) else [value]
        for variant in found:
            parts = split_target(variant) if isinstance(variant, str) else None
            title = f"{name}:{parts[1]}" if parts and len(found) > 1 else str(name)
            yield (title if name else ""), variant


def report_so_far(target: Any, summarize: Summarize) -> Report:
    """Return the report of a target; after a failed forward pass, that of the rows that ran."""
    try:
        return summarize(target)
    except ForwardError as error:
        return error.report
