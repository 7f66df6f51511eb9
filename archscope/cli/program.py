"""The command line: options → one library call → rendering → standard output or a file → exit code.

Exit codes: 0 fine, 1 something found, 2 wrong use or wrong spec. Everything heavy is imported by the command that needs
it, so help, version and schema answer without torch.
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
from archscope.cli import checking, combinations, folders, installed, repairs, wording
from archscope.cli.catalog import listing
from archscope.cli.devices import device
from archscope.cli.files import refuse_outputs
from archscope.cli.options import (
    CHECK_OPTIONS,
    FLOPS_VIEW_OPTIONS,
    FOR_MACHINES,
    OUTPUT,
    RUN_OPTIONS,
    VIEW_OPTIONS,
    library_options,
    wish_of,
)
from archscope.cli.output import FOUND, WRONG, Refusal, deliver, echo, finish, refusing, shows_errors, tell_unrun
from archscope.cli.project import targets_of
from archscope.cli.reports import explaining, summarized
from archscope.cli.timings import time
from archscope.errors import UsageError, did_you_mean, visible
from archscope.interrupts import INTERRUPTED, Interrupts

if TYPE_CHECKING:
    from archscope.comparison import Comparison
    from archscope.crosscheck import CrossCheck
    from archscope.render.sheet import Wish
    from archscope.report import Report


class Commands(click.Group):
    """A group that answers an unknown command with a near one (click does from 8.4 on)."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.commands) or f"commands: {', '.join(sorted(self.commands))}"
            raise click.UsageError(f"no command {args[0]!r}\n  help: {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)


# ------------------------------------------------------------ commands
def tell_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        echo(f"archscope {installed.version()}")
        echo(f"{told}\n" if (told := installed.conflict()) else "", nl=False, err=True)
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=tell_version, help="The version.")
def cli() -> None:
    """Neural networks written in YAML or Python: shapes, parameters, MACs, times of every step.

    TARGET is a spec (net.yaml, net.yaml:variant), a network that comes with archscope (specs:resnet:resnet50) or
    Python code that gives a module (net.py:Net, package.module:factory).
    """
    try:
        os.getcwd()
    except OSError as error:
        gone = "is gone" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise Refusal(f"the current directory {gone}\n  help: cd to a folder that is there") from None


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
    with refusing():
        wish = wish_of(depth, columns, sort, expand)
        combinations.refuse_ignored(wish, format, parts=False, train=options["train"])
        refuse_outputs([output], [target])
        report = summarized(target, options)
        deliver(shown(report, "summary", wish, format, options["quiet"]), output)
    finish([report], options["quiet"], beside=shows_errors(format, output))


@cli.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
@click.option("--by", type=click.Choice(["module", "type", "depth"]), help="[default: module]")
@click.option("--compare", is_flag=True, help="Targets (or NAME=TARGET), or the variants of a spec, side by side.")
@click.option("--against", metavar="NAME", help="What --compare holds the others against, else the first.")
@click.option("--cross-check", "cross", is_flag=True, help="Beside fvcore, torchinfo and FlopCounterMode, and why.")
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
    with refusing():
        wish, quiet, code = wish_of(depth, columns, sort, expand, by or ""), options["quiet"], 0
        if compare and cross:
            raise UsageError("--compare and --cross-check are two tables", "ask for one of them")
        refuse_outputs([output], [combinations.named(target)[1] for target in targets])
        if compare:
            combinations.refuse_beside_comparison(wish, format, train=options["train"])
            comparison, code = compared(targets, {**options, "against": against})
            deliver(shown_comparison(comparison, wish, format, quiet), output)
            reports: Sequence[Report] = comparison.reports
        else:
            combinations.refuse_without_comparison(wish, targets, against)
            found, texts = costs(targets, wish, format, options, cross=cross)
            reports, code = found.reports, found.code
            deliver(several(texts, format, of=found.wanted), output)
    finish(reports, options["quiet"], beside=shows_errors(format, output), code=code)


@cli.command(cls=repairs.WithFix)
@click.argument("targets", nargs=-1, metavar="[TARGET…]")
@RUN_OPTIONS
@CHECK_OPTIONS
@OUTPUT
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
    """What is wrong or wasteful: specs, shapes, expectations, budgets.

    Targets may be folders; without one the specs of pyproject.toml are checked.
    """
    said = checking.as_document(
        format, level, output, baseline=options["baseline"], files=[*targets, options["baseline"], save_baseline]
    )
    with refusing(), contextlib.nullcontext() if fix is not None or diff else said:
        if diff:
            combinations.refuse_beside_diff(format, level)
        project = config.read(Path())
        wanted = targets_of(targets, project, allow_python=options["allow_python"])
        refuse_outputs([output, save_baseline], [*wanted, project.file])
        refuse_outputs([output], filter(None, [options["baseline"]]))
        ask = partial(checking.judged, wanted, project, named=bool(targets), saving=save_baseline is not None)
        if repairs.wanted(fix, diff, options):
            choice = {"choice": None if fix == repairs.EACH else fix}
            found = ask(options | choice, repairing=True)
            checked = repairs.checked_of(found)
            repairs.tell_unmended(found)
        else:
            going_on = {"keep_going": format in FOR_MACHINES}
            checked = ask(options | going_on)
        checked = wording.of_checked(checked)
        tell_unrun(checked)
        if fix is not None:
            repairs.write(found, output)
        text = repairs.diff_of(found) if diff else checking.shown(checked, format, level, quiet=options["quiet"])
        if fix is not None and output == "-":
            echo(text, nl=False, err=True)  # standard output has the mended spec
        else:
            deliver(text, None if fix is not None else output, verbatim=diff)
        if save_baseline is not None:
            deliver(checking.baseline(checked), save_baseline)
    if diff and repairs.mended(found):
        click.get_current_context().exit(FOUND)
    errors = {finding.rule for item in checked for finding in item.findings if finding.level == "error"}
    click.get_current_context().exit(WRONG if "spec" in errors else FOUND if errors else 0)


