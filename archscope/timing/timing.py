"""The nouns: a TimedRow is a row with its time and the least that it can take; TimeSum, a sum of them; a Timing, all.

What is not known is None, and a sum with an unknown part says so: its `least` is then a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

from archscope.device_traits import DeviceTraits
from archscope.measurement import Measurement, RowTimes, Samples
from archscope.predicted_memory import OPTIMIZERS, PredictedMemory, trained_param_sizes
from archscope.report import PricedRow, Report, ReportViews, Total
from archscope.roofline import TF32_DTYPE, Bound, BoundKind, Ceilings, RooflinePoint, compute_bound
from archscope.timing.document import timing_document
from archscope.timing.fusion import FusibleRows, find_fusible
from archscope.trace import Row

NO_COST = Total()

CUDNN_PREFIXES = ("conv", "lstm", "gru", "rnn")
"""How functions begin whose products are cuDNN's, with a setting of its own for TF32."""


@dataclass(frozen=True)
class TimeSum:
    """Sums over rows. seconds: device time, None where a row was not timed. least: seconds that they take at best, a
    lower bound where `sure` is false. flops and moved (bytes): of both passes, flops None where they are not known.
    least_by_kind: seconds of the least time by what sets it (`compute`, `memory`, `launch`)."""

    seconds: float | None = 0.0
    backward: float | None = 0.0
    least: float = 0.0
    exact: bool = True
    flops: int | None = 0
    moved: int = 0
    least_by_kind: tuple[tuple[BoundKind, float], ...] = ()

    @property
    def total_seconds(self) -> float | None:
        """Forward and backward."""
        return None if self.seconds is None or self.backward is None else self.seconds + self.backward

    @property
    def bound(self) -> BoundKind | None:
        """What sets the greatest part of the least time; None for what takes none, such as a view."""
        return max(self.least_by_kind, key=lambda item: item[1])[0] if self.least_by_kind else None

    @property
    def of_roofline(self) -> float | None:
        """The least time as a share of the time that was measured, 0 to 1 and above; None where one is not known."""
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
    """A row of the forward pass, what it took, and what derives it. None: not known, or without a device's ceilings.

    bounds: the least time of the row, and of what derives it. dtype: whose peak is its roof.
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
    """Memory: as predicted, as measured (bytes at the highest, what is held included), and the batch size that fits.

    available: bytes that the device has for it. largest_batch: None where it is not known.
    """

    predicted: PredictedMemory | None = None
    measured: int | None = None
    available: int | None = None
    largest_batch: int | None = None

    @property
    def ratio(self) -> float | None:
        """Predicted ÷ measured."""
        return self.predicted.peak / self.measured if self.predicted and self.measured else None


@dataclass(frozen=True, repr=False)
class Timing:
    """What a model took on a device: `rows`, `total`, `least`, `to_dict()`; `str()` is the table.

    ceilings: of the device, None where they were not asked for. options: how it was run (compile, channels_last,
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
        """The runs that nobody watched."""
        return self.measurement.whole_run

    @property
    def seconds(self) -> float | None:
        """The median of these."""
        return None if self.total is None else self.total.median

    @property
    def throughput(self) -> float | None:
        """Examples per second: of dimension 0 of the inputs, where they agree, else runs."""
        return (self.report.batch or 1) / self.seconds if self.seconds else None

    @cached_property
    def cost(self) -> Total:
        """What both passes cost."""
        return self.report.total + (self.report.backward_total or NO_COST)

    @property
    def flops_per_second(self) -> float | None:
        """FLOPs (2 × MACs) of a run, by its median; None where an operation is unpriced."""
        return self.cost.flops / self.seconds if self.cost.flops is not None and self.seconds else None

    @cached_property
    def rows(self) -> tuple[TimedRow, ...]:
        """The rows of the forward pass, each with what derives it."""
        times = self.measurement.rows
        return tuple(make_timed_row(row, self.report, times, self.ceilings) for row in self.report.rows)

    def sum_rows(self, indexes: Iterable[int]) -> TimeSum:
        """The sum over rows, by their indexes."""
        return sum_times([self.rows[index].spent for index in indexes])

    @cached_property
    def all_rows(self) -> TimeSum:
        """The sum over all rows."""
        return self.sum_rows(range(len(self.rows)))

    @cached_property
    def whole_run(self) -> TimeSum:
        """The whole as it was measured, with the optimizer's least time; of its time `backward` is the part of that
        name, in inference 0."""
        parts = {name: samples.median for name, samples in self.measurement.parts}
        backward = 0.0 if self.report.backward_total is None else parts.get("backward")
        forward = None if self.seconds is None else self.seconds - (backward or 0.0)
        held: list[tuple[BoundKind, float]] = [*self.all_rows.least_by_kind, ("memory", self.optimizer_least)]
        return replace(
            self.all_rows,
            seconds=forward,
            backward=backward,
            least=self.all_rows.least + self.optimizer_least,
            least_by_kind=sum_by_kind(item for item in held if item[1]),
        )

    @property
    def least(self) -> float | None:
        """Seconds that all rows, and the optimizer, take at best, one after another; None without ceilings."""
        return self.whole_run.least if self.ceilings is not None else None

    @property
    def optimizer_least(self) -> float:
        """Seconds in which what an optimizer's step reads and writes can be moved; 0 where there is none."""
        name = dict(self.options).get("optimizer")
        moved = OPTIMIZERS[str(name)].moved * sum(trained_param_sizes(self.report.trace)) if name else 0
        return moved / self.ceilings.bandwidth(moved) if self.ceilings is not None and moved else 0.0

    @property
    def of_roofline(self) -> float | None:
        """The least time as a share of the median."""
        return self.least / self.seconds if self.least and self.seconds and self.all_rows.exact else None

    @property
    def accounted(self) -> float | None:
        """The share of the median that the rows sum to, and in training the optimizer."""
        times = self.measurement.rows
        return (
            None if times is None or not self.seconds else (times.known_seconds + self.optimizer_seconds) / self.seconds
        )

    @property
    def optimizer_seconds(self) -> float:
        """Seconds of the optimizer's step; 0 where there is none."""
        return next((samples.median for name, samples in self.measurement.parts if name == "optimizer"), 0.0)

    @property
    def between_rows(self) -> float | None:
        """Seconds that no row took: Python and autograd on CPU, waiting for launches on a GPU."""
        times = self.measurement.rows
        return (
            None if times is None or not self.seconds else self.seconds - times.known_seconds - self.optimizer_seconds
        )

    @property
    def launch_cost(self) -> float | None:
        """Seconds by which the replay of a CUDA graph is shorter; None where there is none."""
        graph = self.measurement.graph_replays
        return None if graph is None or self.seconds is None else self.seconds - graph.median

    @cached_property
    def fusible(self) -> tuple[FusibleRows, ...]:
        """What would go if it were fused with the row before it."""
        times = self.measurement.rows
        return find_fusible(self.report, times.forward) if times is not None else ()

    @property
    def worth_fusing(self) -> tuple[FusibleRows, ...]:
        """What of it is more than half a per cent of the time."""
        return tuple(group for group in self.fusible if self.seconds and group.seconds > self.seconds / 200)

    def points(self) -> tuple[RooflinePoint, ...]:
        """The timed rows, for a picture; rows that are alike in what they do and move are one point. Those of unknown
        FLOPs have no place there."""
        alike: dict[object, list[TimedRow]] = {}
        for row in self.rows:
            if row.bounds and row.spent.total_seconds and row.spent.flops is not None:
                key = row.priced.op, row.spent.flops, row.spent.moved, row.spent.bound, row.dtype
                alike.setdefault(key, []).append(row)
        return tuple(map(point_of, alike.values()))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document `archscope.timing/1`; unknown is None."""
        return timing_document(self)

    def __repr__(self) -> str:
        return f"<Timing {self.target}: {self.seconds} s on {self.measurement.machine.device}>"

    def __str__(self) -> str:
        return self.views.text(self)

    def _repr_html_(self) -> str | None:
        return self.views.html(self) if self.views.html else None


def point_of(rows: Sequence[TimedRow]) -> RooflinePoint:
    """Rows that are alike in the picture: `encoder.0.main.att ×12`, all of them together."""
    spent, first, times = sum_times([row.spent for row in rows]), rows[0].priced, len(rows)
    called = first.path if first.path and not first.path.rpartition(".")[2].isdigit() else f"{first.path} {first.op}"
    return RooflinePoint(
        name=f"{called.strip()}{f' ×{times}' if times > 1 else ''}",
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
    derived = report.backward_by_row.get(index)
    backward = times.backward[index] if times and times.backward else None
    if derived is None:
        backward = backward or 0.0
    steps = [
        (priced.total, kernel_count(priced.row)),
        *([(derived, report.backward_kernel_counts[index])] if derived else []),
    ]
    dtype = roof_dtype(priced.row, ceilings)
    bounds = [] if ceilings is None else [row_bound(total, count, dtype, ceilings) for total, count in steps]
    there = tuple(one for one in bounds if one is not None)
    spent = TimeSum(
        seconds=forward,
        backward=backward,
        least=fsum(one.known_seconds for one in there),
        exact=all(one.seconds is not None for one in there),
        flops=None if any(total.partial for total, _ in steps) else sum(2 * total.known for total, _ in steps),
        moved=sum(total.read + total.written for total, _ in steps),
        least_by_kind=sum_by_kind((one.kind, one.known_seconds) for one in there),
    )
    return TimedRow(priced, spent, there, dtype)


def known_seconds(seconds: float | None, priced: PricedRow, traits: DeviceTraits) -> float | None:
    """Products that took a GPU no time were computed elsewhere, where nobody looked."""
    return None if seconds == 0 and priced.cost.known and traits.is_async else seconds


def row_bound(total: Total, kernels: int, dtype: str, ceilings: Ceilings) -> Bound | None:
    return compute_bound(
        flops=total.flops, moved=total.read + total.written, kernels=kernels, dtype=dtype, ceilings=ceilings
    )


def roof_dtype(row: Row, ceilings: Ceilings | None) -> str:
    """The peak that holds a row's products: of the dtype that it gives, or of TF32 where a GPU may use that."""
    dtype = next((value.dtype for value in row.outputs), "float32")
    setting = "tf32_conv" if row.short_name.startswith(CUDNN_PREFIXES) else "tf32"
    return TF32_DTYPE if dtype == "float32" and ceilings is not None and ceilings.machine.setting(setting) else dtype


def kernel_count(row: Row) -> int:
    """How many kernels a row starts at least: none for a view, one for what is free of products."""
    return 0 if row.view else max(1, len(row.kernels))


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
    """None where one of them is not known."""
    return None if None in seconds else fsum(second for second in seconds if second is not None)


def sum_by_kind(items: Iterable[tuple[BoundKind, float]]) -> tuple[tuple[BoundKind, float], ...]:
    found: dict[BoundKind, float] = {}
    for kind, seconds in items:
        found[kind] = found.get(kind, 0.0) + seconds
    return tuple(found.items())
