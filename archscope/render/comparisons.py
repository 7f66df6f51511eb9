"""Comparisons as a Sheet or as rows of CSV: one line for each target, with ratios to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from archscope import units
from archscope.render import html, table
from archscope.render.columns import known_bytes, known_count, set_params_text, short_finding
from archscope.render.notebook_views import check_column_names, terminal_width, with_findings
from archscope.render.table_content import Heading, Sheet, TableOptions
from archscope.report import FAILS, UNRUN, Report, ReportViews, Total, set_text
from archscope.report_comparison import Comparison


@dataclass(frozen=True)
class ComparisonColumn:
    """A column of a comparison: its text and exact value for the report at an index. data: its header in data."""

    name: str
    header: str
    text: Callable[[Comparison, int], str]
    value: Callable[[Comparison, int], object]
    data: str = ""
    right: bool = True


def label_cell(compared: Comparison, index: int) -> str:
    """Return `resnet50`; of a net that fails, `broken  fails`."""
    return "  ".join(filter(None, [compared.labels[index], report_state(compared.reports[index])]))


def report_state(report: Report) -> str:
    """Return `fails` for a net that fails, `not run` for one without an input, else ""."""
    return FAILS if report.broken else "" if report.trace.ran else UNRUN


def quantity_column(
    name: str, header: str, value: Callable[[Report], int], text: Callable[[int], str], data: str
) -> ComparisonColumn:
    """Return a column of a figure that is known for every report."""
    return ComparisonColumn(
        name, header, lambda c, i: text(value(c.reports[i])), lambda c, i: value(c.reports[i]), data or name
    )


def total_column(
    name: str, header: str, text: Callable[[Total], str], value: Callable[[Total], int | None], data: str
) -> ComparisonColumn:
    """Return a column of a figure of the forward pass that may be unknown or partial."""
    return ComparisonColumn(
        name,
        header,
        lambda c, i: text(c.reports[i].total) or "0",
        lambda c, i: value(c.reports[i].total),
        data,
    )


def macs_column(name: str, header: str, factor: int, write: Callable[[int], str], data: str = "") -> ComparisonColumn:
    """Return a column of MACs, or of a multiple of them: a lower bound if some operations are unknown."""
    return total_column(
        name,
        header,
        lambda total: known_count(factor * total.known, total, write),
        lambda total: None if total.macs is None else factor * total.macs,
        data or name,
    )


def backward_macs_column(name: str, header: str, write: Callable[[int], str], data: str = "") -> ComparisonColumn:
    """Return a column of MACs of the backward pass; unknown if it was not recorded."""

    def text(compared: Comparison, index: int) -> str:
        total = compared.reports[index].backward_total
        return "?" if total is None else known_count(total.known, total, write) or "0"

    def value(compared: Comparison, index: int) -> int | None:
        total = compared.reports[index].backward_total
        return None if total is None else total.macs

    return ComparisonColumn(name, header, text, value, data or name)


def ratio_column(name: str, position: int) -> ComparisonColumn:
    """Return a column of ratios to the figure of the reference report."""

    def text(compared: Comparison, index: int) -> str:
        change = compared.changes(index)[position]
        return "?" if change.ratio is None else format_ratio(change.ratio)

    return ComparisonColumn(name, "ratio", text, lambda c, i: c.changes(i)[position].ratio, name)


def format_ratio(value: float) -> str:
    """Return `2.25×`, `0.103×`; `≈1.00×` if it is only rounded to one."""
    text = f"{value:.3g}×" if value < 1 else units.format_factor(value)
    return ("1.00×" if value == 1 else "≈1.00×") if text in ("1×", "1.00×") else text


COMPARISON_COLUMNS: tuple[ComparisonColumn, ...] = (
    ComparisonColumn("target", "", label_cell, lambda c, i: c.reports[i].target, "target", right=False),
    ComparisonColumn("label", "name", label_cell, lambda c, i: c.labels[i], "label", right=False),
    quantity_column("params", "params", lambda r: r.total.params, units.format_count, ""),
    ratio_column("params_ratio", 1),
    quantity_column(
        "trainable", "trainable", lambda r: r.total.trainable_params, units.format_count, "trainable_params"
    ),
    quantity_column("param_bytes", "size", lambda r: r.total.param_bytes, units.format_bytes, ""),
    macs_column("macs", "MACs", 1, units.format_count),
    macs_column("human", "", 1, units.format_si, "macs"),
    ratio_column("macs_ratio", 0),
    backward_macs_column("backward", "backward", units.format_count, "backward_macs"),
    backward_macs_column("backward_human", "", units.format_si),
    ratio_column("backward_ratio", 2),
    macs_column("flops", "FLOPs", 2, units.format_count),
    total_column(
        "read", "read", lambda total: known_bytes(total.read, total), lambda total: total.bytes_read, "bytes_read"
    ),
    total_column(
        "written",
        "written",
        lambda total: known_bytes(total.written, total),
        lambda total: total.bytes_written,
        "bytes_written",
    ),
    ComparisonColumn(
        "unpriced",
        "unpriced",
        lambda c, i: "?" if c.reports[i].total.unrun else units.format_count(c.reports[i].total.unpriced),
        lambda c, i: None if c.reports[i].total.unrun else c.reports[i].total.unpriced,
        "",
    ),
    ComparisonColumn(
        "state", "state", lambda c, i: report_state(c.reports[i]), lambda c, i: report_state(c.reports[i]), right=False
    ),
    ComparisonColumn(
        "findings", "findings", lambda c, i: findings_cell(c, i), lambda c, i: findings_cell(c, i), right=False
    ),
    ComparisonColumn(
        "set",
        "set",
        lambda c, i: set_params_text(c.reports[i]),
        lambda c, i: set_params_text(c.reports[i]),
        right=False,
    ),
)
COMPARISON_NAMES: tuple[str, ...] = tuple(
    figure.name for figure in COMPARISON_COLUMNS if not figure.name.endswith("human")
)
BACKWARD_COMPARISON = ("backward", "backward_human", "backward_ratio")
"""The columns of the backward pass, if one was recorded."""
DEFAULT_COMPARISON = ("target", "params", "params_ratio", "macs", "human", "macs_ratio", *BACKWARD_COMPARISON)
COMPARISON_CSV = (
    *("target", "label", "params", "trainable", "param_bytes", "macs", "flops", "backward", "unpriced"),
    *("params_ratio", "macs_ratio", "backward_ratio", "state", "findings", "set"),
)


def default_columns(names: Sequence[str], compared: Comparison) -> tuple[str, ...]:
    """Return the default columns; those of the backward pass only if one was recorded."""
    derives = any(report.backward_total is not None for report in compared.reports)
    return tuple(name for name in names if derives or name not in BACKWARD_COMPARISON)


def findings_cell(compared: Comparison, index: int) -> str:
    return "; ".join(short_finding(finding) for finding in compared.reports[index].findings)


def columns_named(names: Sequence[str]) -> tuple[ComparisonColumn, ...]:
    """Return the columns of these names in this order. Raises KeyError for an unknown name."""
    by_name = {figure.name: figure for figure in COMPARISON_COLUMNS}
    return tuple(by_name[name] for name in names)


def sorted_indexes(compared: Comparison, sort: str) -> list[int]:
    """Return the indexes of the reports, sorted by a column: the largest number first, text alphabetically, unknown
    values last.
    """
    places = list(range(len(compared.reports)))
    if not sort:
        return places
    (figure,) = columns_named([sort])

    def rank(index: int) -> tuple[bool, object]:
        value = compared.labels[index] if sort == "target" else figure.value(compared, index)
        return value is None, -value if isinstance(value, int | float) else value or ""

    return sorted(places, key=rank)


# ------------------------------------------------------------ for readers
def comparison_sheet(compared: Comparison, table_options: TableOptions = TableOptions()) -> Sheet:  # noqa: B008 - frozen
    """Return a table of the targets with ratios to one of them."""
    single = len(compared.reports) < 2
    names = table_options.columns or tuple(
        name for name in default_columns(DEFAULT_COMPARISON, compared) if not (single and name.endswith("_ratio"))
    )
    figures = columns_named(names)
    return Sheet(
        head=tuple(head_phrases(compared)),
        headings=tuple(
            Heading(figure.name, figure.header, figure.right, shorten=cut_start if figure.name == "target" else None)
            for figure in figures
        ),
        rows=tuple(
            tuple(figure.text(compared, index) for figure in figures)
            for index in sorted_indexes(compared, table_options.sort)
        ),
        notes=tuple(comparison_notes(compared, names)),
    )


def cut_start(text: str, width: int) -> str:
    """Return the end of a long path: `…torials/lenet.yaml`."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def head_phrases(compared: Comparison) -> Iterator[str]:
    """Yield what all reports have in common: `set width=8`, the batch, the device."""
    reports = compared.reports
    shared = {set_text(report.request.set) if report.request else "" for report in reports}
    if len(shared) == 1 and "" not in shared:
        yield f"each with {shared.pop()}"
    batches, places = ({r.batch for r in reports}, {f"{r.trace.device}, {r.trace.mode}" for r in reports})
    if len(batches) == 1 and None not in batches:
        yield f"batch {batches.pop()}"
    if len(places) == 1:
        yield places.pop()


