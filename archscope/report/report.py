"""The Report: a Trace with one Cost per row of each pass, and totals computed from rows and parameters.

Names without a prefix refer to the forward pass; those of the backward pass start with `backward`. An unknown quantity
is None, never 0; a sum over rows with an unknown one counts them in `unpriced`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from archscope import units
from archscope.cost import Cost, price_rows
from archscope.errors import FindingsError, ForwardError, Problem, Span
from archscope.report.document import report_json
from archscope.report.findings import Finding
from archscope.report.receptive_extent import ReceptiveField
from archscope.report.receptive_field import receptive_fields as receptive_fields
from archscope.report.request import Request
from archscope.trace import Param, Row, Trace
from archscope.trace_index import Soundness, TraceIndex, soundness


@dataclass(frozen=True)
class Total:
    """Sums of costs, which can be added.

    `unpriced` counts the rows with a kernel of unknown cost, `unrun` the parts that did not run. With either, `macs`
    and `flops` are None and `known` is a lower bound of the MACs; with `unrun`, so are `read` and `written`.
    `param_bytes`, `read` and `written` are bytes.
    """

    params: int = 0
    trainable_params: int = 0
    param_bytes: int = 0
    known: int = 0
    read: int = 0
    written: int = 0
    unpriced: int = 0
    unrun: int = 0

    @property
    def partial(self) -> bool:
        """True if `known` does not hold all MACs."""
        return bool(self.unpriced or self.unrun)

    @property
    def macs(self) -> int | None:
        """Multiply-adds; None if a kernel has no known cost or something did not run."""
        return None if self.partial else self.known

    @property
    def flops(self) -> int | None:
        """2 × MACs."""
        return None if self.macs is None else 2 * self.macs

    @property
    def bytes_read(self) -> int | None:
        """Bytes read; None if something did not run."""
        return None if self.unrun else self.read

    @property
    def bytes_written(self) -> int | None:
        """Bytes written; None if something did not run."""
        return None if self.unrun else self.written

    def __add__(self, other: Total) -> Total:
        return Total.of((self, other))

    @staticmethod
    def of(totals: Iterable[Total]) -> Total:
        return Total(*map(sum, zip(*map(QUANTITIES, totals), strict=True)))


@dataclass(frozen=True)
class PricedRow:
    """A row with its cost and the parameters that it is the first to read (`own`). Unpriced: macs and flops are
    None."""

    row: Row
    cost: Cost
    own: tuple[Param, ...] = ()

    @property
    def index(self) -> int:
        return self.row.index

    @property
    def path(self) -> str:
        return self.row.path

    @property
    def op(self) -> str:
        return self.row.op

    @property
    def place(self) -> Span | None:
        return self.row.place

    @property
    def params(self) -> int:
        return sum(param.count for param in self.own)

    @property
    def macs(self) -> int | None:
        return self.cost.macs

    @property
    def flops(self) -> int | None:
        return self.cost.flops

    @cached_property
    def total(self) -> Total:
        """The row's figures as a Total."""
        own, cost = params_total(self.own), self.cost
        unpriced = int(bool(cost.unpriced))
        return Total(own.params, own.trainable_params, own.param_bytes, cost.known, cost.read, cost.written, unpriced)


LEVELS = ("error", "warning", "note")
QUANTITIES = attrgetter(*(quantity.name for quantity in fields(Total)))


def params_total(params: Iterable[Param]) -> Total:
    found = tuple(params)
    trainable = sum(param.count for param in found if param.trainable)
    return Total(sum(param.count for param in found), trainable, sum(param.bytes for param in found))


@dataclass(frozen=True)
class CostFigures:
    """Parameters and MACs of a net or of a part of it; None where unknown."""

    params: int | None
    macs: int | None


@dataclass(frozen=True)
class Checked:
    """The result of `check` for one target. report: that of its run, None if it could not run. before: the figures of
    the baseline, None without one."""

    target: str
    findings: tuple[Finding, ...] = ()
    report: Report | None = None
    before: CostFigures | None = None

    def least(self, level: str) -> Checked:
        """Return the result without findings below a level."""
        kept = LEVELS[: LEVELS.index(level) + 1]
        return replace(self, findings=tuple(f for f in self.findings if f.level in kept))

    def errors(self) -> Checked:
        """Return the result without warnings and notes."""
        return self.least("error")


