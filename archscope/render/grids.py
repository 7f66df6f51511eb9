"""Grid → Sheet, CSV: one line for every batch size and dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.render.data import table
from archscope.render.sheet import Heading, Sheet, listed
from archscope.render.timings import count, disturbed, machine, percent, rate, seconds
from archscope.timing import Grid, Timing

HEADINGS = (
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


def sheet(grid: Grid) -> Sheet:
    """One line for every timing; columns that none of them fills are left out."""
    rows = [cell(timing) for timing in grid.timings]
    kept = [at for at, heading in enumerate(HEADINGS) if any(row[at] for row in rows) or heading.name == "path"]
    first = grid.timings[0]
    noisy = [f"{t.report.trace.dtype} batch {t.report.batch}" for t in grid.timings if t.total and t.total.noisy]
    return Sheet(
        head=(first.report.title or first.target, first.report.trace.mode, *machine(first)),
        headings=tuple(HEADINGS[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in rows),
        foot=("time: median of the runs", "FLOP/s: 2 × MACs", "memory: at its highest, predicted and measured"),
        cure="CSV and JSON have them",
        notes=(*([f"noisy: {listed(noisy)}"] if noisy else []), *rest(grid)),
    )


def rest(grid: Grid) -> Iterator[str]:
    last = grid.timings[-1]
    yield from (note for note in disturbed(last) if note.startswith(("other", "others")))
    yield from (" ".join(reason.split()) for reason in grid.refused)
    if grid.interrupted:
        yield f"interrupted: {len(grid.timings)} of {grid.planned} were measured"


def cell(timing: Timing) -> tuple[str, ...]:
    own, total, footprint = timing.measurement, timing.total, timing.memory
    return (
        timing.report.trace.dtype,
        "" if timing.report.batch is None else units.count(timing.report.batch),
        seconds(timing.seconds),
        "" if total is None else seconds(total.iqr),
        "" if total is None else units.count(total.runs),
        count(timing.throughput),
        rate(timing.flops_per_second, "FLOP/s"),
        percent(timing.of_roofline, 1.0),
        "" if own.graph is None else seconds(own.graph.median),
        "" if footprint.predicted is None else units.size(footprint.predicted.peak),
        "" if footprint.measured is None else units.size(footprint.measured),
    )


# ------------------------------------------------------------ for programs
CSV_HEAD = ("dtype", "batch", "median_s", "iqr_s", "runs", "examples_per_s", "flops_per_s", "of_roofline", "graph_s")


def csv(grid: Grid) -> str:
    return table([(*CSV_HEAD, "peak_predicted", "peak_measured", "machine"), *map(line, grid.timings)])


def line(timing: Timing) -> Sequence[object]:
    total, graph, footprint = timing.total, timing.measurement.graph, timing.memory
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
        ", ".join(machine(timing)),
    )
