"""The command `archscope flops`: costs, comparisons and cross-checks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from archscope import api
from archscope.cli import folder_targets, refused_options, wording
from archscope.cli.options import FLOPS_VIEW_OPTIONS, RUN_OPTIONS, library_options, make_table_options
from archscope.cli.output import errors_printed, finish_command, has_errors_in_view, refuse_outputs, write_output
from archscope.cli.target_reports import (
    failures_as_document,
    failures_explained,
    format_comparison,
    format_cross_check,
    format_report,
    join_documents,
    partial_report,
)
from archscope.errors import UsageError

if TYPE_CHECKING:
    from archscope.counters.differences import CrossCheck
    from archscope.render.table_content import TableOptions
    from archscope.report import Report
    from archscope.report_comparison import Comparison


@click.command()
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


def report_costs(
    targets: Sequence[str], table_options: TableOptions, format: str, options: Mapping[str, Any], *, cross: bool
) -> tuple[folder_targets.FolderReports, list[str]]:
    """Return the report of each target, and its document; with `cross`, that of the cross-check."""
    if cross:
        refused_options.refuse_beside_cross_check(table_options)
        each = folder_targets.expand_targets(targets)
        checks, code = folder_targets.collect_each(
            each, lambda target: cross_check_target(target, options), folder=each != list(targets)
        )
        texts = [format_cross_check(check, format, options["quiet"]) for check in checks]
        return folder_targets.FolderReports(tuple(check.report for check in checks), len(each), code), texts
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
    own = library_options({name: value for name, value in options.items() if name != "against"})
    with contextlib.redirect_stdout(sys.stderr):
        return api.compare(target, **own)


def cross_check_target(target: str, options: Mapping[str, Any]) -> CrossCheck:
    with failures_explained(target, options), contextlib.redirect_stdout(sys.stderr):
        found = api.cross_check(target, **library_options(options))
    return replace(found, report=wording.reword_report(found.report))
