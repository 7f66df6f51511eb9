"""Comparison of several Reports: labels, totals, and the changes of each against one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from archscope.errors import UsageError, did_you_mean
from archscope.report import Report, ReportViews
from archscope.spec import bundled_networks

ENTRY_KEYS = ("target", "ok", "runs", "device", "dtype", "mode", "inputs", "asked", "totals", "findings")
"""The keys of a report's JSON document that an entry of a comparison's document holds."""


@dataclass(frozen=True)
class TotalChange:
    """One quantity of the reference report (`first`) and of another one (`this`); None where unknown (unpriced)."""

    name: str
    first: int | None
    this: int | None

    @property
    def ratio(self) -> float | None:
        """this / first; None if that is unknown or undefined."""
        return self.this / self.first if self.first and self.this is not None else None


@dataclass(frozen=True, repr=False)
class Comparison:
    """Reports in the order given; `str()` is the table.

    names: the names of the reports, or () for their targets. against: the index of the reference report.
    """

    reports: tuple[Report, ...]
    views: ReportViews = field(default=ReportViews(), compare=False)
    names: tuple[str, ...] = ()
    against: int = 0

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The given names; else the targets, or only the variants if all come from one file. Duplicates are
        numbered."""
        given = self.names or ("",) * len(self.reports)
        return number_duplicates([name or own for name, own in zip(given, self._own_labels, strict=True)])

    @property
    def _own_labels(self) -> tuple[str, ...]:
        targets = [report.target for report in self.reports]
        parts = [target.rpartition(":") for target in targets]
        files = {file for file, _, _ in parts}
        one_file = len(targets) > 1 and len(files) == 1 and not files & {"", bundled_networks.TARGET_PREFIX.rstrip(":")}
        return tuple(name for _, _, name in parts) if one_file else tuple(targets)

    def changes(self, index: int) -> tuple[TotalChange, TotalChange, TotalChange]:
        """Return MACs, parameters and backward MACs of the report at `index` against those of the one at `against`."""
        first, this = self.reports[self.against], self.reports[index]
        return (
            TotalChange("MACs", first.total.macs, this.total.macs),
            TotalChange("parameters", first.total.params, this.total.params),
            TotalChange("backward MACs", backward_macs(first), backward_macs(this)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.comparison/1`; ratios are against the target that `against` names."""
        return {
            "schema": "archscope.comparison/1",
            "against": self.labels[self.against] if self.reports else None,
            "targets": [self._target_entry(i) for i in range(len(self.reports))],
        }

    def _target_entry(self, index: int) -> dict[str, Any]:
        report, (macs, params, backward) = self.reports[index], self.changes(index)
        data = report.to_dict()
        entry = {key: data[key] for key in ENTRY_KEYS}
        derived = data["backward"] and {key: data["backward"][key] for key in ("loss", "totals")}
        ratios = {"params": params.ratio, "macs": macs.ratio, "backward_macs": backward.ratio}
        return {**entry, "backward": derived, "label": self.labels[index], "ratios": ratios}

    def table(self, **options: Any) -> str:
        """Return the table as text. columns: their names. sort: the column to sort by, largest first."""
        return self.views.table(self, **options)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.labels)}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def backward_macs(report: Report) -> int | None:
    return None if report.backward_total is None else report.backward_total.macs


def number_duplicates(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels, with duplicates numbered: `Net (1)`, `Net (2)`."""
    found, seen, taken = [], Counter[str](), set(labels)
    for label in labels:
        numbered = label
        while labels.count(label) > 1 and (numbered == label or numbered in taken):
            seen[label] += 1
            numbered = f"{label} ({seen[label]})"
        found.append(numbered)
    return tuple(found)


def compare_reports(
    reports: Iterable[Report],
    *,
    views: ReportViews = ReportViews(),  # noqa: B008 - frozen
    names: Sequence[str] = (),
    against: str | None = None,
) -> Comparison:
    """Return the reports as one Comparison.

    names: the names of the reports; an empty one stands for its target. against: the label or target of the reference
    report, by default the first. Raises UsageError if no report has that name.
    """
    comparison = Comparison(tuple(reports), views, tuple(names))
    if against is None:
        return comparison
    targets = [report.target for report in comparison.reports]
    for known in (comparison.labels, targets):
        if against in known:
            return replace(comparison, against=list(known).index(against))
    near = did_you_mean(against, [*comparison.labels, *targets]) or f"it compares {', '.join(comparison.labels)}"
    raise UsageError(f"no compared target is called {against!r}", near)
