"""Timings as a Sheet or CSV: the outline of a net with the time of every line, its bound, and the least time.

Lines sum to the whole: time that belongs to no row (the optimizer, Python between the rows) has lines of its own at
the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isfinite

from archscope import units
from archscope.graph.outline import breakdown
from archscope.graph.outline_lines import OutlineLine, leaf_lines
from archscope.profiling.measurement import Samples
from archscope.profiling.timing import Footprint, TimeSum, Timing
from archscope.render import json_csv
from archscope.render.columns import Column
from archscope.render.table_content import (
    Heading,
    Sheet,
    TableOptions,
    flops_sheet,
    head_phrases,
    sort_lines,
    summary_sheet,
)

DEFAULT_TIMING = ("path", "layer", "output", "time", "of_time", "bound", "best", "roofline")
DEFAULT_TIMING_BY = ("path", "calls", "macs", "time", "of_time", "bound", "best", "roofline", "rate")
TIMING_CSV = ("path", "layer", "output", "params", "macs", "flops", "read", "written")
TIME_COLUMNS = ("time", "backward_time", "of_time", "bound", "best", "roofline", "rate", "bandwidth", "intensity")
"""The columns that only a timing has."""
MAX_DRIFT = 0.2
"""A change from the first third of the runs to the last that is reported."""

WHOLE_HEADINGS = (
    Heading("path", ""),
    Heading("time", "time", right=True),
    Heading("iqr", "IQR", right=True),
    Heading("runs", "runs", right=True),
)


# ------------------------------------------------------------ columns
def timing_columns(timing: Timing) -> tuple[Column, ...]:
    """Return the columns of a timing, which are shown beside those of its report."""

    def derived(sums: TimeSum) -> float | None:
        return None if timing.report.backward_total is None else sums.backward

    def column(
        name: str, header: str, value: Callable[[TimeSum], object], text: Callable[[TimeSum], str], key: str
    ) -> Column:
        return Column(
            name,
            header,
            lambda line, _: text(line_time(line, timing)),
            lambda line, _: value(line_time(line, timing)),
            key,
            right=name != "bound",
            total=True,
        )

    return (
        column("time", "time", lambda s: s.total_seconds, lambda s: format_seconds(s.total_seconds), "device_s"),
        column("backward_time", "backward time", derived, lambda s: format_seconds(derived(s)), "backward_s"),
        column(
            "of_time",
            "of time",
            lambda s: share_of(s.total_seconds, timing.seconds),
            lambda s: format_percent(s.total_seconds, timing.seconds),
            "share",
        ),
        column("bound", "bound", lambda s: s.bound, lambda s: s.bound or "", "bound"),
        column("best", "at best", lambda s: s.least if s.exact else None, format_best, "least_s"),
        column(
            "roofline", "roofline", lambda s: s.of_roofline, lambda s: format_percent(s.of_roofline, 1.0), "of_roofline"
        ),
        column(
            "rate",
            "FLOP/s",
            lambda s: s.flops_per_second,
            lambda s: format_rate(s.flops_per_second, "FLOP/s"),
            "flops_per_s",
        ),
        column(
            "bandwidth",
            "bytes/s",
            lambda s: s.bytes_per_second,
            lambda s: format_rate(s.bytes_per_second, "B/s"),
            "bytes_per_s",
        ),
        column(
            "intensity",
            "FLOPs/byte",
            lambda s: s.intensity,
            lambda s: f"{s.intensity:.3g}" if s.intensity else "",
            "intensity",
        ),
    )


def line_time(line: OutlineLine, timing: Timing) -> TimeSum:
    """Return the time of a line; of the bottom line, that of the whole."""
    if line.kind == "total":
        return timing.whole_run
    return timing.sum_rows(line.rows) if line.rows else TimeSum(None, None, exact=False)


def format_seconds(value: float | None) -> str:
    return "" if value is None else f"{'−' * (value < 0)}{units.format_duration(abs(value))}" if value else "0"


def share_of(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole


def format_percent(value: float | None, whole: float | None) -> str:
    share = share_of(value, whole)
    return "" if share is None else f"{'−' * (share < 0)}{units.format_share(round(abs(share) * 1_000_000), 1_000_000)}"


def format_best(sums: TimeSum) -> str:
    return f"{'' if sums.exact else '≥'}{units.format_duration(sums.least)}" if sums.least else ""


def format_rate(value: float | None, unit: str) -> str:
    return units.format_rate(value, unit) if value else ""


def default_columns(names: Sequence[str], timing: Timing) -> tuple[str, ...]:
    """Return the default columns; those of a roofline only if there is one."""
    gone = set() if timing.ceilings is not None else {"bound", "best", "roofline"}
    gone |= set() if timing.measurement.rows is not None else {"time", "of_time", "roofline", "rate", "bandwidth"}
    shown = [name for name in names if name not in gone]
    if timing.report.backward_total is not None and "time" in shown:
        shown.insert(shown.index("time") + 1, "backward_time")
    return tuple(shown)


# ------------------------------------------------------------ one timing
def timing_sheet(timing: Timing, table_options: TableOptions = TableOptions()) -> Sheet:  # noqa: B008 - frozen
    """Return the table of a net with times, or with `by` that of its parts."""
    if timing.measurement.rows is None and not (table_options.columns or table_options.by):
        return whole_sheet(timing)
    extra = timing_columns(timing)
    laid = flops_sheet if table_options.by else summary_sheet
    names = default_columns(DEFAULT_TIMING_BY if table_options.by else DEFAULT_TIMING, timing)
    base = laid(timing.report, table_options, names=names, extra=extra)
    rest = [unassigned_row(base.headings, *line, timing) for line in unassigned_times(timing)]
    return replace(
        base,
        head=(*head_phrases(timing.report), *machine_phrases(timing)),
        rows=(*base.rows, *rest),
        foot=tuple(foot_phrases(timing)),
        notes=tuple(timing_notes(timing, base.notes)),
    )


def whole_sheet(timing: Timing) -> Sheet:
    """Return the table of a timing without rows: the whole, its parts, and its replay as a CUDA graph."""
    own = timing.measurement
    unit = "step" if timing.report.trace.mode == "train" else "run"
    found = [(unit, own.whole_run), *own.parts, ("CUDA graph", own.graph_replays)]
    rows = [
        (name, format_seconds(s.median), format_seconds(s.iqr), units.format_count(s.runs))
        for name, s in found
        if s is not None
    ]
    return Sheet(
        head=(*head_phrases(timing.report), *machine_phrases(timing)),
        headings=WHOLE_HEADINGS if rows else (),
        rows=tuple(rows),
        foot=tuple(foot_phrases(timing)),
        notes=tuple(timing_notes(timing, ())),
    )


def unassigned_times(timing: Timing) -> Iterator[tuple[str, str, float]]:
    """Yield the time that belongs to no row: name, explanation, seconds."""
    times = timing.measurement.rows
    if times is None:
        return
    if times.unattributed:
        yield "elsewhere", "work of no row", times.unattributed
    if timing.optimizer_seconds:
        yield "optimizer", str(dict(timing.options).get("optimizer", "")), timing.optimizer_seconds
    if timing.between_rows:
        yield "between", timing.measurement.machine.traits.idle_cause, timing.between_rows


def unassigned_row(headings: Sequence[Heading], name: str, text: str, value: float, timing: Timing) -> tuple[str, ...]:
    cells = {
        "path": name,
        "layer": text,
        "time": format_seconds(value),
        "of_time": format_percent(value, timing.seconds),
    }
    return tuple(cells.get(heading.name, "") for heading in headings)


def machine_phrases(timing: Timing) -> Iterator[str]:
    """Yield the properties that a time depends on: `Xeon, 2 threads`, `torch 2.13.0`, `adamw`, `TF32`."""
    own = timing.measurement.machine
    threads = own.setting("threads")
    yield own.name if own.kind != "cpu" else f"{own.name}, {threads} thread{'s' * (threads != 1)}"
    yield ", ".join(f"{name} {version}" for name, version in own.versions if version and name != "python")
    yield from ([f"driver {own.driver}"] if own.driver else [])
    options = dict(timing.options)
    yield from (name for name in ("compile", "channels_last") if options.get(name))
    if own.traits.tf32:
        yield tf32_text(bool(own.setting("tf32")), bool(own.setting("tf32_conv")))


def tf32_text(products: bool, convolutions: bool) -> str:
    """Return the note on TF32; torch has separate settings for products, and for convolutions and recurrent layers."""
    if products == convolutions:
        return "TF32 on" if products else "TF32 off"
    return "TF32 for products only" if products else "TF32 for convolutions only"


def foot_phrases(timing: Timing) -> Iterator[str]:
    """Yield the time of the whole, its uncertainty, the rates, the share of the roofline, and the memory."""
    total = timing.total
    if total is not None:
        unit = "step" if timing.report.trace.mode == "train" else "run"
        yield f"{units.format_duration(total.median)} a {unit} ({describe_runs(total)})"
        parts = [f"{name} {units.format_duration(samples.median)}" for name, samples in timing.measurement.parts]
        if parts:
            yield ", ".join(parts)
        yield f"{format_count(timing.throughput)} {'examples' if timing.report.batch else 'runs'}/s"
    if timing.flops_per_second:
        yield f"{units.format_rate(timing.flops_per_second, 'FLOP/s')} (2 × MACs)"
    yield from graph_phrases(timing)
    yield from limit_phrases(timing)
    yield from memory_phrases(timing.memory)


def describe_runs(samples: Samples) -> str:
    """Return `median of 203, IQR 0.3 ms`, and whether the runs are noisy."""
    each = f" × {samples.runs_per_sample} runs" if samples.runs_per_sample > 1 else ""
    text = f"median of {samples.runs}{each}, IQR {units.format_duration(samples.iqr)}"
    return f"{text}: noisy" if samples.noisy else text


def format_count(value: float | None) -> str:
    return "?" if value is None else units.format_count(round(value)) if value >= 100 else f"{value:.3g}"


def graph_phrases(timing: Timing) -> Iterator[str]:
    """Yield the time as a CUDA graph and the cost of launches; or the reason why there is none."""
    own, cost = timing.measurement, timing.launch_cost
    if own.graph_replays is not None and cost is not None:
        yield f"{units.format_duration(own.graph_replays.median)} as a CUDA graph: launches cost {format_seconds(cost)}"
    elif own.machine.traits.is_async and own.no_graph_reason:
        yield f"no CUDA graph: {own.no_graph_reason}"


def limit_phrases(timing: Timing) -> Iterator[str]:
    """Yield `2.9 ms at best: 71 % of the roofline`, and the time that fusing could save."""
    if not timing.least:
        return
    sure = "" if timing.all_rows.exact else "at least "
    share = f": {format_percent(timing.of_roofline, 1.0)} of the roofline" if timing.of_roofline else ""
    yield f"{sure}{units.format_duration(timing.least)} at best{share}"
    for group in timing.worth_fusing:
        yield f"{units.format_duration(group.seconds)} could be saved by fusing {group.kind}"


def memory_phrases(footprint: Footprint) -> Iterator[str]:
    predicted, measured = footprint.predicted, footprint.measured
    if predicted is not None:
        yield f"memory {units.format_bytes(predicted.peak)} at its highest by prediction"
    if measured is not None:
        ratio = f" ({footprint.ratio:.2f}× predicted ÷ measured)" if footprint.ratio else ""
        yield f"{units.format_bytes(measured)} measured{ratio}"
    if footprint.largest_batch is not None and footprint.available is not None:
        yield (
            f"a batch of about {units.format_about(footprint.largest_batch)} "
            f"would fit in {units.format_bytes(footprint.available)}"
        )


def timing_notes(timing: Timing, base: Sequence[str]) -> Iterator[str]:
    """Yield notes: how the rows were timed and what they sum to, the memory, and disturbances."""
    own = timing.measurement
    yield from (note for note in base if not note.startswith("backward: MACs"))
    if own.rows is not None and timing.accounted is not None:
        accounted = format_percent(timing.accounted, 1.0) or "0 %"
        yield f"rows: {own.rows.method}, {own.rows.runs} runs; they sum to {accounted} of the whole"
        if timing.accounted > 1.05:
            yield "timed function by function it takes longer: what torch fuses (an encoder, say) runs in parts"
        if own.rows.discarded_runs:
            yield f"{own.rows.discarded_runs} more runs called other functions, and do not count"
        unseen = sum(row.spent.seconds is None and row.priced.row.is_executed for row in timing.rows)
        if unseen:
            yield f"not seen one by one, so of unknown time: {unseen} row{'s' * (unseen > 1)}"
    elif dict(timing.options).get("compile"):
        yield "compiled: torch.compile fuses rows, so only the whole is measured"
    if timing.ceilings is not None:
        yield "bound: what the least time (at best) is spent on; roofline: at best ÷ time"
    yield from memory_notes(timing)
    yield from disturbance_notes(timing)
    yield from own.notes


def memory_notes(timing: Timing) -> Iterator[str]:
    """Yield what the memory consists of, and the row of its peak."""
    predicted = timing.memory.predicted
    if predicted is None:
        return
    parts = (
        ("parameters", predicted.params),
        ("buffers", predicted.buffers),
        ("inputs", predicted.inputs),
        ("gradients", predicted.gradients),
        ("optimizer states", predicted.optimizer),
        ("saved for backward" if predicted.gradients else "outputs", predicted.activations),
    )
    parts_text = ", ".join(f"{name} {units.format_bytes(size)}" for name, size in parts if size)
    rows = timing.report.backward if predicted.backward else timing.report.rows
    highest = ""
    if predicted.row is not None and 0 <= predicted.row < len(rows):
        row = rows[predicted.row]
        highest = f"; highest {'backward ' * predicted.backward}at {row.path or row.op}"
    yield f"memory: {parts_text}{highest}"


def disturbance_notes(timing: Timing) -> Iterator[str]:
    """Yield reasons why the figures are less reliable: other processes, runs that differ, an interruption."""
    own = timing.measurement
    if timing.ceilings is not None and timing.ceilings.disturbed:
        yield "the ceilings were measured while others may have kept the device busy: archscope device --again"
    if own.load is not None and own.load.disturbs(own.machine):
        yield f"other work kept {own.load.cores:.1f} of {own.machine.cores} cores busy meanwhile: times are too long"
    if own.load is not None and own.load.bytes:
        yield f"others hold {units.format_bytes(own.load.bytes)} of the device's memory, and may be at work on it"
    if own.whole_run is not None and own.whole_run.noisy and isfinite(own.whole_run.margin):
        margin = units.format_duration(own.whole_run.margin)
        yield f"noisy: the median is known to ±{margin} only; seconds=… gives it longer"
    if own.whole_run is not None and abs(own.whole_run.drift) > MAX_DRIFT:
        word = "slower" if own.whole_run.drift > 0 else "faster"
        yield f"the runs became {word} as they went on, by {format_percent(abs(own.whole_run.drift), 1.0)}"
    if own.interrupted:
        yield "interrupted: what was measured so far"


# ------------------------------------------------------------ for programs
def timing_csv(timing: Timing, table_options: TableOptions = TableOptions()) -> str:  # noqa: B008 - frozen
    """Return one line per step, or per part; unknown times are empty cells."""
    report, extra = timing.report, timing_columns(timing)
    if table_options.by:
        lines = [
            line
            for _, line in leaf_lines(
                breakdown(report, table_options.by, depth=table_options.depth, expand=table_options.expand)
            )
        ]
        usually: Sequence[str] = ("path", "calls", *TIMING_CSV[3:], *TIME_COLUMNS)
    else:
        lines, usually = json_csv.outline_leaves(report, table_options), (*TIMING_CSV, *TIME_COLUMNS)
    where = ", ".join(machine_phrases(timing))
    extra = (*extra, Column("machine", "machine", lambda *_: where, lambda *_: where))
    lines = sort_lines(table_options.sort, lines, report, extra)
    return json_csv.lines_csv(report, lines, (*(table_options.columns or usually), "machine"), extra)
