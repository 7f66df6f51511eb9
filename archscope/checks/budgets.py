"""Budgets: Report + the most that it may cost → a finding for each quantity that is over, and who spends most.

"5M", 1_000_000_000 → Figure → Budget → total ≤ limit, or budget-params, budget-macs with the three largest layers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.errors import UsageError
from archscope.report import Finding, Line, Report, leaves, unfolded
from archscope.units import Figure

LARGEST = 3


@dataclass(frozen=True)
class Budget:
    """The most that a target may have; None is no limit."""

    max_params: Figure | None = None
    max_macs: Figure | None = None

    @staticmethod
    def of(max_params: object, max_macs: object) -> Budget:
        """Figures such as `5M`, whole numbers, or None. Raises UsageError."""
        return Budget(limit(max_params, "max_params"), limit(max_macs, "max_macs"))


def limit(value: object, name: str) -> Figure | None:
    try:
        return None if value is None else units.limit(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}", f'for example {name}="5M"') from None


def over(report: Report, budget: Budget) -> tuple[Finding, ...]:
    """What is over the budget, or cannot be judged because it is not known."""
    return (*over_params(report, budget.max_params), *over_macs(report, budget.max_macs))


def over_params(report: Report, most: Figure | None) -> Iterator[Finding]:
    count = report.total.params
    if most is not None and count > most.value:
        fact = f"{units.count(count)} parameters, {excess(count, most)}"
        yield made("params", fact, largest(report, lambda line: line.total.params))


def over_macs(report: Report, most: Figure | None) -> Iterator[Finding]:
    """Where some operation has no price the known MACs are a lower bound: over the budget it is enough."""
    known, partial = report.total.known, report.total.partial
    if most is None or (known <= most.value and not partial):
        return
    layers = largest(report, lambda line: line.total.known)
    if known > most.value:
        yield made("macs", f"{'at least ' * partial}{units.count(known)} MACs, {excess(known, most)}", layers)
    elif report.trace.failure is None:
        yield unknown(report, most)


def excess(count: int, most: Figure) -> str:
    return f"{units.count(count - int(most.value))} more than the budget of {written(most)}"


def written(most: Figure) -> str:
    """A limit as it was written, a plain number in threes."""
    return units.count(int(most.text)) if most.text.isdecimal() else most.text


def made(quantity: str, fact: str, details: tuple[str, ...]) -> Finding:
    help = f"make the largest layers smaller, or raise the budget (max-{quantity})"
    return Finding(f"budget-{quantity}", "error", fact, details=details, help=help)


def unknown(report: Report, most: Figure) -> Finding:
    rows = report.total.unpriced
    have = "operation has" if rows == 1 else "operations have"
    reason = f"{rows} {have} no price" if report.trace.ran else "nothing was run"
    return Finding(
        "budget-macs",
        "error",
        f"the MACs are not known, so the budget of {written(most)} cannot be judged: {reason}",
        details=unpriced(report),
        help="take the operation out, or judge this target by its parameters alone",
    )


def unpriced(report: Report) -> tuple[str, ...]:
    """`aten.x at rnn, head.0`: each kernel without a price."""
    paths = {k: dict.fromkeys(report.rows[i].path for i in rows) for k, rows in report.unpriced.items()}
    return tuple(f"{kernel} at {', '.join(where)}" for kernel, where in paths.items())


# ------------------------------------------------------------ the largest layers
def largest(report: Report, quantity: Callable[[Line], int]) -> tuple[str, ...]:
    """The layers that spend most, each with its count and its share of the whole."""
    lines = sorted((line for _, line in leaves(unfolded(report))), key=quantity, reverse=True)
    spent = [line for line in lines[:LARGEST] if quantity(line)]
    whole = sum(map(quantity, lines))
    return tuple(columns([cells(line, quantity(line), whole) for line in spent], right=(2, 3)))


def cells(line: Line, count: int, whole: int) -> tuple[str, ...]:
    layer = f"{'' if line.kind == 'unread' else line.name} {line.text}".strip()
    return line.path or line.label, layer, units.count(count), units.share(count, whole)


def columns(rows: Sequence[tuple[str, ...]], *, right: tuple[int, ...]) -> Iterator[str]:
    """Rows of cells as lines in columns; those named in `right` stand at their right edge."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = zip(row, widths, strict=True)
        yield "  ".join(f"{c:>{w}}" if at in right else f"{c:<{w}}" for at, (c, w) in enumerate(padded)).rstrip()
