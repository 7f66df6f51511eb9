"""Data classes: TimedRow (a row, its time and the least time possible), TimeSum (a sum of rows), Timing (all rows).

What is not known is None. The `least` of a sum with an unknown part is a lower bound, and its `exact` is false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

from archscope.machine import DeviceTraits
from archscope.profiling.fusion import FusibleRows, find_fusible
from archscope.profiling.measurement import Measurement, RowTimes, Samples
from archscope.profiling.predicted_memory import OPTIMIZERS, PredictedMemory, trained_param_sizes
from archscope.profiling.roofline import TF32_DTYPE, Bound, BoundKind, Ceilings, RooflinePoint, compute_bound
from archscope.profiling.timing_document import timing_document
from archscope.report import PricedRow, Report, ReportViews, Total
from archscope.trace import Row

NO_COST = Total()

CUDNN_PREFIXES = ("conv", "lstm", "gru", "rnn")
"""Prefixes of the functions whose products cuDNN computes, which has a TF32 setting of its own."""


@dataclass(frozen=True)
class TimeSum:
    """A sum over rows.

    seconds, backward: device time of the forward and backward pass, None if a row was not timed. least: the least
    seconds that the device needs, a lower bound where `exact` is false. flops and moved (bytes): of both passes, flops
    None if unknown. least_by_kind: seconds of the least time by what limits them (`compute`, `memory`, `launch`).
    """

    seconds: float | None = 0.0
    backward: float | None = 0.0
    least: float = 0.0
    exact: bool = True
    flops: int | None = 0
    moved: int = 0
    least_by_kind: tuple[tuple[BoundKind, float], ...] = ()

    @property
    def total_seconds(self) -> float | None:
        """Seconds of the forward and backward pass; None if one is not known."""
        return None if self.seconds is None or self.backward is None else self.seconds + self.backward

    @property
    def bound(self) -> BoundKind | None:
        """The resource that limits the greatest part of the least time; None if it takes no time, as a view."""
        return max(self.least_by_kind, key=lambda item: item[1])[0] if self.least_by_kind else None

    @property
    def of_roofline(self) -> float | None:
        """The least time as a share of the measured time, 0 to 1 and above; None if one is not known."""
        return self.least / self.total_seconds if self.exact and self.least and self.total_seconds else None

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte."""
        return None if self.flops is None or not self.moved else self.flops / self.moved

    @property
    def flops_per_second(self) -> float | None:
        return self.flops / self.total_seconds if self.flops is not None and self.total_seconds else None

    @property
    def bytes_per_second(self) -> float | None:
        return self.moved / self.total_seconds if self.total_seconds else None


@dataclass(frozen=True)
class TimedRow:
    """A row of the forward pass with its time and that of its backward kernels. None: not known, or no ceilings.

    spent: seconds, FLOPs and bytes. bounds: the least times of the row and of its backward pass. dtype: selects the
    peak.
    """

    priced: PricedRow
    spent: TimeSum
    bounds: tuple[Bound, ...] = ()
    dtype: str = "float32"

    @property
    def index(self) -> int:
        return self.priced.index

    @property
    def path(self) -> str:
        return self.priced.path


@dataclass(frozen=True)
class Footprint:
    """Memory in bytes: predicted, measured (peak, with parameters and inputs), and the batch size that fits.

    available: bytes that the device has for it. largest_batch: None if it is not known.
    """

    predicted: PredictedMemory | None = None
    measured: int | None = None
    available: int | None = None
    largest_batch: int | None = None

    @property
    def ratio(self) -> float | None:
        """Predicted peak ÷ measured peak."""
        return self.predicted.peak / self.measured if self.predicted and self.measured else None


