"""`flops FOLDER`: every spec in it → its report on meta; one that cannot be had is told, and the others follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.cli.output import FOUND, WRONG, echo
from archscope.cli.wording import as_options
from archscope.errors import ArchscopeError, ForwardError

if TYPE_CHECKING:
    from archscope.report import Report

Summarize = Callable[[str, Mapping[str, Any]], "Report"]


@dataclass(frozen=True)
class Summarized:
    """The reports of the targets that have one, of as many as were wanted. code: the exit code of those that have none;
    each was told."""

    reports: tuple[Report, ...]
    wanted: int
    code: int = 0


def summarized_each(targets: Sequence[str], options: Mapping[str, Any], summarize: Summarize) -> Summarized:
    """The reports of several targets, in their order; of one alone, whatever stops it is raised."""
    from archscope.spec.folders import spread

    each = list(spread(targets))
    if options["device"] == "auto" and each != list(targets):
        options = {**options, "device": "meta"}  # costs are the same there, and no net is too big
    reports, code = [], 0
    for target in each:
        try:
            reports.append(summarize(target, options))
        except ArchscopeError as error:
            if len(each) == 1:
                raise
            if each != list(targets) and is_library(target):
                continue
            said = as_options(str(error))
            echo(said if target in said else f"{target}: {said}", err=True)
            code = max(code, FOUND if isinstance(error, ForwardError) else WRONG)
    return Summarized(tuple(reports), len(each), code)


def is_library(target: str) -> bool:
    """Whether a spec can be read and holds blocks alone, so that there is nothing to count."""
    from archscope import api

    try:
        return not api.variants(target)
    except ArchscopeError:
        return False
