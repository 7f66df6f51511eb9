"""The command `archscope check`."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import click

from archscope import config
from archscope.cli import check_results, fix_files, refused_options, wording
from archscope.cli.formats import MACHINE_FORMATS
from archscope.cli.options import CHECK_OPTIONS, OUTPUT_OPTION, RUN_OPTIONS
from archscope.cli.output import (
    EXIT_FOUND,
    EXIT_WRONG,
    echo,
    echo_not_run,
    errors_printed,
    refuse_outputs,
    write_output,
)
from archscope.cli.project_settings import targets_or_project_specs


@click.command(cls=fix_files.FixCommand)
@click.argument("targets", nargs=-1, metavar="[TARGET…]")
@RUN_OPTIONS
@CHECK_OPTIONS
@OUTPUT_OPTION
def check(
    targets: tuple[str, ...],
    save_baseline: str | None,
    level: str,
    format: str,
    output: str | None,
    fix: int | None,
    diff: bool,
    **options: Any,
) -> None:
    """Find faults and waste: specs, shapes, expectations, budgets.

    Targets may be folders; without one the specs of pyproject.toml are checked.
    """
    as_document = check_results.errors_as_document(
        format, level, output, baseline=options["baseline"], files=[*targets, options["baseline"], save_baseline]
    )
    with errors_printed(), contextlib.nullcontext() if fix is not None or diff else as_document:
        if diff:
            refused_options.refuse_beside_diff(format, level)
        project = config.find_config(Path())
        wanted = targets_or_project_specs(targets, project, allow_python=options["allow_python"])
        refuse_outputs([output, save_baseline], [*wanted, project.file])
        refuse_outputs([output], filter(None, [options["baseline"]]))
        run = partial(check_results.run_check, wanted, project, named=bool(targets), saving=save_baseline is not None)
        if fix_files.is_repair_wanted(fix, diff, options):
            choice = {"choice": None if fix == fix_files.FIX_EACH else fix}
            found = run(options | choice, repairing=True)
            checked = [item for repair in found for item in repair.checked]
            fix_files.echo_unfixed(found)
        else:
            going_on = {"keep_going": format in MACHINE_FORMATS}
            checked = run(options | going_on)
        checked = wording.reword_checked(checked)
        echo_not_run(checked)
        if fix is not None:
            fix_files.write_repairs(found, output)
        text = (
            "".join(repair.diff for repair in found)
            if diff
            else check_results.format_checked(checked, format, level, quiet=options["quiet"])
        )
        if fix is not None and output == "-":
            echo(text, nl=False, err=True)  # standard output has the fixed spec
        else:
            write_output(text, None if fix is not None else output, verbatim=diff)
        if save_baseline is not None:
            write_output(check_results.baseline_document(checked), save_baseline)
    if diff and any(repair.fixes for repair in found):
        click.get_current_context().exit(EXIT_FOUND)
    errors = {finding.rule for item in checked for finding in item.findings if finding.level == "error"}
    click.get_current_context().exit(EXIT_WRONG if "spec" in errors else EXIT_FOUND if errors else 0)
