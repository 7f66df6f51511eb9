"""Summaries that are made once for a target, its texts and options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.api.summaries import summarize
from archscope.report import Report
from archscope.spec.target_names import load_target, split_target


@dataclass(frozen=True)
class SummaryCache:
    """`archscope.summarize` with a cache, for targets and options that can be compared."""

    reports: dict[object, Report] = field(default_factory=dict)

    def __call__(self, target: Any, **options: Any) -> Report:
        key = summary_key(target, options)
        if key is None:
            return summarize(target, **options)
        if key not in self.reports:
            self.reports[key] = summarize(target, **options)
        return self.reports[key]


def summary_key(target: Any, options: Mapping[str, Any]) -> object:
    """Return the cache key of a summary, which contains the texts of a spec; None for a target that may change, such
    as a live module.
    """
    if not isinstance(target, (str, os.PathLike)) or not is_plain_value(options):
        return None
    parts = split_target(target)
    texts = tuple(load_target(parts[0]).sources.items()) if parts else ()
    return os.getcwd(), os.fspath(target), texts, repr(sorted(options.items()))


def is_plain_value(value: Any) -> bool:
    """Return whether a value consists of numbers and strings, and of lists and mappings of them."""
    if isinstance(value, Mapping):
        return all(map(is_plain_value, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain_value, value))
    return value is None or isinstance(value, (str, int, float))
