"""Timing → Sheet, CSV: the outline of a net with the time of every line, what holds it, and the least it takes.

Lines sum to the whole: what no row took (the optimizer, Python between the rows) has lines of its own at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isfinite

from archscope import units
from archscope.measurement import Samples
from archscope.render import data
from archscope.render.columns import Column
from archscope.render.sheet import Heading, Sheet, Wish, flops, head, sorted_by, summary
from archscope.report import Line, Report, breakdown, leaves
from archscope.timing import Footprint, Spent, Timing

USUAL = ("path", "layer", "output", "time", "of_time", "bound", "best", "roofline")
USUAL_BY = ("path", "calls", "macs", "time", "of_time", "bound", "best", "roofline", "rate")
CSV = ("path", "layer", "output", "params", "macs", "flops", "read", "written")
TIMES = ("time", "backward_time", "of_time", "bound", "best", "roofline", "rate", "bandwidth", "intensity")
"""The columns that only a timing has."""
DRIFT = 0.2
"""A change from the first third of the runs to the last that a reader must know of."""

WHOLE = (
    Heading("path", ""),
    Heading("time", "time", right=True),
    Heading("iqr", "IQR", right=True),
    Heading("runs", "runs", right=True),
)


# ------------------------------------------------------------ columns
def columns(timing: Timing) -> tuple[Column, ...]:
    """The columns of a timing, to stand beside those of its report."""

    def derived(sums: Spent) -> float | None:
        return None if timing.report.backward_total is None else sums.backward

    def column(
        name: str, header: str, value: Callable[[Spent], object], text: Callable[[Spent], str], key: str
    ) -> Column:
        return Column(
            name,
            header,
            lambda line, _: text(spent(line, timing)),
            lambda line, _: value(spent(line, timing)),
            key,
            right=name != "bound",
            total=True,
        )

    return (
        column("time", "time", lambda s: s.whole, lambda s: seconds(s.whole), "device_s"),
        column("backward_time", "backward time", derived, lambda s: seconds(derived(s)), "backward_s"),
        column(
            "of_time",
            "of time",
            lambda s: part(s.whole, timing.seconds),
            lambda s: percent(s.whole, timing.seconds),
            "share",
        ),
        column("bound", "bound", lambda s: s.bound, lambda s: s.bound or "", "bound"),
        column("best", "at best", lambda s: s.least if s.sure else None, best, "least_s"),
        column("roofline", "roofline", lambda s: s.of_roofline, lambda s: percent(s.of_roofline, 1.0), "of_roofline"),
        column(
            "rate", "FLOP/s", lambda s: s.flops_per_second, lambda s: rate(s.flops_per_second, "FLOP/s"), "flops_per_s"
        ),
        column(
            "bandwidth",
            "bytes/s",
            lambda s: s.bytes_per_second,
            lambda s: rate(s.bytes_per_second, "B/s"),
            "bytes_per_s",
        ),
        column("intensity", "FLOPs/byte", lambda s: s.intensity, lambda s: number(s.intensity), "intensity"),
    )


def spent(line: Line, timing: Timing) -> Spent:
    """What a line took; the bottom line what the whole took."""
    if line.kind == "total":
        return timing.bottom
    return timing.spent(line.rows) if line.rows else Spent(None, None, sure=False)


def seconds(value: float | None) -> str:
    return "" if value is None else f"{'−' * (value < 0)}{units.duration(abs(value))}" if value else "0"


def part(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole


def percent(value: float | None, whole: float | None) -> str:
    share = part(value, whole)
    return "" if share is None else f"{'−' * (share < 0)}{units.share(round(abs(share) * 1_000_000), 1_000_000)}"


def best(sums: Spent) -> str:
    return f"{'' if sums.sure else '≥'}{units.duration(sums.least)}" if sums.least else ""


def rate(value: float | None, unit: str) -> str:
    return units.rate(value, unit) if value else ""


def number(value: float | None) -> str:
    return "" if not value else f"{value:.3g}"


def usual(names: Sequence[str], timing: Timing) -> tuple[str, ...]:
    """Columns that nobody asked for: those of a roofline only where there is one."""
    gone = set() if timing.ceilings is not None else {"bound", "best", "roofline"}
    gone |= set() if timing.measurement.rows is not None else {"time", "of_time", "roofline", "rate", "bandwidth"}
    shown = [name for name in names if name not in gone]
    if timing.report.backward_total is not None and "time" in shown:
        shown.insert(shown.index("time") + 1, "backward_time")
    return tuple(shown)


# ------------------------------------------------------------ one timing
def sheet(timing: Timing, wish: Wish = Wish()) -> Sheet:  # noqa: B008 - frozen
    """The table of a net, or with `by` its parts, with times."""
    if timing.measurement.rows is None and not (wish.columns or wish.by):
        return whole_sheet(timing)
    extra = columns(timing)
    laid = flops if wish.by else summary
    names = usual(USUAL_BY if wish.by else USUAL, timing)
    base = laid(timing.report, wish, names=names, extra=extra)
    rest = [rested(base.headings, *line, timing) for line in others(timing)]
    return replace(
        base,
        head=(*head(timing.report), *machine(timing)),
        rows=(*base.rows, *rest),
        foot=tuple(foot(timing)),
        notes=tuple(notes(timing, base.notes)),
    )


def whole_sheet(timing: Timing) -> Sheet:
    """Without rows: the whole, its parts, and its replay as a CUDA graph."""
    own = timing.measurement
    one = "step" if timing.report.trace.mode == "train" else "run"
    found = [(one, own.whole), *own.parts, ("CUDA graph", own.graph)]
    rows = [(name, seconds(s.median), seconds(s.iqr), units.count(s.runs)) for name, s in found if s is not None]
    return Sheet(
        head=(*head(timing.report), *machine(timing)),
        headings=WHOLE if rows else (),
        rows=tuple(rows),
        foot=tuple(foot(timing)),
        notes=tuple(notes(timing, ())),
    )


def others(timing: Timing) -> Iterator[tuple[str, str, float]]:
    """What no row took: name, explanation, seconds."""
    times = timing.measurement.rows
    if times is None:
        return
    if times.ownerless:
        yield "elsewhere", "work of no row", times.ownerless
    if timing.optimizer:
        yield "optimizer", str(dict(timing.options).get("optimizer", "")), timing.optimizer
    if timing.between:
        yield "between", timing.measurement.machine.traits.idle, timing.between


def rested(headings: Sequence[Heading], name: str, text: str, value: float, timing: Timing) -> tuple[str, ...]:
    cells = {"path": name, "layer": text, "time": seconds(value), "of_time": percent(value, timing.seconds)}
    return tuple(cells.get(heading.name, "") for heading in headings)


def machine(timing: Timing) -> Iterator[str]:
    """`Xeon, 2 threads · torch 2.13.0 · adamw · TF32`: what a time depends on."""
    own = timing.measurement.machine
    threads = own.setting("threads")
    yield own.name if own.kind != "cpu" else f"{own.name}, {threads} thread{'s' * (threads != 1)}"
    yield ", ".join(f"{name} {version}" for name, version in own.versions if version and name != "python")
    yield from ([f"driver {own.driver}"] if own.driver else [])
    options = dict(timing.options)
    yield from (name for name in ("compile", "channels_last") if options.get(name))
    if own.traits.tf32:
        yield tf32(bool(own.setting("tf32")), bool(own.setting("tf32_conv")))


def tf32(products: bool, convolutions: bool) -> str:
    """Torch has a setting for products, and one for convolutions and recurrent layers."""
    if products == convolutions:
        return "TF32 on" if products else "TF32 off"
    return "TF32 for products only" if products else "TF32 for convolutions only"


def foot(timing: Timing) -> Iterator[str]:
    """The whole, how sure it is, how fast, how far from the limit, and the memory."""
    total = timing.total
    if total is not None:
        one = "step" if timing.report.trace.mode == "train" else "run"
        yield f"{units.duration(total.median)} a {one} ({runs(total)})"
        yield from parts(timing)
        yield f"{count(timing.throughput)} {'examples' if timing.report.batch else 'runs'}/s"
    if timing.flops_per_second:
        yield f"{units.rate(timing.flops_per_second, 'FLOP/s')} (2 × MACs)"
    yield from graphs(timing)
    yield from limits(timing)
    yield from memory(timing.memory)


def runs(samples: Samples) -> str:
    """`median of 203, IQR 0.3 ms`, and whether they are noisy."""
    each = f" × {samples.each} runs" if samples.each > 1 else ""
    one = f"median of {samples.runs}{each}, IQR {units.duration(samples.iqr)}"
    return f"{one}: noisy" if samples.noisy else one


def parts(timing: Timing) -> Iterator[str]:
    named = [f"{name} {units.duration(samples.median)}" for name, samples in timing.measurement.parts]
    if named:
        yield ", ".join(named)


def count(value: float | None) -> str:
    return "?" if value is None else units.count(round(value)) if value >= 100 else f"{value:.3g}"


def graphs(timing: Timing) -> Iterator[str]:
    """The replay of a CUDA graph, and what that saves; or why there is none."""
    own, cost = timing.measurement, timing.launch_cost
    if own.graph is not None and cost is not None:
        yield f"{units.duration(own.graph.median)} as a CUDA graph: launches cost {seconds(cost)}"
    elif own.machine.traits.queued and own.no_graph:
        yield f"no CUDA graph: {own.no_graph}"


def limits(timing: Timing) -> Iterator[str]:
    """`2.9 ms at best: 71 % of the roofline`, and what fusing could save."""
    if not timing.least:
        return
    sure = "" if timing.whole.sure else "at least "
    share = f": {percent(timing.of_roofline, 1.0)} of the roofline" if timing.of_roofline else ""
    yield f"{sure}{units.duration(timing.least)} at best{share}"
    for group in timing.worth:
        yield f"{units.duration(group.seconds)} could be saved by fusing {group.kind}"


def memory(footprint: Footprint) -> Iterator[str]:
    predicted, measured = footprint.predicted, footprint.measured
    if predicted is not None:
        yield f"memory {units.size(predicted.peak)} at its highest by prediction"
    if measured is not None:
        ratio = f" ({footprint.ratio:.2f}× predicted ÷ measured)" if footprint.ratio else ""
        yield f"{units.size(measured)} measured{ratio}"
    if footprint.largest_batch is not None and footprint.available is not None:
        yield f"a batch of about {units.about(footprint.largest_batch)} would fit in {units.size(footprint.available)}"


def notes(timing: Timing, base: Sequence[str]) -> Iterator[str]:
    """Sentences: how the rows were timed and what they sum to, where the memory stands, what disturbed."""
    own = timing.measurement
    yield from (note for note in base if not note.startswith("backward: MACs"))
    if own.rows is not None and timing.accounted is not None:
        accounted = percent(timing.accounted, 1.0) or "0 %"
        yield f"rows: {own.rows.by}, {own.rows.runs} runs; they sum to {accounted} of the whole"
        if timing.accounted > 1.05:
            yield "watched function by function it takes longer: what torch fuses else (an encoder, say) is taken apart"
        if own.rows.astray:
            yield f"{own.rows.astray} more runs called other functions, and do not count"
        unseen = sum(row.spent.seconds is None and row.priced.row.runs for row in timing.rows)
        if unseen:
            yield f"not seen one by one, so of unknown time: {unseen} row{'s' * (unseen > 1)}"
    elif dict(timing.options).get("compile"):
        yield "compiled: what runs are no rows any more, so only the whole is measured"
    if timing.ceilings is not None:
        yield "bound: what the least time (at best) is spent on; roofline: at best ÷ time"
    yield from highest(timing)
    yield from disturbed(timing)
    yield from own.notes


def highest(timing: Timing) -> Iterator[str]:
    """What the memory is made of, and where it is highest."""
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
    held = ", ".join(f"{name} {units.size(size)}" for name, size in parts if size)
    yield f"memory: {held}{place(predicted.row, timing.report, backward=predicted.backward)}"


def place(index: int | None, report: Report, *, backward: bool) -> str:
    rows = report.backward if backward else report.rows
    if index is None or not 0 <= index < len(rows):
        return ""
    return f"; highest {'backward ' * backward}at {rows[index].path or rows[index].op}"


def disturbed(timing: Timing) -> Iterator[str]:
    """What makes the figures worth less: other work on the machine, runs that differ, a Ctrl-C."""
    own = timing.measurement
    if timing.ceilings is not None and timing.ceilings.disturbed:
        yield "the ceilings were measured while others may have kept the device busy: archscope device --again"
    if own.load is not None and own.load.disturbs(own.machine):
        yield f"other work kept {own.load.cores:.1f} of {own.machine.cores} cores busy meanwhile: times are too long"
    if own.load is not None and own.load.bytes:
        yield f"others hold {units.size(own.load.bytes)} of the device's memory, and may be at work on it"
    if own.whole is not None and own.whole.noisy and isfinite(own.whole.margin):
        yield f"noisy: the median is sure to ±{units.duration(own.whole.margin)} only; seconds=… gives it longer"
    if own.whole is not None and abs(own.whole.drift) > DRIFT:
        word = "slower" if own.whole.drift > 0 else "faster"
        yield f"the runs became {word} as they went on, by {percent(abs(own.whole.drift), 1.0)}"
    if own.interrupted:
        yield "interrupted: what was measured so far"


# ------------------------------------------------------------ for programs
def csv(timing: Timing, wish: Wish = Wish()) -> str:  # noqa: B008 - frozen
    """One line per written step, or part; times that are not known are empty cells."""
    report, extra = timing.report, columns(timing)
    if wish.by:
        lines = [line for _, line in leaves(breakdown(report, wish.by, depth=wish.depth, expand=wish.expand))]
        usually: Sequence[str] = ("path", "calls", *CSV[3:], *TIMES)
    else:
        lines, usually = data.single(report, wish), (*CSV, *TIMES)
    where = ", ".join(machine(timing))
    extra = (*extra, Column("machine", "machine", lambda *_: where, lambda *_: where))
    lines = sorted_by(wish.sort, lines, report, extra)
    return data.lines_csv(report, lines, (*(wish.columns or usually), "machine"), extra)
