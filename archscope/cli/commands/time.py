"""The command `archscope time`."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
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
from archscope.cli.output import errors_printed, write_output
from archscope.cli.output_files import refuse_outputs
from archscope.cli.progress import progress_bar, progress_messages
from archscope.cli.target_reports import failures_as_document, failures_explained
from archscope.interrupts import INTERRUPT_EXIT_CODE, current_handler
from archscope.profiling.predicted_memory import OPTIMIZERS

if TYPE_CHECKING:
    from archscope.profiling.grid import Grid
    from archscope.profiling.timing import Timing


def parse_timing_columns(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """Return the column names in `path,time`. Raises BadParameter for unknown ones."""
    from archscope.render import columns, timings

    return parse_column_names((*columns.COLUMN_NAMES, *timings.TIME_COLUMNS), option, text)


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
        from archscope.cli import timing_text

        refuse_outputs([output, picture], [target])
        timing_text.refuse_bad_options(picture, format, table_options, options)
        current_handler().is_awaited = True  # the results so far are shown
        with failures_as_document(format, output):
            found = measure_target(target, options)
        write_output(timing_text.format_timing(found, table_options, format), output)
        if picture is not None:
            timing_text.write_picture(found, picture)
        is_interrupted = timing_text.is_interrupted(found)
    if is_interrupted:
        click.get_current_context().exit(INTERRUPT_EXIT_CODE)


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
