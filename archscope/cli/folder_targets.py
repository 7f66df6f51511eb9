"""`flops FOLDER` and `flops --compare FOLDER`: the reports of all specs; those without a report are named on standard
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from archscope import api
from archscope.cli.output import EXIT_FOUND, EXIT_WRONG, ForwardCliError, echo
from archscope.cli.refused_options import bare_target
from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, ForwardError, UsageError
from archscope.report_comparison import compare_reports
from archscope.spec.folders import expand_folders

if TYPE_CHECKING:
    from archscope.report import Report
    from archscope.report_comparison import Comparison

T = TypeVar("T")
R = TypeVar("R")
Summarize = Callable[[str, Mapping[str, Any]], "Report"]
Compare = Callable[[Any, Mapping[str, Any]], "Comparison"]


@dataclass(frozen=True)
class FolderReports:
    """The reports of the targets that have one, and the number of targets. code: the exit code of those without a
    report.
    """

    reports: tuple[Report, ...]
    wanted: int
    code: int = 0


def summarize_each(targets: Sequence[str], options: Mapping[str, Any], summarize: Summarize) -> FolderReports:
    """Return the reports of several targets in their order; a single target raises its error."""
    each = expand_targets(targets)
    options = with_meta_device(options) if each != list(targets) else options
    reports, code = collect_each(each, lambda target: summarize(target, options), folder=each != list(targets))
    return FolderReports(tuple(reports), len(each), code)


def compare_each(
    targets: Sequence[Any], options: Mapping[str, Any], compare: Compare, *, folder: bool
) -> tuple[Comparison, int]:
    """Return the comparison of the targets that have reports, and the exit code of the others; a single one raises
    its error.

    targets: as for the library's `compare`. folder: one of them was a folder.
    """
    options = with_meta_device(options) if folder else options
    parts, code = collect_each(targets, lambda target: compare(target, options), folder=folder)
    reports = [report for part in parts for report in part.reports]
    if not reports:
        raise UsageError("there is no net to compare", "name specs that hold a net, or Python code that gives one")
    names = [name for part in parts for name in part.names]
    return compare_reports(reports, views=parts[0].views, names=names, against=options["against"]), code


def collect_each(targets: Sequence[T], get: Callable[[T], R], *, folder: bool) -> tuple[list[R], int]:
    """Return the results of several targets, and the exit code of the others, whose errors are printed; a single one
    raises.

    folder: one of them was a folder; then libraries of blocks are skipped.
    """
    found, code = list[R](), 0
    for target in targets:
        try:
            found.append(get(target))
        except (ArchscopeError, ForwardCliError) as error:
            if len(targets) == 1:
                raise
            if folder and isinstance(target, str) and is_block_library(target):
                continue
            name, message = bare_target(target), reword(str(error))
            echo(message if name in message else f"{name}: {message}", err=True)
            code = max(code, EXIT_FOUND if isinstance(error, ForwardError | ForwardCliError) else EXIT_WRONG)
    return found, code


def expand_targets(targets: Sequence[str]) -> list[str]:
    return list(expand_folders(targets))


def with_meta_device(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a folder: costs are the same on meta, where any net fits."""
    return {**options, "device": "meta"} if options["device"] == "auto" else options


def is_block_library(target: str) -> bool:
    """Return whether a spec can be read and contains only blocks, so that there is nothing to count."""
    try:
        return not api.variants(target)
    except ArchscopeError:
        return False
