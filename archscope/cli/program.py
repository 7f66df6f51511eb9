"""The program `archscope`: the group of all commands, the version, and the set-up and end of the process.

Exit codes: 0 nothing found, 1 errors found, 2 wrong use or invalid spec.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from collections.abc import Sequence

import click

from archscope.cli import installed_distribution
from archscope.cli.commands import COMMAND_NAMES, find_command
from archscope.cli.output import EXIT_WRONG, CliError, echo, errors_printed
from archscope.errors import did_you_mean, escape_invisible, first_line
from archscope.interrupts import INTERRUPT_EXIT_CODE, InterruptHandler, comes_from_outside


class CommandGroup(click.Group):
    """The group of all commands, each imported when it is needed. The error for an unknown command suggests a similar
    one (as click does from 8.4 on)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMAND_NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMAND_NAMES and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMAND_NAMES) or f"commands: {', '.join(COMMAND_NAMES)}"
            raise click.UsageError(f"no command {args[0]!r}\n  help: {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)


def echo_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        echo(f"archscope {installed_distribution.our_version()}")
        echo(f"{clash}\n" if (clash := installed_distribution.name_clash_message()) else "", nl=False, err=True)
        ctx.exit()


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=echo_version, help="The version.")
def cli() -> None:
    """Neural networks written in YAML or Python: shapes, parameters, MACs, times of every step.

    TARGET is a spec (net.yaml, net.yaml:variant), a network that comes with archscope (specs:resnet:resnet50) or
    Python code that gives a module (net.py:Net, package.module:factory).
    """
    try:
        os.getcwd()
    except OSError as error:
        gone = "is gone" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise CliError(f"the current directory {gone}\n  help: cd to a folder that is there") from None


def prepare_process(interrupts: InterruptHandler) -> None:
    """Set up the process: interrupts and garbage collection, which runs rarely, since imports leave no garbage."""
    gc.set_threshold(100_000)
    warnings.filterwarnings("ignore", module=r"torch\.")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    written = warnings.formatwarning
    warnings.formatwarning = lambda *given, **how: escape_invisible(written(*given, **how))
    before = sys.unraisablehook
    sys.unraisablehook = lambda it: None if it.exc_type is KeyboardInterrupt else before(it)  # it is noted
    if os.name == "posix":
        interrupts.start_watcher()


def run_command_line(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    try:
        with errors_printed():
            return cli.main(list(arguments), prog_name="archscope", standalone_mode=False) or 0
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        echo(message.getvalue(), nl=False, err=True)
        return error.exit_code
    except ImportError as error:
        clash = installed_distribution.import_error_message(error)
        if not clash:
            raise
        echo(clash, err=True)
        return EXIT_WRONG
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPT_EXIT_CODE
    except BaseException as error:
        if isinstance(error, (Exception, SystemExit)) or comes_from_outside(error):
            raise
        echo(f"the code of a model raised {type(error).__name__}: {first_line(error)}", err=True)
        return EXIT_WRONG
