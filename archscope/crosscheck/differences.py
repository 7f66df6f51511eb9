"""The nouns: a Difference has a cause; an Account is one witness's figures with its Differences; a CrossCheck, all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from archscope.counter_result import CounterResult
from archscope.report import Report, ReportViews

UNEXPLAINED = "unexplained"
REPORT_KEYS = ("target", "ok", "runs", "device", "dtype", "mode", "inputs", "totals", "unpriced", "findings")
"""What of our report's document a cross-check's holds."""


@dataclass(frozen=True)
class Difference:
    """A part of `theirs − ours` with one cause.

    subject: the operator or layer; times: how many of them; reason: what became of them. rows: ours, by index.
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
    """One witness's figures against ours, and the causes of what differs; a figure that it does not give is None."""

    statement: CounterResult
    ours: Report
    macs_differences: tuple[Difference, ...] = ()
    params_differences: tuple[Difference, ...] = ()

    @property
    def macs_off(self) -> int | None:
        """Their MACs less ours (less what we know, where an operation is unpriced)."""
        return None if self.statement.macs is None else self.statement.macs - self.ours.total.known

    @property
    def params_off(self) -> int | None:
        return None if self.statement.params is None else self.statement.params - self.ours.total.params

    @property
    def unexplained(self) -> int | None:
        """What of the difference in MACs has no known cause."""
        return None if self.macs_off is None else self.macs_off - explained_amount(self.macs_differences)

    @property
    def params_unexplained(self) -> int | None:
        return None if self.params_off is None else self.params_off - explained_amount(self.params_differences)

    @property
    def unattributed(self) -> int | None:
        """What of it no difference names."""
        return None if self.macs_off is None else self.macs_off - sum(one.amount for one in self.macs_differences)

    @property
    def params_unattributed(self) -> int | None:
        return None if self.params_off is None else self.params_off - sum(one.amount for one in self.params_differences)

    def relative_time(self, seconds: float) -> float | None:
        """How many times as long it took as our `seconds`."""
        return None if self.statement.seconds is None else self.statement.seconds / seconds

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """seconds: how long we took."""
        own = self.statement
        return {
            "witness": own.counter,
            "package": own.package,
            "version": own.version or None,
            "status": own.status,
            "error": own.error or None,
            "help": own.help or None,
            "params": own.params,
            "macs": own.macs,
            "flops": None if own.macs is None else 2 * own.macs,
            "seconds": own.seconds,
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
    """Our report of a model, the seconds that it took, and an Account of every witness on the same call."""

    report: Report
    seconds: float
    accounts: tuple[Account, ...]
    views: ReportViews = field(default=ReportViews(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document `archscope.crosscheck/1`; unknown is None."""
        data = self.report.to_dict()
        kept = {key: data[key] for key in REPORT_KEYS}
        witnesses = [account.to_dict(self.seconds) for account in self.accounts]
        return {"schema": "archscope.crosscheck/1", **kept, "seconds": self.seconds, "witnesses": witnesses}

    def __repr__(self) -> str:
        return f"<CrossCheck of {self.report.target}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None
