"""The commands: one module for each, with the name of the command.

A command: options → one library call → rendering → standard output or a file → exit code. A module is imported when
its command is called, or for the list of all commands; `api` imports torch when a target needs it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import click

COMMAND_NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))
"""The names of the commands, which are those of the modules of this package."""


def find_command(name: str) -> click.Command | None:
    """Return the command of this name; None if there is none."""
    if name not in COMMAND_NAMES:
        return None
    module = import_module(f"{__name__}.{name}")
    return next(value for value in vars(module).values() if isinstance(value, click.Command))
