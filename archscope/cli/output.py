"""Output of text: tables to standard output or a file, messages to standard error; and errors that end a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from archscope.cli.output_files import unwritable_error, write_atomically
from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, ForwardError, escape_invisible
from archscope.interrupts import current_handler

if TYPE_CHECKING:
    from archscope.report import Checked, Report

EXIT_FOUND, EXIT_WRONG, EXIT_PIPE_CLOSED = 1, 2, 141


class CliError(click.ClickException):
    """A mistake of the user's, printed without a traceback."""

    exit_code = EXIT_WRONG

    def show(self, file: IO[Any] | None = None) -> None:
        echo(self.message, file=file or sys.stderr)


class ForwardCliError(CliError):
    """A failed forward pass, with exit code 1. report: of the rows that ran; None if there is none."""

    exit_code = EXIT_FOUND

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


@contextmanager
def errors_printed() -> Iterator[None]:
    """Print errors of archscope without a traceback; end the program if the reader of the output has gone away."""
    try:
        yield
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # drops the rest of the buffer
        sys.exit(EXIT_PIPE_CLOSED)
    except OSError as error:
        raise CliError(f"cannot write: {(error.strerror or str(error)).lower()}") from None
    except ArchscopeError as error:
        raise (ForwardCliError if isinstance(error, ForwardError) else CliError)(reword(str(error))) from None


def echo(text: str, *, nl: bool = True, err: bool = False, file: IO[Any] | None = None) -> None:
    """Print a text without characters that control a terminal. All output of the program passes through this
    function.
    """
    click.echo(escape_invisible(text), nl=nl, err=err, file=file)


def write_output(text: str, output: str | None, *, verbatim: bool = False) -> None:
    """Write to standard output (also as `-`), or replace a file atomically; nothing is written after Ctrl-C.

    verbatim: the content of a file, or a patch of one; control characters are only removed for a terminal.
    """
    if current_handler().pending:
        raise KeyboardInterrupt
    if output in (None, "-"):
        if verbatim and not is_terminal(sys.stdout):
            click.echo(text.encode(errors="surrogateescape"), nl=False)
        else:
            echo(text, nl=False)
        return
    assert output is not None
    try:
        write_atomically(Path(output), text if verbatim else escape_invisible(text))
    except OSError as error:
        raise unwritable_error(output, error) from None


def is_terminal(stream: IO[str] | None) -> bool:
    """Return True if the stream is open and a terminal."""
    return stream is not None and stream.isatty()


def has_errors_in_view(format: str, output: str | None) -> bool:
    """Return whether the table with the errors is shown on the same terminal."""
    to_terminal = output in (None, "-") and is_terminal(sys.stdout) and is_terminal(sys.stderr)
    return to_terminal and format == "table"


def echo_not_run(checked: Sequence[Checked]) -> None:
    """Name on standard error the targets that were not run, and the input that they need."""
    for item in checked:
        if item.report is not None and not item.report.trace.ran:
            echo(f"{item.target}: {reword(item.report.trace.notes[0])}", err=True)


def finish_command(reports: Sequence[Report], quiet: bool, *, beside: bool, code: int = 0) -> None:
    """Print the findings to standard error, each once, with the other targets that have it, and end with the exit code;
    `--quiet` keeps the errors.

    beside: the errors are already in the table. code: that of targets without a report.
    """
    from archscope.render import findings, notebook_views

    levels = (set() if beside else {"error"}) | (set() if quiet else {"warning", "note"})
    echo(findings.format_level_findings(reports, levels, width=notebook_views.terminal_width()), nl=False, err=True)
    if code or any(report.failed for report in reports):
        click.get_current_context().exit(code or EXIT_FOUND)
