"""The columns of a report's tables: an OutlineLine → cells. A column has a text for readers and an exact value for
programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.graph.outline_lines import OutlineLine
from archscope.report import FAILS, UNRUN, Finding, Report, Total, receptive_field, set_text
from archscope.trace import Shape

Shorten = Callable[[str, int], str]


@dataclass(frozen=True)
class Column:
    """A column: its name for `--columns`, its header, and its text and value for a line of a report.

    data: the header in a data file. total: it has a value in the bottom line. shorten: cuts its text to a width.
    """

    name: str
    header: str
    text: Callable[[OutlineLine, Report], str]
    value: Callable[[OutlineLine, Report], object]
    data: str = ""
    right: bool = False
    total: bool = False
    shorten: Shorten | None = None


def layer_cell(line: OutlineLine, _: Report) -> str:
    """Return `Conv2d 16, 3×3, pad 1`; a step of a spec has its own text."""
    alone = line.text and line.kind in ("step", "unread", "backward")
    return line.text if alone else f"{line.name} {line.text}".rstrip()


def path_cell(line: OutlineLine, report: Report) -> str:
    """Return `conv1` or `layer2.0-2  ×3`; in a net that fails, `add  fails` and `fc  assumed`."""
    times = f"×{line.times}" if line.times > 1 and line.kind not in ("sum", "failed") else ""
    return "  ".join(filter(None, [line.label, times, "" if is_not_run(line) else line_state(line, report)]))


def line_state(line: OutlineLine, report: Report) -> str:
    """Return `fails` if a row of the line does, `assumed` if its sizes depend on one that does, `not run` if none of
    its operations was seen, else "".
    """
    if is_not_run(line):
        return UNRUN
    return FAILS if line.kind == "failed" else report.soundness.of(line.rows)


def is_not_run(line: OutlineLine) -> bool:
    """Return whether only the parameters of a line are known. The layer that ended the run is known to have been
    called.
    """
    return bool(line.total.unrun) and not line.rows and line.kind != "failed"


def findings_cell(line: OutlineLine, report: Report) -> str:
    """Return the findings at the line for a data file: `error residual-shape: the two sides …`."""
    return "; ".join(short_finding(finding) for finding in report.findings if is_finding_of_line(finding, line, report))


def is_finding_of_line(finding: Finding, line: OutlineLine, report: Report) -> bool:
    """Return whether a finding is about a line: about its path, or about the step that ended the run."""
    failure = report.trace.failure
    ended = line.kind == "failed" and finding.level == "error" and failure is not None
    paths = (finding.path, *finding.also)
    return line.path in paths or (ended and failure is not None and failure.site.path in paths)


def short_finding(finding: Finding) -> str:
    return f"{finding.level} {finding.rule}: {finding.message}"


def set_params_text(report: Report) -> str:
    """Return the params that were set: `width=8, block=Basic`."""
    return set_text(report.request.set) if report.request else ""


def output_cell(line: OutlineLine, report: Report) -> str:
    """Return `16×24×24`; several outputs as `3 of 12×64` if they are equal, else the first and the number of others."""
    shapes = [units.format_shape(example_shape(value.shape, report.batch)) for value in line.outputs]
    if len(shapes) > 1 and len(set(shapes)) == 1:
        return f"{len(shapes)} of {shapes[0]}"
    return f"{shapes[0]}, +{len(shapes) - 1}" if len(shapes) > 1 else "".join(shapes)


def example_shape(shape: Shape, batch: int | None) -> Shape:
    """Return the shape of one example: without dimension 0, if that is the batch."""
    return shape[1:] if shape and shape[0] == batch else shape


def params_cell(line: OutlineLine, _: Report) -> str:
    if line.shared:
        return "shared"
    return units.format_count(line.total.params) if line.total.params else ""


def known_count(quantity: int, total: Total, write: Callable[[int], str] = units.format_count) -> str:
    """Return a number of operations: `?` if none of them is known, with `≥` if some are not."""
    return lower_bound(quantity, total.partial, write)


def lower_bound(quantity: int, partial: bool, write: Callable[[int], str]) -> str:
    """Return a sum; with `≥` if it is partial, `?` if it is partial and zero."""
    if not partial:
        return write(quantity) if quantity else ""
    return f"≥{write(quantity)}" if quantity else "?"


def call_count(line: OutlineLine) -> int | None:
    """Return the number of calls in a line; None if they did not run."""
    return None if is_not_run(line) else line.times


def cut_at_comma(text: str, width: int) -> str:
    """Return a text cut after the last argument that fits: `Conv2d 64, 3×3, …`."""
    if len(text) <= width:
        return text
    whole = text[: width - 1].rfind(", ")
    return text[: whole + 2] + "…" if whole > 0 else text[: width - 1] + "…"


def cut_to_first_name(text: str, width: int) -> str:
    """Return the first name and the number of others: `branch1x1, +3`."""
    names = text.split(", ")
    return text if len(text) <= width or len(names) == 1 else f"{names[0]}, +{len(names) - 1}"


def receptive_field_cell(line: OutlineLine, report: Report) -> str:
    """Return the receptive field of the line's output: `23×23`, `all` of the input, `?` if it is not known."""
    return receptive_field.field_text(report.receptive_fields[line.rows[-1]]) if line.rows else ""