@cli.command()
@OUTPUT
def schema(output: str | None) -> None:
    """JSON Schema of the language, for editors."""
    with refusing():
        from archscope import api
        from archscope.render import data

        refuse_outputs([output], [])
        deliver(data.dumped(api.schema()), output)


cli.add_command(time)
cli.add_command(device)
cli.add_command(listing)


# ------------------------------------------------------------ calls and renderings
def costs(
    targets: Sequence[str], wish: Wish, format: str, options: Mapping[str, Any], *, cross: bool
) -> tuple[folders.Summarized, list[str]]:
    """The report of each target, and its document; with `cross` beside other tools' figures."""
    if cross:
        combinations.refuse_beside_cross_check(wish)
        checks, code = folders.cross_checked_each(targets, lambda target: cross_checked(target, options))
        wanted = len(folders.spread_out(targets))
        texts = [shown_cross_check(check, format, options["quiet"]) for check in checks]
        return folders.Summarized(tuple(check.report for check in checks), wanted, code), texts
    combinations.refuse_ignored(wish, format, parts=True, train=options["train"])
    found = folders.summarized_each(targets, options, summarized)
    return found, [shown(report, "flops", wish, format, options["quiet"]) for report in found.reports]


def compared(targets: Sequence[str], options: Mapping[str, Any]) -> tuple[Comparison, int]:
    """The targets side by side, and the exit code of those that have no report."""
    wanted = combinations.compared_targets(targets)
    folder = [combinations.named(target)[1] for target in targets] != [combinations.target_of(one) for one in wanted]
    found, code = folders.compared_each(wanted, options, compared_alone, folder=folder)
    return replace(found, reports=tuple(map(wording.of_report, found.reports))), code


def compared_alone(target: Any, options: Mapping[str, Any]) -> Comparison:
    """One target, or all variants of a spec."""
    from archscope import api

    own = library_options({name: value for name, value in options.items() if name != "against"})
    with contextlib.redirect_stdout(sys.stderr):
        return api.compare(target, **own)


def cross_checked(target: str, options: Mapping[str, Any]) -> CrossCheck:
    from archscope import api

    with explaining(target, options), contextlib.redirect_stdout(sys.stderr):
        found = api.cross_check(target, **library_options(options))
    return replace(found, report=wording.of_report(found.report))


def shown(report: Report, command: str, wish: Wish, format: str, quiet: bool = False) -> str:
    from archscope.render import data, sheet

    if format == "json":
        return data.dumped(report.to_dict() if command == "summary" else data.flops_document(report, wish))
    if format == "csv":
        return (data.summary_csv if command == "summary" else data.flops_csv)(report, wish)
    page = (sheet.summary if command == "summary" else sheet.flops)(report, wish)
    return laid_out(with_found(page, [report], format, quiet), format)


def with_found(page: Any, reports: Sequence[Report], format: str, quiet: bool) -> Any:
    """The page with its findings: in a table the errors, since standard error has the rest."""
    from archscope.render import views

    level, width = ("error", views.terminal_width()) if format == "table" else ("error" if quiet else "note", 80)
    return views.with_findings(page, reports, level=level, width=width)


def shown_comparison(comparison: Comparison, wish: Wish, format: str, quiet: bool = False) -> str:
    from archscope.render import comparisons, data

    if format == "json":
        return data.dumped(comparison.to_dict())
    if format == "csv":
        return data.comparison_csv(comparison, wish)
    return laid_out(with_found(comparisons.sheet(comparison, wish), comparison.reports, format, quiet), format)


def shown_cross_check(check: CrossCheck, format: str, quiet: bool = False) -> str:
    from archscope.render import crosschecks, data

    if format == "json":
        return data.dumped(check.to_dict())
    if format == "csv":
        return crosschecks.csv(check)
    return laid_out(with_found(crosschecks.sheet(check), [check.report], format, quiet), format)


def laid_out(page: Any, format: str) -> str:
    from archscope.render import html, markdown, table, views

    page = wording.of_page(page)
    if format == "table":
        return table.text(page, width=views.terminal_width())
    return markdown.text(page) if format == "markdown" else html.text(page)


def several(texts: Sequence[str], format: str, *, of: int) -> str:
    """The documents of several targets as one. of: how many were wanted."""
    if of == 1:
        return texts[0]
    if format == "csv":
        raise UsageError("CSV holds one target", "name one, or use --compare")
    return f"[{','.join(text.rstrip() for text in texts)}]\n" if format == "json" else "\n".join(texts)


def prepare(interrupts: Interrupts) -> None:
    """What the program changes of the process. The collector runs rarely: imports leave no garbage."""
    gc.set_threshold(100_000)
    warnings.filterwarnings("ignore", module=r"torch\.")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    written = warnings.formatwarning
    warnings.formatwarning = lambda *given, **how: visible(written(*given, **how))
    before = sys.unraisablehook
    sys.unraisablehook = lambda it: None if it.exc_type is KeyboardInterrupt else before(it)  # it is not forgotten
    if os.name == "posix":
        interrupts.watch()


def ended(arguments: Sequence[str]) -> int:
    """Runs the command line to its end and gives the exit code."""
    try:
        return cli.main(list(arguments), prog_name="archscope", standalone_mode=False) or 0
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        echo(said.getvalue(), nl=False, err=True)
        return error.exit_code
    except ImportError as error:
        told = installed.broken_by(error)
        if not told:
            raise
        echo(told, err=True)
        return WRONG
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