@dataclass(frozen=True, repr=False)
class Timing:
    """The measured time and memory of a model on a device: `rows`, `total`, `least`, `to_dict()`; `str()` is the table.

    ceilings: those of the device, None if they were not requested. options: how it was run (compile, channels_last,
    optimizer), by name.
    """

    report: Report
    measurement: Measurement
    ceilings: Ceilings | None = None
    memory: Footprint = Footprint()
    options: tuple[tuple[str, object], ...] = ()
    views: ReportViews = field(default=ReportViews(), compare=False)

    @property
    def target(self) -> str:
        return self.report.target

    @property
    def total(self) -> Samples | None:
        """Samples of the whole run, without any instrumentation; None if there are none."""
        return self.measurement.whole_run

    @property
    def seconds(self) -> float | None:
        """The median of the whole run."""
        return None if self.total is None else self.total.median

    @property
    def throughput(self) -> float | None:
        """Examples per second, by dimension 0 of the inputs if they agree on it, else runs per second."""
        return (self.report.batch or 1) / self.seconds if self.seconds else None

    @cached_property
    def cost(self) -> Total:
        """The cost of the forward and the backward pass."""
        return self.report.total + (self.report.backward_total or NO_COST)

    @property
    def flops_per_second(self) -> float | None:
        """FLOPs (2 × MACs) per second, by the median; None if an operation is unpriced."""
        return self.cost.flops / self.seconds if self.cost.flops is not None and self.seconds else None

    @cached_property
    def rows(self) -> tuple[TimedRow, ...]:
        """The rows of the forward pass, each with the time of its backward pass."""
        times = self.measurement.rows
        return tuple(make_timed_row(row, self.report, times, self.ceilings) for row in self.report.rows)

    def sum_rows(self, indexes: Iterable[int]) -> TimeSum:
        """Return the sum over the rows with these indexes."""
        return sum_times([self.rows[index].spent for index in indexes])

    @cached_property
    def all_rows(self) -> TimeSum:
        """The sum over all rows."""
        return self.sum_rows(range(len(self.rows)))

    @cached_property
    def whole_run(self) -> TimeSum:
        """The measured whole, with the optimizer's least time; `backward` is the backward pass, 0 in inference."""
        parts = {name: samples.median for name, samples in self.measurement.parts}
        backward = 0.0 if self.report.backward_total is None else parts.get("backward")
        forward = None if self.seconds is None else self.seconds - (backward or 0.0)
        least_by_kind: list[tuple[BoundKind, float]] = [*self.all_rows.least_by_kind, ("memory", self.optimizer_least)]
        return replace(
            self.all_rows,
            seconds=forward,
            backward=backward,
            least=self.all_rows.least + self.optimizer_least,
            least_by_kind=sum_by_kind(item for item in least_by_kind if item[1]),
        )

    @property
    def least(self) -> float | None:
        """The least seconds that all rows and the optimizer need, one after another; None without ceilings."""
        return self.whole_run.least if self.ceilings is not None else None

    @property
    def optimizer_least(self) -> float:
        """The least seconds in which the memory traffic of an optimizer step can be moved; 0 without an optimizer."""
        name = dict(self.options).get("optimizer")
        moved = OPTIMIZERS[str(name)].moved * sum(trained_param_sizes(self.report.trace)) if name else 0
        return moved / self.ceilings.bandwidth(moved) if self.ceilings is not None and moved else 0.0

    @property
    def of_roofline(self) -> float | None:
        """The least time as a share of the median."""
        return self.least / self.seconds if self.least and self.seconds and self.all_rows.exact else None

    @property
    def accounted(self) -> float | None:
        """The share of the median that the rows, and in training the optimizer, sum to."""
        times = self.measurement.rows
        return (
            None if times is None or not self.seconds else (times.known_seconds + self.optimizer_seconds) / self.seconds
        )

    @property
    def optimizer_seconds(self) -> float:
        """Seconds of the optimizer's step; 0 without an optimizer."""
        return next((samples.median for name, samples in self.measurement.parts if name == "optimizer"), 0.0)

    @property
    def between_rows(self) -> float | None:
        """Seconds that are in no row: Python and autograd on CPU, waiting for launches on a GPU."""
        times = self.measurement.rows
        return (
            None if times is None or not self.seconds else self.seconds - times.known_seconds - self.optimizer_seconds
        )

    @property
    def launch_cost(self) -> float | None:
        """Seconds by which the replay of a CUDA graph is shorter; None without a graph."""
        graph = self.measurement.graph_replays
        return None if graph is None or self.seconds is None else self.seconds - graph.median

    @cached_property
    def fusible(self) -> tuple[FusibleRows, ...]:
        """The rows that could be fused with the row before them, by kind."""
        times = self.measurement.rows
        return find_fusible(self.report, times.forward) if times is not None else ()

    @property
    def worth_fusing(self) -> tuple[FusibleRows, ...]:
        """The kinds of fusible rows that would save more than half a per cent of the time."""
        return tuple(group for group in self.fusible if self.seconds and group.seconds > self.seconds / 200)

    def points(self) -> tuple[RooflinePoint, ...]:
        """Return points of the roofline chart. Rows with equal operation, FLOPs and bytes are one point; rows with
        unknown FLOPs are left out."""
        alike: dict[object, list[TimedRow]] = {}
        for row in self.rows:
            if row.bounds and row.spent.total_seconds and row.spent.flops is not None:
                key = row.priced.op, row.spent.flops, row.spent.moved, row.spent.bound, row.dtype
                alike.setdefault(key, []).append(row)
        return tuple(map(point_of, alike.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.timing/1`; what is unknown is None."""
        return timing_document(self)

    def __repr__(self) -> str:
        return f"<Timing {self.target}: {self.seconds} s on {self.measurement.machine.device}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def point_of(rows: Sequence[TimedRow]) -> RooflinePoint:
    """Return one point for equal rows, with the sum of their times: `encoder.0.main.att ×12`."""
    spent, first, times = sum_times([row.spent for row in rows]), rows[0].priced, len(rows)
    name = first.path if first.path and not first.path.rpartition(".")[2].isdigit() else f"{first.path} {first.op}"
    return RooflinePoint(
        name=f"{name.strip()}{f' ×{times}' if times > 1 else ''}",
        intensity=spent.intensity or 0.0,
        flops_per_second=spent.flops_per_second or 0.0,
        seconds=spent.total_seconds or 0.0,
        bound=spent.bound or "unknown",
        bytes_per_second=spent.bytes_per_second or 0.0,
        dtype=rows[0].dtype,
        rows=times,
    )


# ------------------------------------------------------------ rows
def make_timed_row(priced: PricedRow, report: Report, times: RowTimes | None, ceilings: Ceilings | None) -> TimedRow:
    index = priced.index
    forward = None if times is None else known_seconds(times.forward[index], priced, report.trace.traits)
    backward_total = report.backward_by_row.get(index)
    backward = times.backward[index] if times and times.backward else None
    if backward_total is None:
        backward = backward or 0.0
    kernels = 0 if priced.row.view else max(1, len(priced.row.kernels))  # the least number that the row launches
    passes = [
        (priced.total, kernels),
        *([(backward_total, report.backward_kernel_counts[index])] if backward_total else []),
    ]
    dtype = roof_dtype(priced.row, ceilings)
    bounds = [
        compute_bound(
            flops=total.flops, moved=total.read + total.written, kernels=count, dtype=dtype, ceilings=ceilings
        )
        for total, count in passes
        if ceilings is not None
    ]
    known = tuple(bound for bound in bounds if bound is not None)
    spent = TimeSum(
        seconds=forward,
        backward=backward,
        least=fsum(bound.known_seconds for bound in known),
        exact=all(bound.seconds is not None for bound in known),
        flops=None if any(total.partial for total, _ in passes) else sum(2 * total.known for total, _ in passes),
        moved=sum(total.read + total.written for total, _ in passes),
        least_by_kind=sum_by_kind((bound.kind, bound.known_seconds) for bound in known),
    )
    return TimedRow(priced, spent, known, dtype)


def known_seconds(seconds: float | None, priced: PricedRow, traits: DeviceTraits) -> float | None:
    """Return the seconds, or None for products that took a GPU no time: they ran where the profiler did not look."""
    return None if seconds == 0 and priced.cost.known and traits.is_async else seconds


def roof_dtype(row: Row, ceilings: Ceilings | None) -> str:
    """Return the dtype whose peak limits the row: that of its output, or TF32 if the settings allow it on a GPU."""
    dtype = next((value.dtype for value in row.outputs), "float32")
    setting = "tf32_conv" if row.short_name.startswith(CUDNN_PREFIXES) else "tf32"
    return TF32_DTYPE if dtype == "float32" and ceilings is not None and ceilings.machine.setting(setting) else dtype


def sum_times(parts: Sequence[TimeSum]) -> TimeSum:
    return TimeSum(
        seconds=sum_or_none([part.seconds for part in parts]),
        backward=sum_or_none([part.backward for part in parts]),
        least=fsum(part.least for part in parts),
        exact=all(part.exact for part in parts),
        flops=None if any(part.flops is None for part in parts) else sum(part.flops or 0 for part in parts),
        moved=sum(part.moved for part in parts),
        least_by_kind=sum_by_kind(item for part in parts for item in part.least_by_kind),
    )


def sum_or_none(seconds: Sequence[float | None]) -> float | None:
    """Return the sum; None if one of the values is None."""
    return None if None in seconds else fsum(second for second in seconds if second is not None)


def sum_by_kind(items: Iterable[tuple[BoundKind, float]]) -> tuple[tuple[BoundKind, float], ...]:
    found: dict[BoundKind, float] = {}
    for kind, seconds in items:
        found[kind] = found.get(kind, 0.0) + seconds
    return tuple(found.items())
