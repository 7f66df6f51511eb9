"""What a table can show: Line → cells. A column has its text for readers and its exact value for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.report import FAILS, UNRUN, Finding, Line, Report, Total, receptive, set_text
from archscope.trace import Shape, Value

Shorten = Callable[[str, int], str]


@dataclass(frozen=True)
class Column:
    """One column: the name that `--columns` knows, its header, and what it says about a line of a report.

    data: the header of a data file. total: whether the bottom line fills it. shorten: how its text is cut to a width.
    """

    name: str
    header: str
    text: Callable[[Line, Report], str]
    value: Callable[[Line, Report], object]
    data: str = ""
    right: bool = False
    total: bool = False
    shorten: Shorten | None = None


def layer(line: Line, _: Report) -> str:
    """`Conv2d 16, 3×3, pad 1`; a written step is its own text."""
    alone = line.text and line.kind in ("step", "unread", "backward")
    return line.text if alone else f"{line.name} {line.text}".rstrip()


def path(line: Line, report: Report) -> str:
    """`conv1`, `layer2.0-2  ×3`; of a net that does not run `add  fails` and `fc  assumed`."""
    times = f"×{line.times}" if line.times > 1 and line.kind not in ("sum", "failed") else ""
    return "  ".join(filter(None, [line.label, times, "" if is_unrun(line) else state(line, report)]))


def state(line: Line, report: Report) -> str:
    """`fails` where a row of the line does, `assumed` where its sizes rest on one that does, `not run` of what no
    operation was seen of, else nothing."""
    if is_unrun(line):
        return UNRUN
    return FAILS if line.kind == "failed" else report.soundness.of(line.rows)


def is_unrun(line: Line) -> bool:
    """Whether nothing but its parameters is known of a line. Of what ended the run it is known that it was called."""
    return bool(line.total.unrun) and not line.rows and line.kind != "failed"


def found(line: Line, report: Report) -> str:
    """`error residual-shape: the two sides …`: the findings at the line, as a data file holds them."""
    return "; ".join(in_short(finding) for finding in report.findings if stands_at(finding, line, report))


def stands_at(finding: Finding, line: Line, report: Report) -> bool:
    """Whether a finding is of a line: of its path, or of the step that ended the run."""
    failure = report.trace.failure
    ended = line.kind == "failed" and finding.level == "error" and failure is not None
    paths = (finding.path, *finding.also)
    return line.path in paths or (ended and failure is not None and failure.site.path in paths)


def in_short(finding: Finding) -> str:
    return f"{finding.level} {finding.rule}: {finding.message}"


def asked(report: Report) -> str:
    """What was set: `width=8, block=Basic`."""
    return set_text(report.request.set) if report.request else ""


def sources(line: Line, _: Report) -> str:
    return ", ".join(line.sources)


def output(line: Line, report: Report) -> str:
    """`16×24×24`; several: `3 of 12×64` where they are alike, else the first and how many more."""
    shapes = [without_batch(value, report.batch) for value in line.outputs]
    if len(shapes) > 1 and len(set(shapes)) == 1:
        return f"{len(shapes)} of {shapes[0]}"
    return f"{shapes[0]}, +{len(shapes) - 1}" if len(shapes) > 1 else "".join(shapes)


def without_batch(value: Value, batch: int | None) -> str:
    return units.shape(inner(value.shape, batch))


def inner(shape: Shape, batch: int | None) -> Shape:
    """The shape of one example: without dimension 0 where that is the batch."""
    return shape[1:] if shape and shape[0] == batch else shape


def params(line: Line, _: Report) -> str:
    return "shared" if line.shared else number(line.total.params)


def number(quantity: int) -> str:
    return units.count(quantity) if quantity else ""


def known(quantity: int, total: Total, write: Callable[[int], str] = units.count) -> str:
    """A number of operations: `?` where nothing of it is known, `≥` where a part is not."""
    return least(quantity, total.partial, write)


def least(quantity: int, partial: bool, write: Callable[[int], str]) -> str:
    """A sum; where it lacks a part `≥` and what is known of it, `?` for nothing."""
    if not partial:
        return write(quantity) if quantity else ""
    return f"≥{write(quantity)}" if quantity else "?"


def share(line: Line, report: Report) -> str:
    return units.share(line.total.known, report.total.known)


def calls(line: Line) -> int | None:
    """How many lines were summed; None of what did not run."""
    return None if is_unrun(line) else line.times


def rows(line: Line) -> int | None:
    """How many operations a line has; None of what did not run."""
    return None if is_unrun(line) else len(line.rows)


def by_commas(text: str, width: int) -> str:
    """Cut after the last argument that fits: `Conv2d 64, 3×3, …`."""
    if len(text) <= width:
        return text
    whole = text[: width - 1].rfind(", ")
    return text[: whole + 2] + "…" if whole > 0 else text[: width - 1] + "…"


def first_of(text: str, width: int) -> str:
    """The first name and how many more there are: `branch1x1, +3`."""
    names = text.split(", ")
    return text if len(text) <= width or len(names) == 1 else f"{names[0]}, +{len(names) - 1}"


def field(line: Line, report: Report) -> str:
    """The receptive field of what the line gives: `23×23`, `all` of the input, `?` where it is not known."""
    return receptive.text(report.fields[line.rows[-1]]) if line.rows else ""


def shape_lists(line: Line, _: Report) -> str:
    return " ".join(units.shape(value.shape) for value in line.outputs)


def fraction(line: Line, report: Report) -> float | None:
    """The share as a number; None where the line's MACs are not known."""
    return None if line.total.partial else units.fraction(line.total.known, report.total.known)


