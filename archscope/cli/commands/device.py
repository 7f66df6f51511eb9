"""The command `archscope device`."""

from __future__ import annotations

import click

from archscope import api
from archscope.api.devices import list_devices
from archscope.cli.options import OUTPUT_OPTION, format_option
from archscope.cli.output import errors_printed, write_output
from archscope.cli.output_files import refuse_outputs
from archscope.cli.progress import progress_messages
from archscope.cli.wording import reword

DEVICE_FORMATS = ("table", "markdown", "csv", "json")


@click.command()
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu or cuda[:i]; auto: CUDA if there is one.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the CPU.")
@click.option("--again", is_flag=True, help="Measure anew, even if cached.")
@click.option("--list", "listed", is_flag=True, help="List the devices; measure nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Report progress.")
@format_option(DEVICE_FORMATS)
@OUTPUT_OPTION
def device(
    device: str, threads: int | None, again: bool, listed: bool, verbose: bool, format: str, output: str | None
) -> None:
    """Measure what this device can do at most: products, bytes, launches."""
    with errors_printed():
        refuse_outputs([output], [])
        from archscope.cli import device_text

        if listed:
            write_output(reword(device_text.format_devices(*list_devices(), format)), output)
            return
        with progress_messages(verbose=verbose) as tell:
            ceilings = api.device(device, again=again, threads=threads, progress=tell)
        write_output(device_text.format_ceilings(ceilings, format), output)
