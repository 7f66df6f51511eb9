"""Comparison → Sheet, CSV values: one line for each target, with its ratios to one of them.

Columns go by the names that `--columns` and `--sort` know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.comparison import Comparison
from archscope.render.columns import asked, in_short, known, moved
from archscope.render.sheet import Heading, Sheet, Wish
from archscope.report import FAILS, UNRUN, Report, Total, set_text


@dataclass(frozen=True)
class Figure:
    """A column of a comparison: its text and exact value for the report at an index. data: its header in data."""

    name: str
    header: str
    text: Callable[[Comparison, int], str]
    value: Callable[[Comparison, int], object]
    data: str = ""
    right: bool = True


def label(compared: Comparison, index: int) -> str:
    """`resnet50`; of a net that does not run `broken  fails`."""
    return "  ".join(filter(None, [compared.labels[index], state(compared.reports[index])]))


def state(report: Report) -> str:
    """`fails` of a net that does not run, `not run` of one that was given no input, else nothing."""
    return FAILS if report.broken else "" if report.trace.ran else UNRUN


def quantity(name: str, header: str, value: Callable[[Report], int], text: Callable[[int], str], data: str) -> Figure:
    """A figure that is known of every report."""
    return Figure(name, header, lambda c, i: text(value(c.reports[i])), lambda c, i: value(c.reports[i]), data or name)


def summed(
    name: str, header: str, text: Callable[[Total], str], value: Callable[[Total], int | None], data: str
) -> Figure:
    """A figure of the forward pass that may not be known, or in part."""
    return Figure(
        name,
        header,
        lambda c, i: text(c.reports[i].total) or "0",
        lambda c, i: value(c.reports[i].total),
        data,
    )


def products(name: str, header: str, factor: int, write: Callable[[int], str], data: str = "") -> Figure:
    """MACs, or what follows from them: a lower bound where an operation has no price, or something did not run."""
    return summed(
        name,
        header,
        lambda total: known(factor * total.known, total, write),
        lambda total: None if total.macs is None else factor * total.macs,
        data or name,
    )


def derived(name: str, header: str, write: Callable[[int], str], data: str = "") -> Figure:
    """MACs of the backward pass; unknown where there was none."""

    def text(compared: Comparison, index: int) -> str:
        total = compared.reports[index].backward_total
        return "?" if total is None else known(total.known, total, write) or "0"

    def value(compared: Comparison, index: int) -> int | None:
        total = compared.reports[index].backward_total
        return None if total is None else total.macs

    return Figure(name, header, text, value, data or name)


def ratio(name: str, position: int) -> Figure:
    """A quantity ÷ that of the report that all are held against."""

    def text(compared: Comparison, index: int) -> str:
        change = compared.changes(index)[position]
        return "?" if change.ratio is None else quotient(change.ratio)

    return Figure(name, "ratio", text, lambda c, i: c.changes(i)[position].ratio, name)


def quotient(value: float) -> str:
    """`2.25×`, `0.103×`; `≈1.00×` where it only rounds to one."""
    text = f"{value:.3g}×" if value < 1 else units.times(value)
    return ("1.00×" if value == 1 else "≈1.00×") if text in ("1×", "1.00×") else text


FIGURES: tuple[Figure, ...] = (
    Figure("target", "", label, lambda c, i: c.reports[i].target, "target", right=False),
    Figure("label", "name", label, lambda c, i: c.labels[i], "label", right=False),
    quantity("params", "params", lambda r: r.total.params, units.count, ""),
    ratio("params_ratio", 1),
    quantity("trainable", "trainable", lambda r: r.total.trainable_params, units.count, "trainable_params"),
    quantity("param_bytes", "size", lambda r: r.total.param_bytes, units.size, ""),
    products("macs", "MACs", 1, units.count),
    products("human", "", 1, units.human, "macs"),
    ratio("macs_ratio", 0),
    derived("backward", "backward", units.count, "backward_macs"),
    derived("backward_human", "", units.human),
    ratio("backward_ratio", 2),
    products("flops", "FLOPs", 2, units.count),
    summed("read", "read", lambda total: moved(total.read, total), lambda total: total.bytes_read, "bytes_read"),
    summed(
        "written",
        "written",
        lambda total: moved(total.written, total),
        lambda total: total.bytes_written,
        "bytes_written",
    ),
    Figure(
        "unpriced",
        "unpriced",
        lambda c, i: "?" if c.reports[i].total.unrun else units.count(c.reports[i].total.unpriced),
        lambda c, i: None if c.reports[i].total.unrun else c.reports[i].total.unpriced,
        "",
    ),
    Figure("state", "state", lambda c, i: state(c.reports[i]), lambda c, i: state(c.reports[i]), right=False),
    Figure("findings", "findings", lambda c, i: found(c, i), lambda c, i: found(c, i), right=False),
    Figure("set", "set", lambda c, i: asked(c.reports[i]), lambda c, i: asked(c.reports[i]), right=False),
)
NAMES: tuple[str, ...] = tuple(figure.name for figure in FIGURES if not figure.name.endswith("human"))
BACKWARD = ("backward", "backward_human", "backward_ratio")
"""The columns of the backward pass, where one was recorded."""
USUAL = ("target", "params", "params_ratio", "macs", "human", "macs_ratio", *BACKWARD)
CSV = (
    *("target", "label", "params", "trainable", "param_bytes", "macs", "flops", "backward", "unpriced"),
    *("params_ratio", "macs_ratio", "backward_ratio", "state", "findings", "set"),
)


def usual(names: Sequence[str], compared: Comparison) -> tuple[str, ...]:
    """Columns that nobody asked for by name: those of the backward pass only where one was asked for."""
    derives = any(report.backward_total is not None for report in compared.reports)
    return tuple(name for name in names if derives or name not in BACKWARD)


def found(compared: Comparison, index: int) -> str:
    return "; ".join(in_short(finding) for finding in compared.reports[index].findings)


def chosen(names: Sequence[str]) -> tuple[Figure, ...]:
    """The columns of these names, in this order. Raises KeyError for a name that none has."""
    by_name = {figure.name: figure for figure in FIGURES}
    return tuple(by_name[name] for name in names)


def order(compared: Comparison, sort: str) -> list[int]:
    """The indexes of the reports as given, or by a column: the largest number first, words by alphabet, the unknown
    last."""
    places = list(range(len(compared.reports)))
    if not sort:
        return places
    (figure,) = chosen([sort])

    def rank(index: int) -> tuple[bool, object]:
        value = compared.labels[index] if sort == "target" else figure.value(compared, index)
        return value is None, -value if isinstance(value, int | float) else value or ""

    return sorted(places, key=rank)


# ------------------------------------------------------------ for readers
def sheet(compared: Comparison, wish: Wish = Wish()) -> Sheet:  # noqa: B008 - frozen
    """The targets below each other, with their ratios to one of them."""
    one = len(compared.reports) < 2
    names = wish.columns or tuple(name for name in usual(USUAL, compared) if not (one and name.endswith("_ratio")))
    figures = chosen(names)
    return Sheet(
        head=tuple(head(compared)),
        headings=tuple(heading(figure) for figure in figures),
        rows=tuple(tuple(figure.text(compared, index) for figure in figures) for index in order(compared, wish.sort)),
        notes=tuple(notes(compared, names)),
    )


def heading(figure: Figure) -> Heading:
    return Heading(figure.name, figure.header, figure.right, shorten=ending if figure.name == "target" else None)


def ending(text: str, width: int) -> str:
    """The end of a long path: `…torials/lenet.yaml`."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def head(compared: Comparison) -> Iterator[str]:
    """What all have in common: `set width=8`, the batch, where they ran."""
    reports = compared.reports
    shared = {set_text(report.request.set) if report.request else "" for report in reports}
    if len(shared) == 1 and "" not in shared:
        yield f"each with {shared.pop()}"
    batches, places = ({r.batch for r in reports}, {f"{r.trace.device}, {r.trace.mode}" for r in reports})
    if len(batches) == 1 and None not in batches:
        yield f"batch {batches.pop()}"
    if len(places) == 1:
        yield places.pop()


