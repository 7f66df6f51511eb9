"""`archscope time`: options → one library call → a table, a document or a picture."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archscope.cli.combinations import refuse_ignored, refuse_without_rows
from archscope.cli.files import refuse_outputs, unwritable, write_whole
from archscope.cli.options import (
    FORMATS,
    OUTLINE_OPTIONS,
    OUTPUT,
    TARGET_OPTIONS,
    format_option,
    library_options,
    listed,
    names_among,
    stacked,
    wish_of,
)
from archscope.cli.output import deliver, refusing
from archscope.cli.progress import doing, progress
from archscope.cli.reports import explaining
from archscope.errors import UsageError
from archscope.interrupts import INTERRUPTED, current
from archscope.liveness import OPTIMIZERS

if TYPE_CHECKING:
    from archscope.render.sheet import Wish
    from archscope.timing import Grid, Timing

PICTURES = (".svg", ".png")


def timing_columns(_: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    """`path,time` → names that exist."""
    from archscope.render.columns import NAMES
    from archscope.render.timings import TIMES

    return names_among((*NAMES, *TIMES), option, text)


def batch_size(text: str) -> int:
    """Raises ValueError."""
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise ValueError(f"{text!r} is no batch size such as 8, or 1,8,64")
    return int(text)


MEASURING_OPTIONS: Callable[[Any], Any] = stacked(
    click.option(
        "--batch", default="", metavar="N,…", callback=listed(batch_size), help="Batch size; several make a grid."
    ),
    click.option(
        "--dtype", default="", metavar="NAME,…", callback=listed(str), help="float32, bfloat16, …; several make a grid."
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
LAYOUT_OPTIONS: Callable[[Any], Any] = stacked(
    click.option("--by", type=click.Choice(["module", "type", "depth"]), help="Sums, not the outline."),
    click.option(
        "--columns", default="", metavar="A,B", callback=timing_columns, help="Columns to show, in this order."
    ),
    click.option(
        "--sort", default="", metavar="COLUMN", callback=timing_columns, help="Largest first, without nesting."
    ),
    *OUTLINE_OPTIONS,
    format_option(FORMATS),
    OUTPUT,
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
    with refusing():
        wish = wish_of(depth, columns, sort, expand, by or "")
        refuse_outputs([output, picture], [target])
        refuse_before(picture, format, wish, options)
        current().awaited = True  # what is measured by then is told
        found = measured(target, options)
        deliver(shown(found, wish, format), output)
        if picture is not None:
            draw(found, picture)
    if interrupted(found):
        click.get_current_context().exit(INTERRUPTED)


def refuse_before(picture: str | None, format: str, wish: Wish, options: Mapping[str, Any]) -> None:
    """What can be known to fail is refused before anything is measured. Raises UsageError."""
    refuse_ignored(wish, format, parts=False, train=options["train"])
    refuse_without_rows(wish, options)
    several = len(options["batch"]) > 1 or len(options["dtype"]) > 1
    if several and (wish.columns or wish.sort or wish.by or wish.depth or wish.expand):
        raise UsageError("a grid shows no rows, so there is nothing to choose or sort", "one batch size, one dtype")
    if picture is None:
        return
    if not picture.lower().endswith(PICTURES):
        raise UsageError(f"a picture is .svg or .png, not {picture!r}", "--picture roofline.svg")
    if several or options["no_rows"] or options["no_roofline"] or options["compile"]:
        raise UsageError("a picture is made of the rows of one measurement", "one batch size, one dtype, not compiled")
    from archscope.render import pictures

    pictures.refuse_without_matplotlib()


def measured(target: str, options: Mapping[str, Any]) -> Timing | Grid:
    """One measurement; several batch sizes or dtypes, a grid."""
    from archscope import api

    batches, dtypes = options["batch"], options["dtype"]
    first: dict[str, Any] = {name: next(iter(options[name]), None) for name in ("batch", "dtype")}
    how = library_options({name: given for name, given in options.items() if name not in ("batch", "dtype")})
    how["rows"], how["roofline"] = not how.pop("no_rows"), not how.pop("no_roofline")
    with (
        explaining(target, {**options, **first}),
        contextlib.redirect_stdout(sys.stderr),
        doing(verbose=options["verbose"]) as how["progress"],
        progress("measuring", quiet=options["quiet"]) as tell,
    ):
        if len(batches) > 1 or len(dtypes) > 1:
            return api.time_grid(
                target, batch=batches or (None,), dtype=dtypes or (None,), **{**how, "rows": False}, ask=tell
            )
        return api.time(target, **first, **how, ask=tell)


def interrupted(found: Timing | Grid) -> bool:
    from archscope.timing import Grid

    return found.interrupted if isinstance(found, Grid) else found.measurement.interrupted


def draw(found: Any, picture: str) -> None:
    from archscope.render import pictures

    points, report = found.points(), found.report
    unknown = sum(row.spent.flops is None for row in found.rows)
    rest = f", without {unknown} row{'s' * (unknown > 1)} of unknown FLOPs" if unknown else ""
    image = pictures.roofline(points, found.ceilings, title=f"{report.title}, batch {report.batch}{rest}")
    try:
        write_whole(Path(picture), image(Path(picture).suffix.lower()))
    except OSError as error:
        raise unwritable(picture, error) from None


def shown(found: Timing | Grid, wish: Wish, format: str) -> str:
    from archscope.cli.program import laid_out
    from archscope.render import data, grids, timings
    from archscope.timing import Grid

    if format == "json":
        return data.dumped(found.to_dict())
    if isinstance(found, Grid):
        return grids.csv(found) if format == "csv" else laid_out(grids.sheet(found), format)
    return timings.csv(found, wish) if format == "csv" else laid_out(timings.sheet(found, wish), format)
