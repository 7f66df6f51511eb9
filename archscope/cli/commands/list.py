"""The command `archscope list`."""

from __future__ import annotations

import click

from archscope import api
from archscope.cli.options import OUTPUT_OPTION, format_option
from archscope.cli.output import errors_printed, write_output
from archscope.cli.output_files import refuse_outputs
from archscope.errors import SpecError


@click.command(name="list")
@click.argument("targets", nargs=-1, metavar="[FILE…]")
@format_option(("table", "json"))
@OUTPUT_OPTION
def list_networks(targets: tuple[str, ...], format: str, output: str | None) -> None:
    """The networks that come with archscope, or the variants of FILE.

    A folder stands for its specs. Nothing is run.
    """
    with errors_printed():
        from archscope.render import json_csv, network_list, notebook_views

        refuse_outputs([output], targets)
        try:
            networks = api.networks(*targets)
        except SpecError:
            if format == "json":  # a document has every file, also one that cannot be read
                write_output(
                    json_csv.format_json(network_list.networks_document(api.networks(*targets, keep_going=True))),
                    output,
                )
            raise
        if format == "json":
            write_output(json_csv.format_json(network_list.networks_document(networks)), output)
        else:
            write_output(network_list.format_networks(networks, notebook_views.terminal_width()), output)
