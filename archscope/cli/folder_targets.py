"""`flops FOLDER`, `flops --compare FOLDER`: every spec in it → its report on meta; one that cannot be had is told, and
the others follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from archscope.cli.output import EXIT_FOUND, EXIT_WRONG, ForwardCliError, echo
from archscope.cli.refused_options import bare_target
from archscope.cli.wording import reword
from archscope.errors import ArchscopeError, ForwardError, UsageError

if TYPE_CHECKING:
    from archscope.comparison import Comparison
    from archscope.crosscheck import CrossCheck
    from archscope.report import Report

T = TypeVar("T")
R = TypeVar("R")
Summarize = Callable[[str, Mapping[str, Any]], "Report"]
Compare = Callable[[Any, Mapping[str, Any]], "Comparison"]


@dataclass(frozen=True)
class FolderReports:
    """The reports of the targets that have one, of as many as were wanted. code: the exit code of those that have none;
    each was told."""

    reports: tuple[Report, ...]
    wanted: int
    code: int = 0


def summarize_each(targets: Sequence[str], options: Mapping[str, Any], summarize: Summarize) -> FolderReports:
    """The reports of several targets, in their order; of one alone, whatever stops it is raised."""
    each = expand_targets(targets)
    options = with_meta_device(options) if each != list(targets) else options
    reports, code = collect_each(each, lambda target: summarize(target, options), folder=each != list(targets))
    return FolderReports(tuple(reports), len(each), code)


def cross_check_each(targets: Sequence[str], cross_check: Callable[[str], CrossCheck]) -> tuple[list[CrossCheck], int]:
    """The cross-checks of several targets, and the exit code of those that have none; of one alone, whatever stops it
    is raised."""
    each = expand_targets(targets)
    return collect_each(each, cross_check, folder=each != list(targets))


def compare_each(
    targets: Sequence[Any], options: Mapping[str, Any], compare: Compare, *, folder: bool
) -> tuple[Comparison, int]:
    """The comparison of those targets that have reports, and the exit code of the others; of one alone, whatever stops
    it is raised. targets: as the library's `compare` takes them. folder: whether one of them was a folder."""
    from archscope.comparison import compare_reports as joined

    options = with_meta_device(options) if folder else options
    parts, code = collect_each(targets, lambda target: compare(target, options), folder=folder)
    reports = [report for part in parts for report in part.reports]
    if not reports:
        raise UsageError("there is no net to compare", "name specs that hold a net, or Python code that gives one")
    names = [name for part in parts for name in part.names]
    return joined(reports, views=parts[0].views, names=names, against=options["against"]), code


def collect_each(targets: Sequence[T], get: Callable[[T], R], *, folder: bool) -> tuple[list[R], int]:
    """What can be had of several targets, and the exit code of the others, of which each is told why; of one alone that
    is raised. folder: whether one of them was a folder, whose libraries of blocks are passed over."""
    found, code = list[R](), 0
    for target in targets:
        try:
            found.append(get(target))
        except (ArchscopeError, ForwardCliError) as error:
            if len(targets) == 1:
                raise
            if not (folder and isinstance(target, str) and is_block_library(target)):
                code = max(code, echo_error(bare_target(target), error))
    return found, code


def expand_targets(targets: Sequence[str]) -> list[str]:
    from archscope.spec.folders import expand_folders

    return list(expand_folders(targets))


def with_meta_device(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a folder: costs are the same on meta, and no net is too big there."""
    return {**options, "device": "meta"} if options["device"] == "auto" else options


def echo_error(target: str, error: ArchscopeError | ForwardCliError) -> int:
    """Says why a target has no report, and gives the exit code of that."""
    said = reword(str(error))
    echo(said if target in said else f"{target}: {said}", err=True)
    return EXIT_FOUND if isinstance(error, ForwardError | ForwardCliError) else EXIT_WRONG


def is_block_library(target: str) -> bool:
    """Whether a spec can be read and holds blocks alone, so that there is nothing to count."""
    from archscope import api

    try:
        return not api.variants(target)
    except ArchscopeError:
        return False
