"""The command `archscope summary`."""

from __future__ import annotations

from typing import Any

import click

from archscope.cli import refused_options
from archscope.cli.options import RUN_OPTIONS, VIEW_OPTIONS, make_table_options
from archscope.cli.output import errors_printed, finish_command, has_errors_in_view, write_output
from archscope.cli.output_files import refuse_outputs
from archscope.cli.target_reports import partial_report


@click.command()
@click.argument("target")
@RUN_OPTIONS
@VIEW_OPTIONS
def summary(
    target: str,
    depth: int | None,
    columns: tuple[str, ...],
    sort: tuple[str, ...],
    expand: bool,
    format: str,
    output: str | None,
    **options: Any,
) -> None:
    """The table of a net: path, layer, output shape, parameters, MACs, share."""
    with errors_printed():
        table_options = make_table_options(depth, columns, sort, expand)
        refused_options.refuse_ignored(table_options, format, parts=False, train=options["train"])
        refuse_outputs([output], [target])
        report = partial_report(target, options)
        from archscope.cli.report_text import format_report

        write_output(format_report(report, "summary", table_options, format, options["quiet"]), output)
    finish_command([report], options["quiet"], beside=has_errors_in_view(format, output))