def moved(quantity: int, total: Total) -> str:
    """Bytes: `?` and `≥` where something did not run."""
    return least(quantity, bool(total.unrun), units.size)


def byte_column(name: str, text: Callable[[Total], str], value: Callable[[Total], int | None]) -> Column:
    """A column of bytes, human in tables and exact in data."""
    return Column(
        name, name, lambda line, _: text(line.total), lambda line, _: value(line.total), f"bytes_{name}", True, True
    )


def backward_column(
    name: str, header: str, text: Callable[[Total], str], value: Callable[[Total], object], data: str
) -> Column:
    """A column of the backward pass: empty, and unknown in data, in a report that has none."""
    return Column(
        name,
        header,
        lambda line, report: "" if report.backward_total is None else text(line.backward),
        lambda line, report: None if report.backward_total is None else value(line.backward),
        data,
        right=True,
        total=True,
    )


COLUMNS: tuple[Column, ...] = (
    Column("path", "path", path, lambda line, _: line.path),
    Column("layer", "layer", layer, layer, shorten=by_commas),
    Column("from", "from", sources, lambda line, _: " ".join(line.sources), shorten=first_of),
    Column("output", "output", output, shape_lists, right=True),
    Column("params", "params", params, lambda line, _: line.total.params, right=True, total=True),
    Column(
        "macs",
        "MACs",
        lambda line, _: known(line.total.known, line.total),
        lambda line, _: line.total.macs,
        right=True,
        total=True,
    ),
    backward_column(
        "backward", "backward", lambda total: known(total.known, total), lambda total: total.macs, "backward_macs"
    ),
    Column("share", "share", share, fraction, right=True),
    Column(
        "flops",
        "FLOPs",
        lambda line, _: known(2 * line.total.known, line.total),
        lambda line, _: line.total.flops,
        right=True,
        total=True,
    ),
    byte_column("read", lambda total: moved(total.read, total), lambda total: total.bytes_read),
    byte_column("written", lambda total: moved(total.written, total), lambda total: total.bytes_written),
    backward_column(
        "backward_read",
        "backward read",
        lambda total: moved(total.read, total),
        lambda total: total.bytes_read,
        "backward_bytes_read",
    ),
    backward_column(
        "backward_written",
        "backward written",
        lambda total: moved(total.written, total),
        lambda total: total.bytes_written,
        "backward_bytes_written",
    ),
    Column("calls", "calls", lambda line, _: str(calls(line) or "?"), lambda line, _: calls(line), right=True),
    Column("rows", "rows", lambda line, _: str(len(line.rows) or ""), lambda line, _: rows(line), right=True),
    Column("place", "place", lambda line, _: str(line.place or ""), lambda line, _: str(line.place or "")),
    Column("field", "field", field, field, right=True),
    Column("state", "state", state, state),
    Column("findings", "findings", found, found),
    Column("set", "set", lambda _, report: asked(report), lambda _, report: asked(report)),
)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
BACKWARD: tuple[str, ...] = ("backward", "backward_read", "backward_written")
"""The columns that only a report with a backward pass fills."""
SUMMARY: tuple[str, ...] = ("path", "layer", "from", "output", "params", "macs", "backward", "share")
FLOPS: tuple[str, ...] = ("path", "layer", "params", "macs", "backward", "share", "flops", "read", "written")
FLOPS_BY: tuple[str, ...] = ("path", "calls", "params", "macs", "backward", "share", "flops", "read", "written")


def usual(names: Sequence[str], report: Report) -> tuple[str, ...]:
    """Columns that nobody asked for by name: those of the backward pass only where there was one."""
    return tuple(name for name in names if name not in BACKWARD or report.backward_total is not None)


def chosen(names: Sequence[str], extra: Sequence[Column] = ()) -> tuple[Column, ...]:
    """The columns of these names, in this order, `extra` ones among them. Raises KeyError for a name that none has."""
    known_columns = {column.name: column for column in (*COLUMNS, *extra)}
    return tuple(known_columns[name] for name in names)
