"""The door for people: `archscope COMMAND`. main → options → program → output.

Ctrl-C is heeded before anything else is imported.
"""

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
    """The program: a closed pipe and Ctrl-C end it quietly, whatever Ctrl-C has become on its way."""
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
