"""`archscope list`: the networks that there are to choose from."""

from __future__ import annotations

import click

from archscope.cli.files import refuse_outputs
from archscope.cli.options import OUTPUT, format_option
from archscope.cli.output import deliver, refusing
from archscope.errors import SpecError


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
        try:
            networks = api.networks(*targets)
        except SpecError:
            if format == "json":  # which holds every file, also one that cannot be read
                deliver(data.dumped(catalog.document(api.networks(*targets, keep_going=True))), output)
            raise
        if format == "json":
            deliver(data.dumped(catalog.document(networks)), output)
        else:
            deliver(catalog.text(networks, views.terminal_width()), output)