def notes(compared: Comparison, names: Sequence[str]) -> Iterator[str]:
    if any(name.endswith("_ratio") for name in names):
        yield f"ratio: ÷ {compared.labels[compared.against]}"
    reports = compared.reports
    if any(report.total.unpriced for report in reports):
        yield "≥: some operations have no price, so these are lower bounds"
    if any(report.broken and report.finished for report in reports):
        yield "fails: a net that does not run; its figures are of what would run if it fitted"
    if any(not report.finished and report.trace.ran for report in reports):
        yield "fails: the forward pass broke off; what did not run is not known, and counted nowhere"
    if not all(report.trace.ran for report in reports):
        yield "not run: its parameters are all that is known"
    if "backward" in names:
        yield "backward: MACs of the backward pass; MACs: of the forward pass"
    yield from told_of(compared)


def told_of(compared: Comparison) -> Iterator[str]:
    """The remarks on the runs, each once, with the targets that it is of where it is not of all."""
    named: dict[str, list[str]] = {}
    for name, report in zip(compared.labels, compared.reports, strict=True):
        for note in report.trace.notes:
            named.setdefault(note, []).append(name)
    for note, names in named.items():
        yield note if len(names) == len(compared.reports) else f"{', '.join(names)}: {note}"


# ------------------------------------------------------------ for programs
def values(compared: Comparison, wish: Wish = Wish()) -> list[list[object]]:  # noqa: B008 - frozen
    """The headers, and one line for each target. Where a net does not do what it should, or a param was set, the
    columns that say so follow those that were chosen."""
    names = wish.columns or usual(CSV, compared)
    failed, was_set = any(r.failed for r in compared.reports), any(asked(r) for r in compared.reports)
    unsure = failed or any(map(state, compared.reports))
    said = [*(("state",) if unsure else ()), *(("findings",) if failed else ()), *(("set",) if was_set else ())]
    figures = chosen((*names, *(name for name in said if name not in names)))
    lines = ([figure.value(compared, index) for figure in figures] for index in order(compared, wish.sort))
    return [[figure.data or figure.name for figure in figures], *lines]
