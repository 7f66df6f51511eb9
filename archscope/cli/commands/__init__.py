"""The commands: one module for each, with the name of the command.

A command: options → one library call → rendering → standard output or a file → exit code. Torch and other large
packages are imported inside of the commands that need them, so that help, version and schema do not load torch.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import click

COMMANDS: tuple[click.Command, ...] = tuple(
    value
    for module in iter_modules(__path__, f"{__name__}.")
    for value in vars(import_module(module.name)).values()
    if isinstance(value, click.Command)
)
"""The commands of all modules of this package."""
