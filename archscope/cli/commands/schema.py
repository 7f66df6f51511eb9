"""The command `archscope schema`."""

from __future__ import annotations

import click

from archscope.cli.options import OUTPUT_OPTION
from archscope.cli.output import errors_printed, refuse_outputs, write_output


@click.command()
@OUTPUT_OPTION
def schema(output: str | None) -> None:
    """JSON Schema of the language, for editors."""
    with errors_printed():
        from archscope import api
        from archscope.render import json_csv

        refuse_outputs([output], [])
        write_output(json_csv.format_json(api.schema()), output)
