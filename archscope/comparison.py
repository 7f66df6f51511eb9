"""Reports side by side: (Report, …) → Comparison: labels, totals, and the changes of each against one of them."""

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
"""What of a report's document an entry of a comparison's holds."""


@dataclass(frozen=True)
class TotalChange:
    """One quantity of the target that all are held against, and of another; None where it is not known (unpriced)."""

    name: str
    first: int | None
    this: int | None

    @property
    def ratio(self) -> float | None:
        """this / first; None where that is not known or not defined."""
        return self.this / self.first if self.first and self.this is not None else None


@dataclass(frozen=True, repr=False)
class Comparison:
    """Reports in the order given; `str()` is the table. names: of each, where it was given one. against: the place of
    the report that all are held against."""

    reports: tuple[Report, ...]
    views: ReportViews = field(default=ReportViews(), compare=False)
    names: tuple[str, ...] = ()
    against: int = 0

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The names given; else the targets, as variants alone where all are of one file. Those that are called alike
        are numbered."""
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
        """MACs, parameters and MACs of the backward pass of the report at `index` against those of the one at
        `against`."""
        first, this = self.reports[self.against], self.reports[index]
        return (
            TotalChange("MACs", first.total.macs, this.total.macs),
            TotalChange("parameters", first.total.params, this.total.params),
            TotalChange("backward MACs", backward_macs(first), backward_macs(this)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON document `archscope.comparison/1`; ratios are against the target that `against` names."""
        return {
            "schema": "archscope.comparison/1",
            "against": self.labels[self.against] if self.reports else None,
            "targets": [self._target_entry(i) for i in range(len(self.reports))],
        }

    def _target_entry(self, index: int) -> dict[str, Any]:
        report, (macs, params, backward) = self.reports[index], self.changes(index)
        data = report.to_dict()
        kept = {key: data[key] for key in ENTRY_KEYS}
        derived = data["backward"] and {key: data["backward"][key] for key in ("loss", "totals")}
        ratios = {"params": params.ratio, "macs": macs.ratio, "backward_macs": backward.ratio}
        return {**kept, "backward": derived, "label": self.labels[index], "ratios": ratios}

    def table(self, **wishes: Any) -> str:
        """The table as text. columns: these, by name. sort: by which column, the largest first."""
        return self.views.table(self, **wishes)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.labels)}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def backward_macs(report: Report) -> int | None:
    return None if report.backward_total is None else report.backward_total.macs


def number_duplicates(labels: Sequence[str]) -> tuple[str, ...]:
    """`Net (1)`, `Net (2)` where two are called `Net`; what stands alone stays as it is."""
    found, seen, taken = [], Counter[str](), set(labels)
    for label in labels:
        told = label
        while labels.count(label) > 1 and (told == label or told in taken):
            seen[label] += 1
            told = f"{label} ({seen[label]})"
        found.append(told)
    return tuple(found)


def compare_reports(
    reports: Iterable[Report],
    *,
    views: ReportViews = ReportViews(),  # noqa: B008 - frozen
    names: Sequence[str] = (),
    against: str | None = None,
) -> Comparison:
    """The reports as one comparison. names: of each; an empty one stands for its target. against: the label or target
    of the one that all are held against, the first where none is named. Raises UsageError for one that is none."""
    made = Comparison(tuple(reports), views, tuple(names))
    if against is None:
        return made
    targets = [report.target for report in made.reports]
    for known in (made.labels, targets):
        if against in known:
            return replace(made, against=list(known).index(against))
    near = did_you_mean(against, [*made.labels, *targets]) or f"it compares {', '.join(made.labels)}"
    raise UsageError(f"nothing that is compared is called {against!r}", near)
