"""Output: tables to standard output or a file, which is checked before any work is done and replaced atomically;
messages to standard error; and errors that end a command."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, ForwardError, SpecError, UsageError, escape_invisible
from archscope.interrupts import current_handler
from archscope.render import findings, notebook_views
from archscope.spec import bundled_networks
from archscope.spec.folders import expand_folders
from archscope.spec.target_names import load_target, split_target
from archscope.spec.yaml_nodes import ParseError

if TYPE_CHECKING:
    from archscope.report import Checked, Report


CHECK_AGAIN_HELP = "run check again: it looks at the file as it is now"


# ------------------------------------------------------------ checks of files before any work
def refuse_outputs(outputs: Iterable[str | None], read: Iterable[str]) -> None:
    """Raise UsageError if an output cannot be written, is given twice, or is a file that the command reads.

    read: targets and other files that the command reads.
    """
    paths = [output for output in outputs if output not in (None, "-")]
    for at, output in enumerate(paths):
        assert output is not None
        refuse_unwritable(output)
        if any(os.path.realpath(output) == os.path.realpath(str(other)) for other in paths[:at]):
            raise UsageError(f"{output} is to hold two outputs", "name two files")
    there = [path for path in paths if path and os.path.isfile(os.path.realpath(path))]
    for path, source in ((path, source) for path in there for source in source_files(read)):
        if os.path.exists(source) and os.path.samefile(os.path.realpath(path), source):
            which = "it" if os.path.abspath(path) == os.path.abspath(source) else f"it is {source}, which"
            raise UsageError(f"cannot write {path}: {which} is read here, and would be lost", "name another file")


def refuse_unwritable(output: str) -> None:
    """Raise UsageError if a file cannot be written."""
    if not output or output.endswith(os.sep):
        raise UsageError(f"cannot write {output!r}: it names no file", "name a file")
    if os.path.isdir(output):
        raise UsageError(f"cannot write {output}: it is a directory", "name a file in it")
    try:
        there = file_mode(output)
        if there is not None and not there & 0o222:
            raise UsageError(f"cannot write {output}: it is read-only", f"chmod u+w {output}")
        if there is not None and not os.access(os.path.realpath(output), os.W_OK):
            raise PermissionError(13, "Permission denied")
        if there is None or stat.S_ISREG(there):
            write_draft(Path(os.path.realpath(output)).parent, b"").unlink()
    except OSError as error:
        raise unwritable_error(output, error) from None


def unwritable_error(output: str, error: OSError) -> UsageError:
    reason = (error.strerror or str(error)).lower()
    folder = os.path.dirname(output)
    made = isinstance(error, FileNotFoundError) and folder and not os.path.isdir(folder)
    return UsageError(f"cannot write {output}: {reason}", f"there is no folder {folder}: make it first" if made else "")


def file_mode(path: str) -> int | None:
    """Return the mode of a file; None if there is none. Raises OSError for a name that no file can have."""
    try:
        return os.stat(os.path.realpath(path)).st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a character that no file name can have
        raise OSError(errno.EINVAL, str(error)) from None


def source_files(read: Iterable[str]) -> Iterator[str]:
    """Yield the files of targets: specs with their imports, Python files, those of a folder."""
    for target in read:
        with suppress(UsageError):  # the command itself reports what is wrong with it
            for one in expand_folders([target]):
                yield from target_files(one)


def target_files(target: str) -> Iterator[str]:
    parts = split_target(target)
    yield from (target, target.rpartition(":")[0])
    if parts is None:
        return
    try:
        named = list(load_target(parts[0]).sources)
    except SpecError as error:
        named = [parts[0], *error.sources]
    for name in named:
        with suppress(ParseError):
            yield bundled_networks.resolve_path(name)


# ------------------------------------------------------------ files
def write_atomically(path: Path, text: str | bytes, *, instead_of: bytes | None = None) -> None:
    """Write to a draft in the same folder and move it over the file. A pipe or another special file is written
    directly.

    instead_of: the expected content of the file. Raises UsageError if it differs, OSError if the file cannot be
    written.
    """
    content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    path = Path(os.path.realpath(path))
    refuse_unwritable(str(path))
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    draft = write_draft(path.parent, content)
    try:
        if instead_of is not None and path.read_bytes() != instead_of:
            raise changed_file_error(str(path))
        if try_copy_owner_and_mode(draft, path):
            os.replace(draft, path)
        else:  # a file of another owner keeps its owner
            path.write_bytes(content)
    finally:
        draft.unlink(missing_ok=True)


def changed_file_error(file: str) -> UsageError:
    return UsageError(f"{file} has changed since it was checked; nothing was written to it", CHECK_AGAIN_HELP)


def write_draft(folder: Path, content: bytes) -> Path:
    """Return a new file in a folder, with this content. Raises OSError."""
    draft = folder / f".archscope-{secrets.token_hex(8)}.tmp"
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        draft.write_bytes(content)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def try_copy_owner_and_mode(draft: Path, path: Path) -> bool:
    """Return whether the draft could be given the owner and the mode of the file that it replaces, if there is one."""
    if not path.exists():
        return True
    wanted, own = path.stat(), draft.stat()
    try:
        if hasattr(os, "chown") and (wanted.st_uid, wanted.st_gid) != (own.st_uid, own.st_gid):
            os.chown(draft, wanted.st_uid, wanted.st_gid)
        draft.chmod(stat.S_IMODE(wanted.st_mode))
    except PermissionError:
        return False
    return True


# ------------------------------------------------------------ errors that end a command
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


# ------------------------------------------------------------ printing
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
    levels = (set() if beside else {"error"}) | (set() if quiet else {"warning", "note"})
    echo(findings.format_level_findings(reports, levels, width=notebook_views.terminal_width()), nl=False, err=True)
    if code or any(report.failed for report in reports):
        click.get_current_context().exit(code or EXIT_FOUND)
