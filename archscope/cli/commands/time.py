"""The command `archscope time`."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archscope import api
from archscope.cli.formats import REPORT_FORMATS
from archscope.cli.options import (
    OUTLINE_OPTIONS,
    OUTPUT_OPTION,
    TARGET_OPTIONS,
    combine_options,
    format_option,
    library_options,
    list_callback,
    make_table_options,
    parse_column_names,
)
from archscope.cli.output import errors_printed, refuse_outputs, unwritable_error, write_atomically, write_output
from archscope.cli.progress import progress_bar, progress_messages
from archscope.cli.refused_options import refuse_ignored, refuse_without_rows
from archscope.cli.target_reports import failures_as_document, failures_explained, format_sheet
from archscope.errors import UsageError
from archscope.interrupts import INTERRUPT_EXIT_CODE, current_handler
from archscope.profiling.grid import Grid
from archscope.profiling.predicted_memory import OPTIMIZERS
from archscope.render import grids, json_csv, roofline_picture, timings
from archscope.render.columns import COLUMN_NAMES
from archscope.render.timings import TIME_COLUMNS

if TYPE_CHECKING:
    from archscope.profiling.grid import Grid
    from archscope.profiling.timing import Timing
    from archscope.render.table_content import TableOptions



def parse_timing_columns(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """Return the column names in `path,time`. Raises BadParameter for unknown ones."""
    return parse_column_names((*COLUMN_NAMES, *TIME_COLUMNS), option, text)


def parse_batch_size(text: str) -> int:
    """Return a batch size. Raises ValueError."""
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise ValueError(f"{text!r} is not a batch size such as 8, or 1,8,64")
    return int(text)


MEASURING_OPTIONS: Callable[[Any], Any] = combine_options(
    click.option(
        "--batch",
        default="",
        metavar="N,…",
        callback=list_callback(parse_batch_size),
        help="Batch size; several make a grid.",
    ),
    click.option(
        "--dtype",
        default="",
        metavar="NAME,…",
        callback=list_callback(str),
        help="float32, bfloat16, …; several make a grid.",
    ),
    click.option("--device", default="auto", metavar="NAME", help="auto, cpu or cuda[:i]; auto: CUDA if there is one."),
    click.option("--train", is_flag=True, help="A training step: forward, backward, optimizer."),
    click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), help="Of a training step.  [default: adamw]"),
    click.option(
        "--seconds",
        type=click.FloatRange(0, min_open=True),
        default=5.0,
        show_default=True,
        help="Time for all runs of one measurement.",
    ),
    click.option("--compile", is_flag=True, help="By torch.compile: then there are no rows."),
    click.option("--channels-last", is_flag=True, help="Images and weights as NHWC."),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the CPU."),
    click.option("--tf32/--no-tf32", default=None, help="On a GPU: float32 products in TF32."),
    click.option("--no-rows", is_flag=True, help="Only the whole."),
    click.option("--no-roofline", is_flag=True, help="Without the device's ceilings, which are measured once."),
    click.option("--picture", metavar="FILE", help="The roofline as a picture: .svg or .png."),
)
LAYOUT_OPTIONS: Callable[[Any], Any] = combine_options(
    click.option("--by", type=click.Choice(["module", "type", "depth"]), help="Sums, not the outline."),
    click.option(
        "--columns", default="", metavar="A,B", callback=parse_timing_columns, help="Columns to show, in this order."
    ),
    click.option(
        "--sort", default="", metavar="COLUMN", callback=parse_timing_columns, help="Largest first, without nesting."
    ),
    *OUTLINE_OPTIONS,
    format_option(REPORT_FORMATS),
    OUTPUT_OPTION,
)


@click.command()
@click.argument("target")
@TARGET_OPTIONS
@MEASURING_OPTIONS
@LAYOUT_OPTIONS
def time(
    target: str,
    by: str | None,
    depth: int | None,
    columns: tuple[str, ...],
    sort: tuple[str, ...],
    expand: bool,
    format: str,
    output: str | None,
    picture: str | None,
    **options: Any,
) -> None:
    """Actual time and memory on this device, row by row, and how far from its limit."""
    with errors_printed():
        table_options = make_table_options(depth, columns, sort, expand, by or "")
        refuse_outputs([output, picture], [target])
        refuse_bad_options(picture, format, table_options, options)
        current_handler().is_awaited = True  # the results so far are shown
        with failures_as_document(format, output):
            found = measure_target(target, options)
        write_output(format_timing(found, table_options, format), output)
        if picture is not None:
            write_picture(found, picture)
    if is_interrupted(found):
        click.get_current_context().exit(INTERRUPT_EXIT_CODE)


def refuse_bad_options(
    picture: str | None, format: str, table_options: TableOptions, options: Mapping[str, Any]
) -> None:
    """Refuse options that can be known to fail, before anything is measured. Raises UsageError."""
    refuse_ignored(table_options, format, parts=False, train=options["train"])
    refuse_without_rows(table_options, options)
    several = len(options["batch"]) > 1 or len(options["dtype"]) > 1
    if several and (
        table_options.columns or table_options.sort or table_options.by or table_options.depth or table_options.expand
    ):
        raise UsageError("a grid shows no rows, so there is nothing to choose or sort", "one batch size, one dtype")
    if picture is None:
        return
    if not picture.lower().endswith(roofline_picture.PICTURE_SUFFIXES):
        raise UsageError(f"a picture is .svg or .png, not {picture!r}", "--picture roofline.svg")
    if several or options["no_rows"] or options["no_roofline"] or options["compile"]:
        raise UsageError("a picture is made of the rows of one measurement", "one batch size, one dtype, not compiled")

    roofline_picture.refuse_without_matplotlib()


def measure_target(target: str, options: Mapping[str, Any]) -> Timing | Grid:
    """Return one measurement; of several batch sizes or dtypes, a grid."""
    batches, dtypes = options["batch"], options["dtype"]
    first: dict[str, Any] = {name: next(iter(options[name]), None) for name in ("batch", "dtype")}
    how = library_options({name: given for name, given in options.items() if name not in ("batch", "dtype")})
    how["rows"], how["roofline"] = not how.pop("no_rows"), not how.pop("no_roofline")
    with (
        failures_explained(target, {**options, **first}),
        contextlib.redirect_stdout(sys.stderr),
        progress_messages(verbose=options["verbose"]) as how["progress"],
        progress_bar("measuring", quiet=options["quiet"]) as tell,
    ):
        if len(batches) > 1 or len(dtypes) > 1:
            return api.time_grid(
                target, batch=batches or (None,), dtype=dtypes or (None,), **{**how, "rows": False}, ask=tell
            )
        return api.time(target, **first, **how, ask=tell)


def is_interrupted(found: Timing | Grid) -> bool:
    return found.interrupted if isinstance(found, Grid) else found.measurement.interrupted


def write_picture(found: Any, picture: str) -> None:
    points, report = found.points(), found.report
    unknown = sum(row.spent.flops is None for row in found.rows)
    rest = f", without {unknown} row{'s' * (unknown > 1)} of unknown FLOPs" if unknown else ""
    image = roofline_picture.draw_roofline(points, found.ceilings, title=f"{report.title}, batch {report.batch}{rest}")
    try:
        write_atomically(Path(picture), image(Path(picture).suffix.lower()))
    except OSError as error:
        raise unwritable_error(picture, error) from None


def format_timing(found: Timing | Grid, table_options: TableOptions, format: str) -> str:
    if format == "json":
        return json_csv.format_json(found.to_dict())
    if isinstance(found, Grid):
        return grids.grid_csv(found) if format == "csv" else format_sheet(grids.grid_sheet(found), format)
    return (
        timings.timing_csv(found, table_options)
        if format == "csv"
        else format_sheet(timings.timing_sheet(found, table_options), format)
    )
