"""On standard error, where somebody looks on, for what takes longer than two seconds: a bar, or what is being done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import click

from archscope.cli.output import echo, is_terminal
from archscope.errors import escape_one_line

QUIET_SECONDS = 2.0
"""Seconds without a word."""
BAR_STEPS = 1000


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Gives what is told the share that is done, 0 to 1. A file or a pipe sees no bar."""
    start, shown = monotonic(), ExitStack()
    bar: list[Any] = []

    def tell(share: float) -> None:
        if quiet or not is_terminal(sys.stderr):
            return
        if not bar and monotonic() - start >= QUIET_SECONDS:
            bar.append(shown.enter_context(click.progressbar(length=BAR_STEPS, label=label, file=sys.stderr)))
        if bar:
            bar[0].update(max(0, round(share * BAR_STEPS) - bar[0].pos))

    with shown:
        yield tell


@contextmanager
def progress_messages(*, verbose: bool) -> Iterator[Callable[[str], None]]:
    """Gives what is told what is being done. Verbose, each has a line; otherwise one line shows the last, and is gone
    afterwards."""
    start, widest = monotonic(), 0

    def tell(what: str) -> None:
        nonlocal widest
        if verbose:
            echo(what, err=True)
        elif is_terminal(sys.stderr) and monotonic() - start >= QUIET_SECONDS:
            what = escape_one_line(what)
            click.echo(f"\r{what:<{widest}}", nl=False, err=True)
            widest = len(what)

    try:
        yield tell
    finally:
        if widest:
            click.echo(f"\r{'':<{widest}}\r", nl=False, err=True)
