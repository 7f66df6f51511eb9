"""Reports side by side: (Report, …) → Comparison: labels, totals, and the changes of each against the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from archscope.report import Report, Views


@dataclass(frozen=True)
class Change:
    """One quantity of the first target and of another; None where it is not known (unpriced)."""

    name: str
    first: int | None
    this: int | None

    @property
    def ratio(self) -> float | None:
        """this / first; None where that is not known or not defined."""
        return self.this / self.first if self.first and self.this is not None else None


@dataclass(frozen=True, repr=False)
class Comparison:
    """Reports in the order given. `labels`: the targets, as variants alone where all are of one file."""

    reports: tuple[Report, ...]
    views: Views = field(default=Views(), compare=False)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        targets = [report.target for report in self.reports]
        parts = [target.rpartition(":") for target in targets]
        one_file = len(targets) > 1 and len({file for file, _, _ in parts}) == 1 and all(file for file, _, _ in parts)
        return tuple(name for _, _, name in parts) if one_file else tuple(targets)

    @property
    def unpriced(self) -> bool:
        """Whether a report holds operations without a price."""
        return any(report.total.unpriced for report in self.reports)

    def changes(self, index: int) -> tuple[Change, Change]:
        """MACs and parameters of the report at `index` against the first's."""
        first, this = self.reports[0].total, self.reports[index].total
        return Change("MACs", first.macs, this.macs), Change("parameters", first.params, this.params)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document `archscope.comparison/1`; ratios are against the first target."""
        return {"schema": "archscope.comparison/1", "targets": [self._entry(i) for i in range(len(self.reports))]}

    def _entry(self, index: int) -> dict[str, Any]:
        report, (macs, params) = self.reports[index], self.changes(index)
        data = report.to_dict()
        kept = {key: data[key] for key in ("target", "device", "dtype", "mode", "inputs", "totals", "findings")}
        return {**kept, "label": self.labels[index], "ratios": {"params": params.ratio, "macs": macs.ratio}}

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.labels)}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def compare(reports: Iterable[Report], *, views: Views = Views()) -> Comparison:  # noqa: B008 - frozen
    """The reports as one comparison; the first is what the others are held against."""
    return Comparison(tuple(reports), views)
