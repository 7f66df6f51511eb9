"""The commands: options → one library call → rendering → standard output or a file → exit code.

Exit codes: 0 nothing found, 1 errors found, 2 wrong use or invalid spec. Torch and other large packages are imported
by the commands that need them, so help, version and schema are answered without torch.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archscope import config
from archscope.cli import check_results, fix_files, folder_targets, installed_distribution, refused_options, wording
from archscope.cli.device_command import device
from archscope.cli.list_command import list_networks
from archscope.cli.options import (
    CHECK_OPTIONS,
    FLOPS_VIEW_OPTIONS,
    MACHINE_FORMATS,
    OUTPUT_OPTION,
    RUN_OPTIONS,
    VIEW_OPTIONS,
    library_options,
    make_table_options,
)
from archscope.cli.output import (
    EXIT_FOUND,
    EXIT_WRONG,
    CliError,
    echo,
    echo_not_run,
    errors_printed,
    finish_command,
    has_errors_in_view,
    write_output,
)
from archscope.cli.output_files import refuse_outputs
from archscope.cli.project_settings import targets_or_project_specs
from archscope.cli.target_reports import failures_as_document, failures_explained, partial_report
from archscope.cli.time_command import time
from archscope.errors import UsageError, did_you_mean, escape_invisible, first_line
from archscope.interrupts import INTERRUPT_EXIT_CODE, InterruptHandler, comes_from_outside

if TYPE_CHECKING:
    from archscope.comparison import Comparison
    from archscope.crosscheck import CrossCheck
    from archscope.render.sheet import TableOptions
    from archscope.report import Report


class CommandGroup(click.Group):
    """A group whose error for an unknown command suggests a similar one (as click does from 8.4 on)."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.commands) or f"commands: {', '.join(sorted(self.commands))}"
            raise click.UsageError(f"no command {args[0]!r}\n  help: {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)


# ------------------------------------------------------------ commands
def echo_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        echo(f"archscope {installed_distribution.our_version()}")
        echo(f"{clash}\n" if (clash := installed_distribution.name_clash_message()) else "", nl=False, err=True)
        ctx.exit()


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


@cli.command()
@click.argument("target")
@RUN_OPTIONS
@VIEW_OPTIONS
def summary(
    target: str,
    depth: int | None,
    columns: tuple[str, ...],
    sort: tuple[str, ...],
    expand: bool,
    format: str,
    output: str | None,
    **options: Any,
) -> None:
    """The table of a net: path, layer, output shape, parameters, MACs, share."""
    with errors_printed():
        table_options = make_table_options(depth, columns, sort, expand)
        refused_options.refuse_ignored(table_options, format, parts=False, train=options["train"])
        refuse_outputs([output], [target])
        report = partial_report(target, options)
        write_output(format_report(report, "summary", table_options, format, options["quiet"]), output)
    finish_command([report], options["quiet"], beside=has_errors_in_view(format, output))


@cli.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
@click.option("--by", type=click.Choice(["module", "type", "depth"]), help="[default: module]")
@click.option("--compare", is_flag=True, help="Targets (or NAME=TARGET), or the variants of a spec, side by side.")
@click.option("--against", metavar="NAME", help="The target that --compare compares the others with, else the first.")
@click.option(
    "--cross-check",
    "cross",
    is_flag=True,
    help="Compare with fvcore, torchinfo and FlopCounterMode, and explain the differences.",
)
@RUN_OPTIONS
@FLOPS_VIEW_OPTIONS
def flops(
    targets: tuple[str, ...],
    by: str | None,
    compare: bool,
    against: str | None,
    cross: bool,
    depth: int | None,
    columns: tuple[str, ...],
    sort: tuple[str, ...],
    expand: bool,
    format: str,
    output: str | None,
    **options: Any,
) -> None:
    """Costs by module, type or depth, compared, or cross-checked."""
    with errors_printed():
        table_options, quiet, code = make_table_options(depth, columns, sort, expand, by or ""), options["quiet"], 0
        if compare and cross:
            raise UsageError("--compare and --cross-check are two tables", "ask for one of them")
        refuse_outputs([output], [refused_options.split_name(target)[1] for target in targets])
        if compare:
            refused_options.refuse_beside_comparison(table_options, format, train=options["train"])
            comparison, code = compare_targets(targets, {**options, "against": against})
            write_output(format_comparison(comparison, table_options, format, quiet), output)
            reports: Sequence[Report] = comparison.reports
        else:
            refused_options.refuse_without_comparison(table_options, targets, against)
            with failures_as_document(format, output):
                found, texts = report_costs(targets, table_options, format, options, cross=cross)
            reports, code = found.reports, found.code
            write_output(join_documents(texts, format, of=found.wanted), output)
    finish_command(reports, options["quiet"], beside=has_errors_in_view(format, output), code=code)


@cli.command(cls=fix_files.FixCommand)
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


@cli.command()
@OUTPUT_OPTION
def schema(output: str | None) -> None:
    """JSON Schema of the language, for editors."""
    with errors_printed():
        from archscope import api
        from archscope.render import json_csv

        refuse_outputs([output], [])
        write_output(json_csv.format_json(api.schema()), output)


cli.add_command(time)
cli.add_command(device)
cli.add_command(list_networks)


# ------------------------------------------------------------ calls and renderings
def report_costs(
    targets: Sequence[str], table_options: TableOptions, format: str, options: Mapping[str, Any], *, cross: bool
) -> tuple[folder_targets.FolderReports, list[str]]:
    """Return the report of each target, and its document; with `cross`, that of the cross-check."""
    if cross:
        refused_options.refuse_beside_cross_check(table_options)
        checks, code = folder_targets.cross_check_each(targets, lambda target: cross_check_target(target, options))
        wanted = len(folder_targets.expand_targets(targets))
        texts = [format_cross_check(check, format, options["quiet"]) for check in checks]
        return folder_targets.FolderReports(tuple(check.report for check in checks), wanted, code), texts
    refused_options.refuse_ignored(table_options, format, parts=True, train=options["train"])
    found = folder_targets.summarize_each(targets, options, partial_report)
    return found, [format_report(report, "flops", table_options, format, options["quiet"]) for report in found.reports]


def compare_targets(targets: Sequence[str], options: Mapping[str, Any]) -> tuple[Comparison, int]:
    """Return the comparison of the targets, and the exit code of those that have no report."""
    wanted = refused_options.comparison_targets(targets)
    folder = [refused_options.split_name(target)[1] for target in targets] != [
        refused_options.bare_target(one) for one in wanted
    ]
    found, code = folder_targets.compare_each(wanted, options, compare_target, folder=folder)
    return replace(found, reports=tuple(map(wording.reword_report, found.reports))), code


def compare_target(target: Any, options: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one target, or of all variants of a spec."""
    from archscope import api

    own = library_options({name: value for name, value in options.items() if name != "against"})
    with contextlib.redirect_stdout(sys.stderr):
        return api.compare(target, **own)


def cross_check_target(target: str, options: Mapping[str, Any]) -> CrossCheck:
    from archscope import api

    with failures_explained(target, options), contextlib.redirect_stdout(sys.stderr):
        found = api.cross_check(target, **library_options(options))
    return replace(found, report=wording.reword_report(found.report))


def format_report(report: Report, command: str, table_options: TableOptions, format: str, quiet: bool = False) -> str:
    from archscope.render import json_csv, sheet

    if format == "json":
        return json_csv.format_json(
            report.to_dict() if command == "summary" else json_csv.flops_document(report, table_options)
        )
    if format == "csv":
        return (json_csv.summary_csv if command == "summary" else json_csv.flops_csv)(report, table_options)
    page = (sheet.summary_sheet if command == "summary" else sheet.flops_sheet)(report, table_options)
    return format_sheet(add_findings(page, [report], format, quiet), format)


def add_findings(page: Any, reports: Sequence[Report], format: str, quiet: bool) -> Any:
    """Return the page with its findings; a table has the errors only, since standard error has the others."""
    from archscope.render import views

    level, width = ("error", views.terminal_width()) if format == "table" else ("error" if quiet else "note", 80)
    return views.with_findings(page, reports, level=level, width=width)


def format_comparison(comparison: Comparison, table_options: TableOptions, format: str, quiet: bool = False) -> str:
    from archscope.render import comparisons, json_csv

    if format == "json":
        return json_csv.format_json(comparison.to_dict())
    if format == "csv":
        return json_csv.comparison_csv(comparison, table_options)
    return format_sheet(
        add_findings(comparisons.comparison_sheet(comparison, table_options), comparison.reports, format, quiet), format
    )


def format_cross_check(check: CrossCheck, format: str, quiet: bool = False) -> str:
    from archscope.render import crosschecks, json_csv

    if format == "json":
        return json_csv.format_json(check.to_dict())
    if format == "csv":
        return crosschecks.cross_check_csv(check)
    return format_sheet(add_findings(crosschecks.cross_check_sheet(check), [check.report], format, quiet), format)


def format_sheet(page: Any, format: str) -> str:
    from archscope.render import html, markdown, table, views

    page = wording.reword_sheet(page)
    if format == "table":
        return table.format_table(page, width=views.terminal_width())
    return markdown.format_markdown(page) if format == "markdown" else html.format_html(page)


def join_documents(texts: Sequence[str], format: str, *, of: int) -> str:
    """Return the documents of several targets as one. of: the number of targets."""
    if of == 1:
        return texts[0]
    if format == "csv":
        raise UsageError("CSV holds one target", "name one, or use --compare")
    return f"[{','.join(text.rstrip() for text in texts)}]\n" if format == "json" else "\n".join(texts)


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
