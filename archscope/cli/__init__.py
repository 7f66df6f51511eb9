"""The door for people: `archscope COMMAND`. options → program → output."""

from archscope.cli.program import cli, ended, main

__all__ = ["cli", "ended", "main"]
