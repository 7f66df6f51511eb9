"""Grids of timings as a Sheet or CSV: one line for every batch size and dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.profiling.grid import Grid
from archscope.profiling.timing import Timing
from archscope.render.json_csv import format_csv
from archscope.render.table_content import Heading, Sheet, format_first_names
from archscope.render.timings import (
    disturbance_notes,
    format_count,
    format_percent,
    format_rate,
    format_seconds,
    machine_phrases,
)

GRID_HEADINGS = (
    Heading("path", "dtype"),
    Heading("batch", "batch", right=True),
    Heading("time", "time", right=True),
    Heading("iqr", "IQR", right=True),
    Heading("runs", "runs", right=True),
    Heading("throughput", "examples/s", right=True),
    Heading("rate", "FLOP/s", right=True),
    Heading("roofline", "roofline", right=True),
    Heading("graph", "CUDA graph", right=True),
    Heading("predicted", "memory", right=True),
    Heading("measured", "measured", right=True),
)


def grid_sheet(grid: Grid) -> Sheet:
    """Return one line for every timing; empty columns are left out."""
    rows = [grid_row(timing) for timing in grid.timings]
    kept = [at for at, heading in enumerate(GRID_HEADINGS) if any(row[at] for row in rows) or heading.name == "path"]
    first = grid.timings[0]
    noisy = [f"{t.report.trace.dtype} batch {t.report.batch}" for t in grid.timings if t.total and t.total.noisy]
    return Sheet(
        head=(first.report.title or first.target, first.report.trace.mode, *machine_phrases(first)),
        headings=tuple(GRID_HEADINGS[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in rows),
        foot=("time: median of the runs", "FLOP/s: 2 × MACs", "memory: at its highest, predicted and measured"),
        help="CSV and JSON have them",
        notes=(*([f"noisy: {format_first_names(noisy)}"] if noisy else []), *grid_notes(grid)),
    )


def grid_notes(grid: Grid) -> Iterator[str]:
    last = grid.timings[-1]
    yield from (note for note in disturbance_notes(last) if note.startswith(("other", "others")))
    yield from (" ".join(reason.split()) for reason in grid.refused)
    if grid.interrupted:
        yield f"interrupted: {len(grid.timings)} of {grid.planned} were measured"


def grid_row(timing: Timing) -> tuple[str, ...]:
    own, total, footprint = timing.measurement, timing.total, timing.memory
    return (
        timing.report.trace.dtype,
        "" if timing.report.batch is None else units.format_count(timing.report.batch),
        format_seconds(timing.seconds),
        "" if total is None else format_seconds(total.iqr),
        "" if total is None else units.format_count(total.runs),
        format_count(timing.throughput),
        format_rate(timing.flops_per_second, "FLOP/s"),
        format_percent(timing.of_roofline, 1.0),
        "" if own.graph_replays is None else format_seconds(own.graph_replays.median),
        "" if footprint.predicted is None else units.format_bytes(footprint.predicted.peak),
        "" if footprint.measured is None else units.format_bytes(footprint.measured),
    )


# ------------------------------------------------------------ for programs
GRID_CSV_HEAD = (
    "dtype",
    "batch",
    "median_s",
    "iqr_s",
    "runs",
    "examples_per_s",
    "flops_per_s",
    "of_roofline",
    "graph_s",
)


def grid_csv(grid: Grid) -> str:
    return format_csv(
        [(*GRID_CSV_HEAD, "peak_predicted", "peak_measured", "machine"), *map(grid_csv_row, grid.timings)]
    )


def grid_csv_row(timing: Timing) -> Sequence[object]:
    total, graph, footprint = timing.total, timing.measurement.graph_replays, timing.memory
    return (
        timing.report.trace.dtype,
        timing.report.batch,
        timing.seconds,
        None if total is None else total.iqr,
        None if total is None else total.runs,
        timing.throughput,
        timing.flops_per_second,
        timing.of_roofline,
        None if graph is None else graph.median,
        None if footprint.predicted is None else footprint.predicted.peak,
        footprint.measured,
        ", ".join(machine_phrases(timing)),
    )
