"""Progress on standard error, if that is a terminal, of work that takes longer than two seconds: a bar or messages."""

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
"""Seconds without output."""
BAR_STEPS = 1000


@contextmanager
def progress_bar(label: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Yield a function that takes the share that is done, 0 to 1, and shows it as a bar; no bar in a file or a pipe."""
    start, shown = monotonic(), ExitStack()
    bar: list[Any] = []

    def show(share: float) -> None:
        if quiet or not is_terminal(sys.stderr):
            return
        if not bar and monotonic() - start >= QUIET_SECONDS:
            bar.append(shown.enter_context(click.progressbar(length=BAR_STEPS, label=label, file=sys.stderr)))
        if bar:
            bar[0].update(max(0, round(share * BAR_STEPS) - bar[0].pos))

    with shown:
        yield show


@contextmanager
def progress_messages(*, verbose: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that takes messages and shows the last one on one line, which is removed at the end; with
    `verbose`, each has a line of its own.
    """
    start, widest = monotonic(), 0

    def show(what: str) -> None:
        nonlocal widest
        if verbose:
            echo(what, err=True)
        elif is_terminal(sys.stderr) and monotonic() - start >= QUIET_SECONDS:
            what = escape_one_line(what)
            click.echo(f"\r{what:<{widest}}", nl=False, err=True)
            widest = len(what)

    try:
        yield show
    finally:
        if widest:
            click.echo(f"\r{'':<{widest}}\r", nl=False, err=True)
