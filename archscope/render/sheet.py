"""Report → Sheet: headers, rows of text, a bottom line, sentences around them; not yet laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from archscope import units
from archscope.errors import one_line, visible
from archscope.render.columns import FLOPS, FLOPS_BY, SUMMARY, Column, Shorten, asked, chosen, inner, state, usual
from archscope.report import (
    ASSUMED,
    FAILS,
    Line,
    PricedRow,
    Report,
    Total,
    apart,
    breakdown,
    leaves,
    outline,
    prune,
    unfolded,
    walk,
)
from archscope.report.lines import NOTHING
from archscope.trace import Operand


@dataclass(frozen=True)
class Heading:
    """A column of a sheet: name, header, side, and how its text is cut to a width."""

    name: str
    header: str
    right: bool = False
    shorten: Shorten | None = None


@dataclass(frozen=True)
class Sheet:
    """A table before layout. head, foot: lines of phrases (` · ` between them). notes: whole sentences below. cure: for
    columns that do not fit. found: findings as text that is already laid out, below all."""

    head: tuple[str, ...]
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    foot: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cure: str = "columns=… chooses"
    found: str = ""


def legible(page: Sheet) -> Sheet:
    """The sheet without characters that would change how it looks, each cell and sentence on one line."""

    def lines(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(one_line, texts))

    return replace(
        page,
        head=lines(page.head),
        headings=tuple(replace(heading, header=one_line(heading.header)) for heading in page.headings),
        rows=tuple(map(lines, page.rows)),
        total=lines(page.total),
        foot=lines(page.foot),
        notes=lines(page.notes),
        found=visible(page.found),
    )


@dataclass(frozen=True)
class Wish:
    """What the reader asked for: columns by name, levels, the column to sort by, no folding; by: of a breakdown."""

    columns: tuple[str, ...] = ()
    depth: int | None = None
    sort: str = ""
    expand: bool = False
    by: str = ""


def summary(
    report: Report, wish: Wish = Wish(), *, names: Sequence[str] = SUMMARY, extra: Sequence[Column] = ()
) -> Sheet:
    """The table of a net: one line per written step. names: of the columns, where nobody asks for others. extra:
    columns of somebody else's, such as times."""
    usually = tuple(name for name in usual(names, report) if name != "from" or not wish.sort)
    return sheet(
        report,
        list(arranged(shown(report, wish), wish, report, extra)),
        chosen(wish.columns or usually, extra),
    )


def shown(report: Report, wish: Wish) -> tuple[Line, ...]:
    """The outline; sorted lines stand alone, so that none may sum over several."""
    if wish.sort and not wish.expand:
        return prune(unfolded(report), wish.depth) if wish.depth else unfolded(report)
    return outline(report, expand=wish.expand, depth=wish.depth)


def flops(report: Report, wish: Wish = Wish(), *, names: Sequence[str] = (), extra: Sequence[Column] = ()) -> Sheet:
    """The costs by module, type or depth. names, extra: as `summary` takes them."""
    by = wish.by or "module"
    lines = list(arranged(breakdown(report, by, depth=wish.depth, expand=wish.expand), wish, report, extra))
    usually = names or (FLOPS if by == "module" else FLOPS_BY)
    columns = chosen(wish.columns or usual(usually, report), extra)
    return sheet(report, lines, tuple(replace(c, header=by) if c.name == "path" else c for c in columns))


def arranged(
    lines: Sequence[Line], wish: Wish, report: Report, extra: Sequence[Column] = ()
) -> Iterator[tuple[int, Line]]:
    """The lines with their levels in the order of the run; sorted, they stand flat, by their full paths."""
    if not wish.sort:
        yield from ((level - 1, line) for level, line in walk(lines))
        return
    flat = [replace(line, label=line.path or line.label) for line in apart([line for _, line in leaves(lines)], report)]
    yield from ((0, line) for line in sorted_by(wish.sort, flat, report, extra))


def sorted_by(name: str, lines: Sequence[Line], report: Report, extra: Sequence[Column] = ()) -> list[Line]:
    """The lines by a column, or as they stand where it has no name."""
    columns = chosen([name], extra) if name else ()
    return sorted(lines, key=lambda line: [rank(column, line, report) for column in columns])


def rank(column: Column, line: Line, report: Report) -> tuple[bool, object]:
    """Largest number first, words by alphabet, the unknown last."""
    value = line.total.known if column.name == "share" else column.value(line, report)
    return value is None, -value if isinstance(value, int | float) else value or ""


