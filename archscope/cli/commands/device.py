"""The command `archscope device`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope import api
from archscope.api.devices import list_devices
from archscope.cli.options import OUTPUT_OPTION, format_option
from archscope.cli.output import errors_printed, refuse_outputs, write_output
from archscope.cli.progress import progress_messages
from archscope.cli.target_reports import format_sheet
from archscope.cli.wording import reword
from archscope.render import devices, json_csv

if TYPE_CHECKING:
    from archscope.profiling.roofline import Ceilings

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
        if listed:
            write_output(reword(format_devices(format)), output)
            return
        with progress_messages(verbose=verbose) as tell:
            ceilings = api.device(device, again=again, threads=threads, progress=tell)
        write_output(format_ceilings(ceilings, format), output)


def format_devices(format: str) -> str:
    auto, found = list_devices()
    if format == "json":
        return json_csv.format_json(devices.devices_document(auto, found))
    return devices.devices_csv(found) if format == "csv" else format_sheet(devices.devices_sheet(auto, found), format)


def format_ceilings(ceilings: Ceilings, format: str) -> str:
    if format == "json":
        return json_csv.format_json(ceilings.to_dict())
    return devices.ceilings_csv(ceilings) if format == "csv" else format_sheet(devices.ceilings_sheet(ceilings), format)