def output_shapes(line: OutlineLine, _: Report) -> str:
    return " ".join(units.format_shape(value.shape) for value in line.outputs)


def macs_fraction(line: OutlineLine, report: Report) -> float | None:
    """Return the share of MACs as a number; None if those of the line are not known."""
    return None if line.total.partial else units.fraction(line.total.known, report.total.known)


def known_bytes(quantity: int, total: Total) -> str:
    """Return bytes, with `?` and `≥` if something did not run."""
    return lower_bound(quantity, bool(total.unrun), units.format_bytes)


def byte_column(name: str, text: Callable[[Total], str], value: Callable[[Total], int | None]) -> Column:
    """Return a column of bytes, with units in tables and exact in data."""
    return Column(
        name, name, lambda line, _: text(line.total), lambda line, _: value(line.total), f"bytes_{name}", True, True
    )


def backward_column(
    name: str, header: str, text: Callable[[Total], str], value: Callable[[Total], object], data: str
) -> Column:
    """Return a column of the backward pass: empty in tables, and unknown in data, for a report without one."""
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
    Column("path", "path", path_cell, lambda line, _: line.path),
    Column("layer", "layer", layer_cell, layer_cell, shorten=cut_at_comma),
    Column(
        "from",
        "from",
        lambda line, _: ", ".join(line.sources),
        lambda line, _: " ".join(line.sources),
        shorten=cut_to_first_name,
    ),
    Column("output", "output", output_cell, output_shapes, right=True),
    Column("params", "params", params_cell, lambda line, _: line.total.params, right=True, total=True),
    Column(
        "macs",
        "MACs",
        lambda line, _: known_count(line.total.known, line.total),
        lambda line, _: line.total.macs,
        right=True,
        total=True,
    ),
    backward_column(
        "backward", "backward", lambda total: known_count(total.known, total), lambda total: total.macs, "backward_macs"
    ),
    Column(
        "share",
        "share",
        lambda line, report: units.format_share(line.total.known, report.total.known),
        macs_fraction,
        right=True,
    ),
    Column(
        "flops",
        "FLOPs",
        lambda line, _: known_count(2 * line.total.known, line.total),
        lambda line, _: line.total.flops,
        right=True,
        total=True,
    ),
    byte_column("read", lambda total: known_bytes(total.read, total), lambda total: total.bytes_read),
    byte_column("written", lambda total: known_bytes(total.written, total), lambda total: total.bytes_written),
    backward_column(
        "backward_read",
        "backward read",
        lambda total: known_bytes(total.read, total),
        lambda total: total.bytes_read,
        "backward_bytes_read",
    ),
    backward_column(
        "backward_written",
        "backward written",
        lambda total: known_bytes(total.written, total),
        lambda total: total.bytes_written,
        "backward_bytes_written",
    ),
    Column(
        "calls", "calls", lambda line, _: str(call_count(line) or "?"), lambda line, _: call_count(line), right=True
    ),
    Column(
        "rows",
        "rows",
        lambda line, _: str(len(line.rows) or ""),
        lambda line, _: None if is_not_run(line) else len(line.rows),
        right=True,
    ),
    Column("place", "place", lambda line, _: str(line.place or ""), lambda line, _: str(line.place or "")),
    Column("field", "field", receptive_field_cell, receptive_field_cell, right=True),
    Column("state", "state", line_state, line_state),
    Column("findings", "findings", findings_cell, findings_cell),
    Column("set", "set", lambda _, report: set_params_text(report), lambda _, report: set_params_text(report)),
)
COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
BACKWARD_COLUMNS: tuple[str, ...] = ("backward", "backward_read", "backward_written")
"""The columns that only a report with a backward pass fills."""
SUMMARY_COLUMNS: tuple[str, ...] = ("path", "layer", "from", "output", "params", "macs", "backward", "share")
FLOPS_COLUMNS: tuple[str, ...] = ("path", "layer", "params", "macs", "backward", "share", "flops", "read", "written")
BREAKDOWN_COLUMNS: tuple[str, ...] = (
    "path",
    "calls",
    "params",
    "macs",
    "backward",
    "share",
    "flops",
    "read",
    "written",
)


def default_columns(names: Sequence[str], report: Report) -> tuple[str, ...]:
    """Return the default columns; those of the backward pass only if the report has one."""
    return tuple(name for name in names if name not in BACKWARD_COLUMNS or report.backward_total is not None)


def columns_named(names: Sequence[str], extra: Sequence[Column] = ()) -> tuple[Column, ...]:
    """Return the columns of these names in this order, also from `extra`. Raises KeyError for an unknown name."""
    known_columns = {column.name: column for column in (*COLUMNS, *extra)}
    return tuple(known_columns[name] for name in names)