def sheet(report: Report, lines: Sequence[tuple[int, Line]], columns: Sequence[Column]) -> Sheet:
    whole = Line("", "total", "total", total=report.total, backward=report.backward_total or NOTHING)
    return Sheet(
        head=head(report),
        headings=tuple(Heading(c.name, c.header, c.right, c.shorten) for c in columns),
        rows=tuple(tuple(cell(c, level, line, report) for c in columns) for level, line in lines),
        total=tuple("total" if c.name == "path" else c.text(whole, report) if c.total else "" for c in columns),
        foot=foot(report),
        notes=tuple(notes(report, [line for _, line in lines])),
    )


def cell(column: Column, level: int, line: Line, report: Report) -> str:
    return ("  " * level if column.name == "path" else "") + column.text(line, report)


def head(report: Report) -> tuple[str, ...]:
    """`ResidualMnist:plain · x 1×28×28 float32 · batch 1 · cpu, eval`, in phrases."""
    trace = report.trace
    inputs = ", ".join(described(operand, report.batch) for operand in trace.inputs)
    batch = f"batch {report.batch}" if report.batch is not None else ""
    return tuple(filter(None, [title(report), inputs, batch, f"{trace.device}, {trace.mode}"]))


def title(report: Report) -> str:
    """`ResNet:resnet50`; where params were set, `ResNet:resnet50 with block=Basic`."""
    return " with ".join(filter(None, [report.title or report.target, asked(report)]))


def described(operand: Operand, batch: int | None) -> str:
    return f"{operand.source} {units.shape(inner(operand.value.shape, batch))} {operand.value.dtype}"


def foot(report: Report) -> tuple[str, ...]:
    """`41,514 parameters (162 KiB) · 2.01 M MACs · 4.03 M FLOPs (2 × MACs) · every operation counted`, in phrases."""
    total = report.total
    of = "of a net that does not run: " if report.broken else ""
    trained = "" if total.trainable_params == total.params else f"{units.count(total.trainable_params)} trainable, "
    return (
        f"{of}{units.count(total.params)} parameters ({trained}{units.size(total.param_bytes)})",
        *(products(total, report.backward_total, report.trace.loss) if report.trace.ran else ()),
        *unpriced(report),
    )


def products(forward: Total, backward: Total | None, loss: str) -> tuple[str, ...]:
    """MACs and FLOPs; of two passes `1.82 G MACs forward, 3.64 G backward, 5.46 G in all`, and the loss."""
    if backward is None:
        return macs(forward), flops_of(forward)
    whole = forward + backward
    parts = f"{macs(forward)} forward, {least(backward)}{units.human(backward.known)} backward"
    return (
        f"{parts}, {least(whole)}{units.human(whole.known)} in all",
        f"{flops_of(whole)} in all",
        f"loss: {loss}",
    )


def macs(total: Total) -> str:
    return f"{least(total)}{units.human(total.known)} MACs"


def flops_of(total: Total) -> str:
    return f"{least(total)}{units.human(2 * total.known)} FLOPs (2 × MACs)"


def least(total: Total) -> str:
    return "at least " if total.partial else ""


def unpriced(report: Report) -> tuple[str, ...]:
    """What is not counted: the rest of a pass that broke off, and the operations without a price, by kernel."""
    if not report.trace.ran:
        return ("nothing was run: what it costs is not known",)
    if not report.finished:
        return ("the forward pass broke off: what did not run is not counted",)
    broken = ("the backward pass broke off: it is not counted",) if report.trace.failure is not None else ()
    rows = report.total.unpriced + sum(row.total.unpriced for row in report.backward)
    if not rows:
        return broken or ("sizes behind what fails are assumed" if report.broken else "every operation counted",)
    kernels = [f"{name} (at {where(at, report.rows)})" for name, at in report.unpriced.items()]
    kernels += [f"{name} (backward at {where(at, report.backward)})" for name, at in report.backward_unpriced.items()]
    return (*broken, f"MACs not known of {rows} operation{'s' * (rows > 1)}: {', '.join(kernels)}")


def where(indexes: Sequence[int], rows: Sequence[PricedRow]) -> str:
    """The paths of the first rows: `rnn, head.0 and 3 more`."""
    return listed(list(dict.fromkeys(rows[index].path or rows[index].op for index in indexes)))


def notes(report: Report, lines: Sequence[Line]) -> Iterator[str]:
    yield from states(report, lines)
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
        yield f"{word}: {listed([param.name for param in report.unread])}"
    if report.unjudged:
        yield f"expected at the file's own sizes, and not judged at these: {listed(report.unjudged)}"
    yield from report.trace.notes


def states(report: Report, lines: Sequence[Line]) -> Iterator[str]:
    """What the marks of lines say, where there are any."""
    marks = {state(line, report) for line in lines}
    if FAILS in marks:
        yield "fails: it does not run"
    if ASSUMED in marks:
        yield "assumed: sizes and costs behind what fails, as if that had given what was meant"


def listed(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
