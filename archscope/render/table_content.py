"""Reports as Sheets: headers, rows of text, a bottom line and sentences, before layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from archscope import units
from archscope.errors import escape_invisible, escape_one_line
from archscope.graph import outline
from archscope.graph.outline import breakdown, full_outline
from archscope.graph.outline_lines import ZERO_TOTAL, OutlineLine, detach_lines, leaf_lines, prune_lines, walk_lines
from archscope.render.columns import (
    BREAKDOWN_COLUMNS,
    FLOPS_COLUMNS,
    SUMMARY_COLUMNS,
    Column,
    Shorten,
    columns_named,
    default_columns,
    example_shape,
    line_state,
    set_params_text,
)
from archscope.report import ASSUMED, FAILS, PricedRow, Report, Total


@dataclass(frozen=True)
class Heading:
    """The heading of a column: name, header, alignment, and how its text is cut to a width."""

    name: str
    header: str
    right: bool = False
    shorten: Shorten | None = None


@dataclass(frozen=True)
class Sheet:
    """A table before layout.

    head, foot: lines of phrases (` · ` between them). notes: whole sentences below. help: for columns that do not
    fit. findings_text: findings as text with their final layout, below all.
    """

    head: tuple[str, ...]
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    foot: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    help: str = "columns=… chooses"
    findings_text: str = ""


def printable_sheet(page: Sheet) -> Sheet:
    """Return the sheet without control characters, each cell and sentence on one line."""

    def lines(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(escape_one_line, texts))

    return replace(
        page,
        head=lines(page.head),
        headings=tuple(replace(heading, header=escape_one_line(heading.header)) for heading in page.headings),
        rows=tuple(map(lines, page.rows)),
        total=lines(page.total),
        foot=lines(page.foot),
        notes=lines(page.notes),
        findings_text=escape_invisible(page.findings_text),
    )


@dataclass(frozen=True)
class TableOptions:
    """The options of a table: columns by name, levels, the column to sort by, no folding; by: of a breakdown."""

    columns: tuple[str, ...] = ()
    depth: int | None = None
    sort: str = ""
    expand: bool = False
    by: str = ""


def summary_sheet(
    report: Report,
    table_options: TableOptions = TableOptions(),
    *,
    names: Sequence[str] = SUMMARY_COLUMNS,
    extra: Sequence[Column] = (),
) -> Sheet:
    """Return the table of a net: one line per step. names: the default columns. extra: further columns, such as
    times.
    """
    usually = tuple(name for name in default_columns(names, report) if name != "from" or not table_options.sort)
    return make_sheet(
        report,
        list(arrange_lines(outline_lines(report, table_options), table_options, report, extra)),
        columns_named(table_options.columns or usually, extra),
    )


def outline_lines(report: Report, table_options: TableOptions) -> tuple[OutlineLine, ...]:
    """Return the lines of the outline; sorted lines are not folded, so that none sums over several."""
    if table_options.sort and not table_options.expand:
        return prune_lines(full_outline(report), table_options.depth) if table_options.depth else full_outline(report)
    return outline(report, expand=table_options.expand, depth=table_options.depth)


def flops_sheet(
    report: Report,
    table_options: TableOptions = TableOptions(),
    *,
    names: Sequence[str] = (),
    extra: Sequence[Column] = (),
) -> Sheet:
    """Return the costs by module, type or depth. names, extra: as for `summary_sheet`."""
    by = table_options.by or "module"
    lines = list(
        arrange_lines(
            breakdown(report, by, depth=table_options.depth, expand=table_options.expand), table_options, report, extra
        )
    )
    usually = names or (FLOPS_COLUMNS if by == "module" else BREAKDOWN_COLUMNS)
    columns = columns_named(table_options.columns or default_columns(usually, report), extra)
    return make_sheet(report, lines, tuple(replace(c, header=by) if c.name == "path" else c for c in columns))


def arrange_lines(
    lines: Sequence[OutlineLine], table_options: TableOptions, report: Report, extra: Sequence[Column] = ()
) -> Iterator[tuple[int, OutlineLine]]:
    """Yield the lines with their levels in the order of the run; sorted lines are flat, with full paths."""
    if not table_options.sort:
        yield from ((level - 1, line) for level, line in walk_lines(lines))
        return
    flat = [
        replace(line, label=line.path or line.label)
        for line in detach_lines([line for _, line in leaf_lines(lines)], report)
    ]
    yield from ((0, line) for line in sort_lines(table_options.sort, flat, report, extra))


def sort_lines(
    name: str, lines: Sequence[OutlineLine], report: Report, extra: Sequence[Column] = ()
) -> list[OutlineLine]:
    """Return the lines sorted by a column, or unchanged if `name` is empty."""
    columns = columns_named([name], extra) if name else ()
    return sorted(lines, key=lambda line: [sort_key(column, line, report) for column in columns])


def sort_key(column: Column, line: OutlineLine, report: Report) -> tuple[bool, object]:
    """Return a key that sorts the largest number first, text alphabetically, unknown values last."""
    value = line.total.known if column.name == "share" else column.value(line, report)
    return value is None, -value if isinstance(value, int | float) else value or ""


def make_sheet(report: Report, lines: Sequence[tuple[int, OutlineLine]], columns: Sequence[Column]) -> Sheet:
    whole = OutlineLine("", "total", "total", total=report.total, backward=report.backward_total or ZERO_TOTAL)
    return Sheet(
        head=head_phrases(report),
        headings=tuple(Heading(c.name, c.header, c.right, c.shorten) for c in columns),
        rows=tuple(tuple(cell_text(c, level, line, report) for c in columns) for level, line in lines),
        total=tuple("total" if c.name == "path" else c.text(whole, report) if c.total else "" for c in columns),
        foot=foot_phrases(report),
        notes=tuple(summary_notes(report, [line for _, line in lines])),
    )


def cell_text(column: Column, level: int, line: OutlineLine, report: Report) -> str:
    return ("  " * level if column.name == "path" else "") + column.text(line, report)


def head_phrases(report: Report) -> tuple[str, ...]:
    """Return `ResNet:resnet50 with block=Basic`, `x 3×224×224 float32`, `batch 1`, `cpu, eval`."""
    trace = report.trace
    title = " with ".join(filter(None, [report.title or report.target, set_params_text(report)]))
    inputs = ", ".join(
        f"{operand.source} {units.format_shape(example_shape(operand.value.shape, report.batch))} {operand.value.dtype}"
        for operand in trace.inputs
    )
    batch = f"batch {report.batch}" if report.batch is not None else ""
    return tuple(filter(None, [title, inputs, batch, f"{trace.device}, {trace.mode}"]))


def foot_phrases(report: Report) -> tuple[str, ...]:
    """Return `41,514 parameters (162 KiB)`, `2.01 M MACs`, `4.03 M FLOPs (2 × MACs)`, `every operation counted`."""
    total = report.total
    of = "of a net that does not run: " if report.broken else ""
    trained = (
        "" if total.trainable_params == total.params else f"{units.format_count(total.trainable_params)} trainable, "
    )
    return (
        f"{of}{units.format_count(total.params)} parameters ({trained}{units.format_bytes(total.param_bytes)})",
        *(product_phrases(total, report.backward_total, report.trace.loss) if report.trace.ran else ()),
        *unpriced_phrases(report),
    )


def product_phrases(forward: Total, backward: Total | None, loss: str) -> tuple[str, ...]:
    """Return MACs and FLOPs; of two passes `1.82 G MACs forward`, `3.64 G backward`, `5.46 G in all`, and the loss."""
    if backward is None:
        return macs_text(forward), flops_text(forward)
    whole = forward + backward
    parts = f"{macs_text(forward)} forward, {lower_bound_prefix(backward)}{units.format_si(backward.known)} backward"
    return (
        f"{parts}, {lower_bound_prefix(whole)}{units.format_si(whole.known)} in all",
        f"{flops_text(whole)} in all",
        f"loss: {loss}",
    )


def macs_text(total: Total) -> str:
    return f"{lower_bound_prefix(total)}{units.format_si(total.known)} MACs"


def flops_text(total: Total) -> str:
    return f"{lower_bound_prefix(total)}{units.format_si(2 * total.known)} FLOPs (2 × MACs)"


def lower_bound_prefix(total: Total) -> str:
    return "at least " if total.partial else ""


def unpriced_phrases(report: Report) -> tuple[str, ...]:
    """Return what is not counted: the rest of an incomplete pass, and operations without a formula, by kernel."""
    if not report.trace.ran:
        return ("nothing was run: what it costs is not known",)
    if not report.finished:
        return ("the forward pass broke off: what did not run is not counted",)
    broken = ("the backward pass broke off: it is not counted",) if report.trace.failure is not None else ()
    rows = report.total.unpriced + sum(row.total.unpriced for row in report.backward)
    if not rows:
        return broken or ("sizes behind what fails are assumed" if report.broken else "every operation counted",)
    kernels = [f"{name} (at {row_paths(at, report.rows)})" for name, at in report.unpriced.items()]
    kernels += [
        f"{name} (backward at {row_paths(at, report.backward)})" for name, at in report.backward_unpriced.items()
    ]
    return (*broken, f"MACs not known of {rows} operation{'s' * (rows > 1)}: {', '.join(kernels)}")


def row_paths(indexes: Sequence[int], rows: Sequence[PricedRow]) -> str:
    """Return the paths of the first rows: `rnn, head.0 and 3 more`."""
    return format_first_names(list(dict.fromkeys(rows[index].path or rows[index].op for index in indexes)))


def summary_notes(report: Report, lines: Sequence[OutlineLine]) -> Iterator[str]:
    """Yield explanations of the marks and figures of the lines, then the notes of the run."""
    marks = {line_state(line, report) for line in lines}
    if FAILS in marks:
        yield "fails: it does not run"
    if ASSUMED in marks:
        yield "assumed: sizes and costs behind what fails, as if that had given what was meant"
    if any(line.times > 1 and line.kind != "sum" for line in lines):
        yield "×N: N equal parts in one line; figures sum over all N"
    if report.total.partial or report.backward_unpriced:
        yield "?: not known; ≥: without what is not known"
    if report.backward_total is not None:
        yield "backward: MACs of the backward pass; MACs, share, FLOPs: of the forward pass"
    if any(line.shared for line in lines):
        yield "shared: parameters that an earlier line counts"
    if report.unread and report.finished:
        word = "not seen to be read" if any(row.op == "unseen" for row in report.rows) else "never read"
        yield f"{word}: {format_first_names([param.name for param in report.unread])}"
    if report.unjudged:
        yield f"expected at the file's own sizes, and not judged at these: {format_first_names(report.unjudged)}"
    yield from report.trace.notes


def format_first_names(names: Sequence[str]) -> str:
    """Return the first three names, and the number of others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
