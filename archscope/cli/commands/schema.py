"""The command `archscope schema`."""

from __future__ import annotations

import click

from archscope import api
from archscope.cli.options import OUTPUT_OPTION
from archscope.cli.output import errors_printed, write_output
from archscope.cli.output_files import refuse_outputs


@click.command()
@OUTPUT_OPTION
def schema(output: str | None) -> None:
    """JSON Schema of the language, for editors."""
    with errors_printed():
        from archscope.render import json_csv

        refuse_outputs([output], [])
        write_output(json_csv.format_json(api.schema()), output)
