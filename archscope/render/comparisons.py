"""Comparison → Sheet, CSV values: one line for each target, with its ratios to one of them.

Columns go by the names that `--columns` and `--sort` know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.comparison import Comparison
from archscope.render.columns import asked, in_short
from archscope.render.sheet import Heading, Sheet, Wish
from archscope.report import FAILS, Report, set_text


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
    return compared.labels[index] + ("" if compared.reports[index].runs else f"  {FAILS}")


def known(report: Report, text: str) -> str:
    return f"≥{text}" if report.total.unpriced else text


def quantity(name: str, header: str, value: Callable[[Report], int], text: Callable[[int], str], data: str) -> Figure:
    """A figure that is known of every report."""
    return Figure(name, header, lambda c, i: text(value(c.reports[i])), lambda c, i: value(c.reports[i]), data or name)


def products(name: str, header: str, factor: int, write: Callable[[int], str], data: str = "") -> Figure:
    """MACs, or what follows from them: a lower bound where an operation has no price."""
    return Figure(
        name,
        header,
        lambda c, i: known(c.reports[i], write(factor * c.reports[i].total.known)),
        lambda c, i: None if c.reports[i].total.unpriced else factor * c.reports[i].total.known,
        data or name,
    )


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
    products("flops", "FLOPs", 2, units.count),
    quantity("read", "read", lambda r: r.total.read, units.size, "bytes_read"),
    quantity("written", "written", lambda r: r.total.written, units.size, "bytes_written"),
    quantity("unpriced", "unpriced", lambda r: r.total.unpriced, units.count, ""),
    Figure(
        "state",
        "state",
        lambda c, i: "" if c.reports[i].runs else FAILS,
        lambda c, i: "" if c.reports[i].runs else FAILS,
        right=False,
    ),
    Figure("findings", "findings", lambda c, i: found(c, i), lambda c, i: found(c, i), right=False),
    Figure("set", "set", lambda c, i: asked(c.reports[i]), lambda c, i: asked(c.reports[i]), right=False),
)
NAMES: tuple[str, ...] = tuple(figure.name for figure in FIGURES if figure.name != "human")
USUAL = ("target", "params", "params_ratio", "macs", "human", "macs_ratio")
CSV = (
    *("target", "label", "params", "trainable", "param_bytes", "macs", "flops", "unpriced"),
    *("params_ratio", "macs_ratio", "state", "findings", "set"),
)


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
    names = wish.columns or tuple(name for name in USUAL if not (one and name.endswith("_ratio")))
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
    if compared.unpriced:
        yield "≥: some operations have no price, so these are lower bounds"
    if not all(report.runs for report in compared.reports):
        yield "fails: a net that does not run; its figures are of what would run if it fitted"


# ------------------------------------------------------------ for programs
def values(compared: Comparison, wish: Wish = Wish()) -> list[list[object]]:  # noqa: B008 - frozen
    """The headers, and one line for each target. Where a net does not do what it should, or a param was set, the
    columns that say so follow those that were chosen."""
    names = wish.columns or CSV
    failed, was_set = any(r.failed for r in compared.reports), any(asked(r) for r in compared.reports)
    said = [*(("state", "findings") if failed else ()), *(("set",) if was_set else ())]
    figures = chosen((*names, *(name for name in said if name not in names)))
    lines = ([figure.value(compared, index) for figure in figures] for index in order(compared, wish.sort))
    return [[figure.data or figure.name for figure in figures], *lines]
