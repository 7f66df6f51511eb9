"""The output of `archscope time`: text in the format that was asked for, and the picture of the roofline.

The command imports this module when it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archscope.cli.output_files import unwritable_error, write_atomically
from archscope.cli.refused_options import refuse_ignored, refuse_without_rows
from archscope.cli.report_text import format_sheet
from archscope.errors import UsageError
from archscope.profiling.grid import Grid
from archscope.profiling.timing import Timing
from archscope.render import grids, json_csv, roofline_picture, timings
from archscope.render.table_content import TableOptions

PICTURE_SUFFIXES = (".svg", ".png")


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
    if not picture.lower().endswith(PICTURE_SUFFIXES):
        raise UsageError(f"a picture is .svg or .png, not {picture!r}", "--picture roofline.svg")
    if several or options["no_rows"] or options["no_roofline"] or options["compile"]:
        raise UsageError("a picture is made of the rows of one measurement", "one batch size, one dtype, not compiled")
    roofline_picture.refuse_without_matplotlib()


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