def comparison_notes(compared: Comparison, names: Sequence[str]) -> Iterator[str]:
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
    yield from run_notes(compared)


def run_notes(compared: Comparison) -> Iterator[str]:
    """Yield the notes on the runs, each once, with its targets if it does not apply to all."""
    named: dict[str, list[str]] = {}
    for name, report in zip(compared.labels, compared.reports, strict=True):
        for note in report.trace.notes:
            named.setdefault(note, []).append(name)
    for note, names in named.items():
        yield note if len(names) == len(compared.reports) else f"{', '.join(names)}: {note}"


# ------------------------------------------------------------ for programs
def comparison_rows(compared: Comparison, table_options: TableOptions = TableOptions()) -> list[list[object]]:  # noqa: B008 - frozen
    """Return the headers, and one line for each target.

    If a net fails, or a param was set, columns with that information follow the selected ones.
    """
    names = table_options.columns or default_columns(COMPARISON_CSV, compared)
    failed, was_set = any(r.failed for r in compared.reports), any(set_params_text(r) for r in compared.reports)
    unsure = failed or any(map(report_state, compared.reports))
    added = [*(("state",) if unsure else ()), *(("findings",) if failed else ()), *(("set",) if was_set else ())]
    figures = columns_named((*names, *(name for name in added if name not in names)))
    lines = (
        [figure.value(compared, index) for figure in figures] for index in sorted_indexes(compared, table_options.sort)
    )
    return [[figure.data or figure.name for figure in figures], *lines]


def comparison_text(compared: Comparison) -> str:
    width = terminal_width()
    page = with_findings(comparison_sheet(compared), compared.reports, level="error", width=width)
    return table.format_table(page, width=width).rstrip("\n")


def comparison_html(compared: Comparison) -> str:
    return html.format_html(with_findings(comparison_sheet(compared), compared.reports, level="error"))


def comparison_table(compared: Comparison, *, columns: Sequence[str] = (), sort: str = "") -> str:
    """Return the table alone with these options. Raises UsageError for an unknown column."""
    names = check_column_names(columns, sort, COMPARISON_NAMES)
    page = comparison_sheet(compared, TableOptions(names, sort=sort))
    return table.format_table(replace(page, help="comparison.table(columns=…) chooses"), width=terminal_width()).rstrip(
        "\n"
    )


COMPARISON_VIEWS = ReportViews(comparison_text, comparison_html, table=comparison_table)