@dataclass(frozen=True)
class ReportViews:
    """Functions that render a report or comparison: as text, as HTML for notebooks, its errors as text, and as a table.

    `api` passes them to the reports that it makes, since `report` may not import `render`.
    """

    text: Callable[[Any], str] = repr
    html: Callable[[Any], str] | None = None
    errors: Callable[[Any], str] = lambda report: "\n".join(f.message for f in report.findings if f.level == "error")
    table: Callable[..., str] = repr


@dataclass(frozen=True, repr=False)
class Report:
    """One recorded forward pass with its costs: `rows`, `total`, `ok`, `findings`, `to_dict()`; `str()` is the table.

    title: the name in the header, by default the target. batch: the size of dimension 0 of activations, left out of
    shown shapes. backward, backward_total: rows and sums of the backward pass; empty and None if none was recorded.
    unjudged: expectations of the spec that do not apply to these sizes, in words. ranges: (name, low, high) of integer
    inputs with values from `low` to `high - 1`, if the spec has them. request: the call that made the report.
    """

    trace: Trace
    costs: tuple[Cost, ...]
    findings: tuple[Finding, ...] = ()
    title: str = ""
    views: ReportViews = field(default=ReportViews(), compare=False)
    backward_costs: tuple[Cost, ...] = ()
    ranges: tuple[tuple[str, int, int], ...] = ()
    request: Request | None = field(default=None, compare=False)
    unjudged: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        return self.trace.target

    @cached_property
    def index(self) -> TraceIndex:
        """The index of the trace: who makes and reads every value."""
        return TraceIndex(self.trace)

    @cached_property
    def rows(self) -> tuple[PricedRow, ...]:
        return tuple(
            PricedRow(row, cost, own)
            for row, cost, own in zip(self.trace.rows, self.costs, self._first_read_params, strict=True)
        )

    @cached_property
    def backward(self) -> tuple[PricedRow, ...]:
        """The rows of the backward pass, in the order in which they ran."""
        return tuple(PricedRow(*priced) for priced in zip(self.trace.backward, self.backward_costs, strict=True))

    @cached_property
    def backward_total(self) -> Total | None:
        """The sums of the backward pass; None if there was none, or it failed."""
        if not self.trace.loss or self.trace.failure is not None:
            return None
        return Total.of([Total(), *(row.total for row in self.backward)])

    @cached_property
    def backward_by_row(self) -> dict[int, Total]:
        """Index of a forward row → the sums of its backward rows."""
        found: dict[int, Total] = {}
        for row in self.backward:
            found[row.row.forward_row] = found.get(row.row.forward_row, Total()) + row.total
        return found

    @cached_property
    def backward_kernel_counts(self) -> dict[int, int]:
        """Index of a forward row → the number of kernels of its backward rows."""
        found: dict[int, int] = {}
        for row in self.trace.backward:
            found[row.forward_row] = found.get(row.forward_row, 0) + len(row.kernels)
        return found

    @cached_property
    def unattributed_backward(self) -> tuple[PricedRow, ...]:
        """Rows of the backward pass that belong to no forward row."""
        return tuple(row for row in self.backward if row.row.forward_row < 0)

    @cached_property
    def _first_read_params(self) -> tuple[tuple[Param, ...], ...]:
        """For each row the parameters that it is the first to read; a tied or shared one belongs to its first
        reader."""
        named = self.index.params
        taken: set[str] = set()
        owned: list[tuple[Param, ...]] = []
        for row in self.trace.rows:
            if not row.params:
                owned.append(())
                continue
            firsts = dict.fromkeys(named[name].tied_to or name for name in row.params if name in named)
            owned.append(tuple(named[name] for name in firsts if name not in taken))
            taken.update(firsts)
        return tuple(owned)

    @cached_property
    def unread(self) -> tuple[Param, ...]:
        """Parameters that no row reads, each once."""
        read = {param.name for own in self._first_read_params for param in own}
        return tuple(param for param in self.trace.params if not param.tied_to and param.name not in read)

    @cached_property
    def total(self) -> Total:
        """All parameters, tied and shared ones once, and the sums of the rows, which are unknown after a failure."""
        costs = self.costs
        return replace(
            params_total(param for param in self.trace.params if not param.tied_to),
            known=sum(cost.known for cost in costs),
            read=sum(cost.read for cost in costs),
            written=sum(cost.written for cost in costs),
            unpriced=sum(1 for cost in costs if cost.unpriced),
            unrun=int(not self.finished),
        )

    @cached_property
    def batch(self) -> int | None:
        """The batch size: dimension 0 of every input, if they agree. None if a layer that takes the sequence first
        (`batch_first=False`) shows that this dimension is the length."""
        sizes = {operand.value.shape[0] for operand in self.trace.inputs if operand.value.shape}
        size = sizes.pop() if len(sizes) == 1 else None
        sequences = (row.inputs[0].value.shape for row in self.trace.rows if is_length_first(row))
        return None if any(length == size != batch for length, batch, _ in sequences) else size

    @cached_property
    def unpriced(self) -> dict[str, tuple[int, ...]]:
        """Kernel without a price → the indexes of the rows that ran it."""
        return rows_without_price(self.rows)

    @cached_property
    def backward_unpriced(self) -> dict[str, tuple[int, ...]]:
        """Kernel without a price → the indexes of the backward rows that ran it."""
        return rows_without_price(self.backward)

    @property
    def failed(self) -> bool:
        """True if a finding is an error: the run broke off, shapes did not fit, or an expectation was not met."""
        return any(finding.level == "error" for finding in self.findings)

    @property
    def ok(self) -> bool:
        """True if no finding is an error, also if nothing was run."""
        return not self.failed

    @cached_property
    def soundness(self) -> Soundness:
        """The rows that fail, and the rows that depend on them, whose sizes are assumed."""
        return soundness(self.index)

    @property
    def finished(self) -> bool:
        """True if a forward pass ran to its end, even with assumed sizes."""
        failure = self.trace.failure
        return self.trace.ran and (failure is None or failure.backward)

    @property
    def broken(self) -> bool:
        """True if the forward pass was run and does not run as written: its totals rest on assumed sizes."""
        return not self.soundness.runs

    @property
    def runs(self) -> bool | None:
        """True if the forward pass runs to its end as written; None if nothing was run because inputs are missing."""
        return self.soundness.runs if self.trace.ran else None

    def raise_for_errors(self) -> None:
        """Raise ForwardError if the net does not run, FindingsError if another finding is an error.

        Both hold the text of all errors. Without an error nothing happens.
        """
        found = [finding for finding in self.findings if finding.level == "error"]
        if not found:
            return
        text = self.views.errors(self)
        if not self.broken and self.trace.failure is None:
            raise FindingsError(text, self)
        place = found[0].place or Span(self.target, 0, 0)
        raise ForwardError(Problem(place, found[0].message, found[0].help), self, text)

    @cached_property
    def receptive_fields(self) -> tuple[ReceptiveField, ...]:
        """The receptive field of every row."""
        return receptive_fields(self.trace)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.report/1`; unknown figures are None."""
        return report_json(self)

    def table(self, **options: Any) -> str:
        """Return the table as text.

        depth: the number of levels shown. columns: their names. sort: the column to sort by, largest first. expand:
        show every repeat and every row.
        """
        return self.views.table(self, **options)

    def __repr__(self) -> str:
        total = self.total
        least = "at least " if total.partial else ""
        macs = f"{least}{units.format_count(total.known)} MACs" if self.trace.ran else "nothing was run"
        broken = ", does not run" if self.broken else ""
        return f"<Report {self.target}: {units.format_count(total.params)} parameters, {macs}{broken}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def is_length_first(row: Row) -> bool:
    """Return whether a row reads sequences as (length, batch, features)."""
    if not row.inputs or len(row.inputs[0].value.shape) != 3:
        return False
    recurrent = row.short_name in ("lstm", "gru", "rnn_tanh", "rnn_relu") and not row.get("batch_first")
    return recurrent or row.short_name == "multi_head_attention_forward"


def rows_without_price(rows: Iterable[PricedRow]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        for kernel in dict.fromkeys(row.cost.unpriced):
            found.setdefault(kernel, []).append(row.index)
    return {kernel: tuple(indexes) for kernel, indexes in found.items()}


def build_report(
    trace: Trace,
    *,
    pricing: Callable[[Sequence[Row]], Sequence[Cost]] = price_rows,
    findings: Iterable[Finding] = (),
    title: str = "",
    views: ReportViews = ReportViews(),
) -> Report:
    """Return the Report of a trace: price every row of both passes, and attach the findings."""
    forward, backward = tuple(pricing(trace.rows)), tuple(pricing(trace.backward))
    return Report(trace, forward, tuple(findings), title, views, backward)
