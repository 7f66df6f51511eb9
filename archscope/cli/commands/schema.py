"""The command `archscope schema`."""

from __future__ import annotations

import click

from archscope import api
from archscope.cli.options import OUTPUT_OPTION
from archscope.cli.output import errors_printed, refuse_outputs, write_output
from archscope.render import json_csv


@click.command()
@OUTPUT_OPTION
def schema(output: str | None) -> None:
    """JSON Schema of the language, for editors."""
    with errors_printed():
        refuse_outputs([output], [])
        write_output(json_csv.format_json(api.schema()), output)
