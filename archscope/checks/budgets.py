"""Budgets: findings for each quantity of a Report that exceeds its limit, with the three largest layers.

"5M", 1_000_000_000 → WrittenFigure → CostBudget → budget-params, budget-macs where total > limit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.errors import UsageError
from archscope.graph.outline import full_outline
from archscope.graph.outline_lines import OutlineLine, leaf_lines
from archscope.report import Finding, Report
from archscope.units import WrittenFigure

TOP_LAYERS = 3


@dataclass(frozen=True)
class CostBudget:
    """The upper limits of a target; None means no limit."""

    max_params: WrittenFigure | None = None
    max_macs: WrittenFigure | None = None

    @staticmethod
    def of(max_params: object, max_macs: object) -> CostBudget:
        """Return the budget from figures such as `5M`, integers, or None. Raises UsageError."""
        return CostBudget(parse_limit(max_params, "max_params"), parse_limit(max_macs, "max_macs"))


def parse_limit(value: object, name: str) -> WrittenFigure | None:
    try:
        return None if value is None else units.parse_limit(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}", f'for example {name}="5M"') from None


def find_over_budget(report: Report, budget: CostBudget) -> tuple[Finding, ...]:
    """Return findings for quantities over the budget, or that are unknown and cannot be judged."""
    return (*check_params_budget(report, budget.max_params), *check_macs_budget(report, budget.max_macs))


def check_params_budget(report: Report, most: WrittenFigure | None) -> Iterator[Finding]:
    count = report.total.params
    if most is not None and count > most.value:
        fact = f"{units.format_count(count)} parameters, {excess_text(count, most)}"
        yield budget_finding("params", fact, largest_layer_lines(report, lambda line: line.total.params))


def check_macs_budget(report: Report, most: WrittenFigure | None) -> Iterator[Finding]:
    """Yield a finding if the MACs exceed the budget, or are unknown. The known MACs are a lower bound, so they may
    exceed it."""
    known, partial = report.total.known, report.total.partial
    if most is None or (known <= most.value and not partial):
        return
    layers = largest_layer_lines(report, lambda line: line.total.known)
    if known > most.value:
        yield budget_finding(
            "macs", f"{'at least ' * partial}{units.format_count(known)} MACs, {excess_text(known, most)}", layers
        )
    elif report.trace.failure is None:
        yield unknown_macs_finding(report, most)


def excess_text(count: int, most: WrittenFigure) -> str:
    return f"{units.format_count(count - int(most.value))} more than the budget of {limit_text(most)}"


def limit_text(most: WrittenFigure) -> str:
    """Return a limit as it was written; a plain number with thousands separators."""
    return units.format_count(int(most.text)) if most.text.isdecimal() else most.text


def budget_finding(quantity: str, fact: str, details: tuple[str, ...]) -> Finding:
    help = f"make the largest layers smaller, or raise the budget (max-{quantity})"
    return Finding(f"budget-{quantity}", "error", fact, details=details, help=help)


def unknown_macs_finding(report: Report, most: WrittenFigure) -> Finding:
    rows = report.total.unpriced
    have = "operation has" if rows == 1 else "operations have"
    reason = f"{rows} {have} no price" if report.trace.ran else "nothing was run"
    paths = {kernel: dict.fromkeys(report.rows[i].path for i in at) for kernel, at in report.unpriced.items()}
    return Finding(
        "budget-macs",
        "error",
        f"the MACs are not known, so the budget of {limit_text(most)} cannot be judged: {reason}",
        details=tuple(f"{kernel} at {', '.join(where)}" for kernel, where in paths.items()),
        help="take the operation out, or judge this target by its parameters alone",
    )


# ------------------------------------------------------------ the largest layers
def largest_layer_lines(report: Report, quantity: Callable[[OutlineLine], int]) -> tuple[str, ...]:
    """Return lines for the largest layers, each with its count and its share of the whole."""
    lines = sorted((line for _, line in leaf_lines(full_outline(report))), key=quantity, reverse=True)
    whole = sum(map(quantity, lines))
    rows = []
    for line in lines[:TOP_LAYERS]:
        if count := quantity(line):
            layer = f"{'' if line.kind == 'unread' else line.name} {line.text}".strip()
            rows.append((line.path or line.label, layer, units.format_count(count), units.format_share(count, whole)))
    return tuple(aligned_columns(rows, right=(2, 3)))


def aligned_columns(rows: Sequence[tuple[str, ...]], *, right: tuple[int, ...]) -> Iterator[str]:
    """Yield rows of cells as lines in columns; those in `right` are right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = zip(row, widths, strict=True)
        yield "  ".join(f"{c:>{w}}" if at in right else f"{c:<{w}}" for at, (c, w) in enumerate(padded)).rstrip()
