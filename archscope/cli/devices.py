"""`archscope device`: options → one library call → a table or a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archscope.cli.files import refuse_outputs
from archscope.cli.options import OUTPUT, format_option
from archscope.cli.output import deliver, refusing
from archscope.cli.progress import doing
from archscope.cli.wording import as_options

if TYPE_CHECKING:
    from archscope.roofline import Ceilings

FORMATS = ("table", "markdown", "csv", "json")


@click.command()
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu or cuda[:i]; auto: CUDA if there is one.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the CPU.")
@click.option("--again", is_flag=True, help="Measure anew, whatever is kept.")
@click.option("--list", "listed", is_flag=True, help="Say which devices are here; measure nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done.")
@format_option(FORMATS)
@OUTPUT
def device(
    device: str, threads: int | None, again: bool, listed: bool, verbose: bool, format: str, output: str | None
) -> None:
    """What this device can do at most: products, bytes, launches."""
    with refusing():
        from archscope import api

        refuse_outputs([output], [])
        if listed:
            deliver(as_options(here(format)), output)
            return
        with doing(verbose=verbose) as tell:
            ceilings = api.device(device, again=again, threads=threads, progress=tell)
        deliver(shown(ceilings, format), output)


def here(format: str) -> str:
    from archscope.api.devices import here
    from archscope.cli.program import laid_out
    from archscope.render import data, devices

    auto, found = here()
    if format == "json":
        return data.dumped(devices.here_document(auto, found))
    return devices.here_csv(found) if format == "csv" else laid_out(devices.here_sheet(auto, found), format)


def shown(ceilings: Ceilings, format: str) -> str:
    from archscope.cli.program import laid_out
    from archscope.render import data, devices

    if format == "json":
        return data.dumped(ceilings.to_dict())
    return devices.csv(ceilings) if format == "csv" else laid_out(devices.sheet(ceilings), format)
