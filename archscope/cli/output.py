"""Where text goes: tables to standard output or a file, messages to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from archscope.cli.output_files import unwritable_error, write_atomically
from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, ForwardError, escape_invisible
from archscope.interrupts import current_handler

if TYPE_CHECKING:
    from archscope.report import Checked, Report

EXIT_FOUND, EXIT_WRONG, EXIT_PIPE_CLOSED = 1, 2, 141


class CliError(click.ClickException):
    """A mistake of the user's, printed as it is, without a traceback."""

    exit_code = EXIT_WRONG

    def show(self, file: IO[Any] | None = None) -> None:
        echo(self.message, file=file or sys.stderr)


class ForwardCliError(CliError):
    """A forward pass that failed: something was found. report: of what ran, where there is one."""

    exit_code = EXIT_FOUND

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


@contextmanager
def errors_printed() -> Iterator[None]:
    """What is raised on purpose is printed without a traceback; a reader who has gone away ends the program quietly."""
    try:
        yield
        if sys.stdout is not None:  # closed by whoever called
            sys.stdout.flush()
    except BrokenPipeError:
        exit_on_closed_pipe()
    except OSError as error:
        raise CliError(f"cannot write: {(error.strerror or str(error)).lower()}") from None
    except ArchscopeError as error:
        raise (ForwardCliError if isinstance(error, ForwardError) else CliError)(reword(str(error))) from None


def exit_on_closed_pipe() -> NoReturn:
    """Ends the program as a closed pipe does; what is left in the buffer goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(EXIT_PIPE_CLOSED)


def echo(text: str, *, nl: bool = True, err: bool = False, file: IO[Any] | None = None) -> None:
    """What the program says passes here, and nothing in it that a terminal would obey."""
    click.echo(escape_invisible(text), nl=nl, err=err, file=file)


def write_output(text: str, output: str | None, *, verbatim: bool = False) -> None:
    """To standard output (also as `-`), or to a file that is written whole or not at all. Nothing after Ctrl-C, also
    where somebody has swallowed its exception. verbatim: it is a file's content, or a patch of one, so that only a
    terminal sees it without what it would obey."""
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
    """Whether a person reads there; not where whoever called has closed it."""
    return stream is not None and stream.isatty()


def has_errors_in_view(format: str, output: str | None) -> bool:
    """Whether a reader has the errors in front of them already: a table stands above, on the same terminal."""
    to_terminal = output in (None, "-") and is_terminal(sys.stdout) and is_terminal(sys.stderr)
    return to_terminal and format == "table"


def echo_findings(reports: Sequence[Report], quiet: bool, *, beside: bool) -> None:
    """Findings go to standard error, each once, with the other targets that have it; `--quiet` keeps the errors.
    beside: the errors stand there already."""
    from archscope.render import findings, views

    levels = {"error"} - ({"error"} if beside else set()) | (set() if quiet else {"warning", "note"})
    echo(findings.format_level_findings(reports, levels, width=views.terminal_width()), nl=False, err=True)


def echo_not_run(checked: Sequence[Checked]) -> None:
    """Names on standard error what was not run, so that its parameters alone were judged, and what it needs for it."""
    for item in checked:
        if item.report is not None and not item.report.trace.ran:
            echo(f"{item.target}: {reword(item.report.trace.notes[0])}", err=True)


def finish_command(reports: Sequence[Report], quiet: bool, *, beside: bool, code: int = 0) -> None:
    """Tells the findings, and ends with the exit code. code: of what has no report."""
    echo_findings(reports, quiet, beside=beside)
    if code or any(report.failed for report in reports):
        click.get_current_context().exit(code or EXIT_FOUND)
