"""Data classes: Difference (has one cause), Account (one counter's figures with its Differences), CrossCheck (all)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from archscope.counters.result import CounterResult
from archscope.report import Report, ReportViews

UNEXPLAINED = "unexplained"
REPORT_KEYS = ("target", "ok", "runs", "device", "dtype", "mode", "inputs", "totals", "unpriced", "findings")
"""The keys of a report's document that a cross-check's document repeats."""


@dataclass(frozen=True)
class Difference:
    """A part of `theirs − ours` that has one cause.

    subject: the operator or layer. amount: MACs or parameters. times: how many subjects. reason: how they are counted.
    rows: our rows, by index. paths: the modules.
    """

    cause: str
    subject: str
    amount: int
    reason: str
    times: int = 1
    rows: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        what = f"{self.times} × {self.subject}" if self.times else self.subject
        if self.cause == UNEXPLAINED:
            return ", ".join(filter(None, [f"unexplained: {what}", "first " * (self.times > 1) + self.reason]))
        return f"{what} {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "subject": self.subject,
            "times": self.times,
            "amount": self.amount,
            "reason": self.sentence,
            "rows": list(self.rows),
            "paths": list(self.paths),
        }


@dataclass(frozen=True)
class Account:
    """One counter's result beside our report, and the causes of each difference; a figure that it lacks is None."""

    result: CounterResult
    ours: Report
    macs_differences: tuple[Difference, ...] = ()
    params_differences: tuple[Difference, ...] = ()

    @property
    def macs_off(self) -> int | None:
        """Their MACs less ours (less those of priced operations, if one is unpriced)."""
        return None if self.result.macs is None else self.result.macs - self.ours.total.known

    @property
    def params_off(self) -> int | None:
        return None if self.result.params is None else self.result.params - self.ours.total.params

    @property
    def unexplained(self) -> int | None:
        """The part of the difference in MACs without a known cause."""
        return None if self.macs_off is None else self.macs_off - explained_amount(self.macs_differences)

    @property
    def params_unexplained(self) -> int | None:
        return None if self.params_off is None else self.params_off - explained_amount(self.params_differences)

    @property
    def unattributed(self) -> int | None:
        """The part of the difference in MACs that no Difference covers."""
        return (
            None
            if self.macs_off is None
            else self.macs_off - sum(difference.amount for difference in self.macs_differences)
        )

    @property
    def params_unattributed(self) -> int | None:
        return (
            None
            if self.params_off is None
            else self.params_off - sum(difference.amount for difference in self.params_differences)
        )

    def relative_time(self, seconds: float) -> float | None:
        """Return the counter's seconds divided by our `seconds`."""
        return None if self.result.seconds is None else self.result.seconds / seconds

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """Return the account as plain data; seconds: how long our analysis took."""
        result = self.result
        return {
            "witness": result.counter,
            "package": result.package,
            "version": result.version or None,
            "status": result.status,
            "error": result.error or None,
            "help": result.help or None,
            "params": result.params,
            "macs": result.macs,
            "flops": None if result.macs is None else 2 * result.macs,
            "seconds": result.seconds,
            "times_ours": self.relative_time(seconds),
            "macs_off": self.macs_off,
            "params_off": self.params_off,
            "differences": [difference.to_dict() for difference in self.macs_differences],
            "params_differences": [difference.to_dict() for difference in self.params_differences],
            "unexplained": self.unexplained,
            "params_unexplained": self.params_unexplained,
        }


def explained_amount(differences: Iterable[Difference]) -> int:
    return sum(difference.amount for difference in differences if difference.cause != UNEXPLAINED)


@dataclass(frozen=True, repr=False)
class CrossCheck:
    """Our report of a model, the seconds that it took, and an Account of every reference counter on the same call."""

    report: Report
    seconds: float
    accounts: tuple[Account, ...]
    views: ReportViews = field(default=ReportViews(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.crosscheck/1`; what is unknown is None."""
        data = self.report.to_dict()
        repeated = {key: data[key] for key in REPORT_KEYS}
        witnesses = [account.to_dict(self.seconds) for account in self.accounts]
        return {"schema": "archscope.crosscheck/1", **repeated, "seconds": self.seconds, "witnesses": witnesses}

    def __repr__(self) -> str:
        return f"<CrossCheck of {self.report.target}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None
