"""The command line, `archscope COMMAND`: `main` installs the handling of Ctrl-C before it imports anything else."""

from __future__ import annotations

import sys

from archscope.interrupts import INTERRUPT_EXIT_CODE, install_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archscope.cli.program import cli, run_command_line

__all__ = ["cli", "main", "run_command_line"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'archscope.cli' has no attribute {name!r}")
    from archscope.cli import program

    return getattr(program, name)


def main() -> None:
    """Run the program; a closed pipe and Ctrl-C end it without a traceback."""
    interrupts = install_handler()
    try:
        from archscope.cli import program

        program.prepare_process(interrupts)
        code = program.run_command_line(sys.argv[1:])
        interrupts.is_ending = True
    except BaseException:
        if not interrupts.signals_seen:
            raise
        code = INTERRUPT_EXIT_CODE
    interrupts.is_ending = True
    sys.exit(INTERRUPT_EXIT_CODE if interrupts.signals_seen else code)
