"""Timings of one target at several batch sizes and dtypes, without their rows, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archscope.profiling.timing import Timing
from archscope.report import ReportViews


@dataclass(frozen=True, repr=False)
class Grid:
    """Timings of one target, in the order in which they were measured: for each dtype, one batch size after another.

    planned: how many there would be without an interruption. refused: reasons of those that could not run.
    """

    timings: tuple[Timing, ...]
    planned: int
    refused: tuple[str, ...] = ()
    views: ReportViews = field(default=ReportViews(), compare=False)

    @property
    def target(self) -> str:
        return self.timings[0].target

    @property
    def interrupted(self) -> bool:
        missing = len(self.timings) + len(self.refused) < self.planned
        return missing or any(timing.measurement.interrupted for timing in self.timings)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.timings/1`, which holds the documents of all, in the same order."""
        timings = [timing.to_dict() for timing in self.timings]
        summary = {"target": self.target, "planned": self.planned, "refused": list(self.refused)}
        return {"schema": "archscope.timings/1", **summary, "timings": timings}

    def __repr__(self) -> str:
        return f"<Grid {self.target}: {len(self.timings)} timings>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None
