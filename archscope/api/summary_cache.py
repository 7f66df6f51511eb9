"""Summaries that are worked out once: target, options → the same report, while the texts behind it are the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.api.specs import load, split_target
from archscope.api.summaries import summarize
from archscope.report import Report


@dataclass(frozen=True)
class SummaryCache:
    """`archscope.summarize`, worked out once for a target and options that stay the same."""

    reports: dict[object, Report] = field(default_factory=dict)

    def __call__(self, target: Any, **options: Any) -> Report:
        key = summary_key(target, options)
        if key is None:
            return summarize(target, **options)
        if key not in self.reports:
            self.reports[key] = summarize(target, **options)
        return self.reports[key]


def summary_key(target: Any, options: Mapping[str, Any]) -> object:
    """What a summary depends on: a spec by its texts; None where it may change, as a live module does."""
    if not isinstance(target, (str, os.PathLike)) or not is_plain_value(options):
        return None
    parts = split_target(target)
    texts = tuple(load(parts[0]).sources.items()) if parts else ()
    return os.getcwd(), os.fspath(target), texts, repr(sorted(options.items()))


def is_plain_value(value: Any) -> bool:
    """Whether a value is what it says: numbers and texts, and lists and mappings of such."""
    if isinstance(value, Mapping):
        return all(map(is_plain_value, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain_value, value))
    return value is None or isinstance(value, (str, int, float))
