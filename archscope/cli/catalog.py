"""`archscope list`: the networks that there are to choose from."""

from __future__ import annotations

import click

from archscope.cli.files import refuse_outputs
from archscope.cli.options import OUTPUT, format_option
from archscope.cli.output import deliver, refusing


@click.command(name="list")
@click.argument("targets", nargs=-1, metavar="[FILE…]")
@format_option(("table", "json"))
@OUTPUT
def listing(targets: tuple[str, ...], format: str, output: str | None) -> None:
    """The networks that come with archscope, or the variants of FILE.

    A folder stands for its specs. Nothing is run.
    """
    with refusing():
        from archscope import api
        from archscope.render import catalog, data, views

        refuse_outputs([output], targets)
        networks = api.networks(*targets, keep_going=format == "json")
        if format == "json":
            deliver(data.dumped(catalog.document(networks)), output)
            api.networks(*targets)  # says why the only file cannot be read
        else:
            deliver(catalog.text(networks, views.terminal_width()), output)
