"""Commands of the program, run in this process; an exception that would end it with a traceback fails the test."""

from __future__ import annotations

import csv
import io

from click.testing import CliRunner, Result

from archscope.cli import cli


def run(*arguments: str) -> Result:
    """What `archscope ARGUMENTS` gives."""
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def rows(*arguments: str) -> list[dict[str, str]]:
    """The lines of what a command gives as CSV, by the names of their columns."""
    return list(csv.DictReader(io.StringIO(run(*arguments, "--format", "csv").stdout)))
