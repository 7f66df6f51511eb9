"""The door for people: `archscope COMMAND`. main → options → program → output.

Ctrl-C is heeded before anything else is imported.
"""

from __future__ import annotations

import sys

from archscope.interrupts import INTERRUPTED, heeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archscope.cli.program import cli, ended

__all__ = ["cli", "ended", "main"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'archscope.cli' has no attribute {name!r}")
    from archscope.cli import program

    return getattr(program, name)


def main() -> None:
    """The program: a closed pipe and Ctrl-C end it quietly, whatever Ctrl-C has become on its way."""
    interrupts = heeded()
    try:
        from archscope.cli import program

        program.prepare(interrupts)
        code = program.ended(sys.argv[1:])
    except BaseException:
        if not interrupts.seen:
            raise
        code = INTERRUPTED
    interrupts.ending = True
    sys.exit(INTERRUPTED if interrupts.seen else code)
