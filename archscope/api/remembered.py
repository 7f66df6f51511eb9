"""Summaries that are worked out once: target, options → the same report, while the texts behind it are the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archscope.api.runs import summarize
from archscope.api.specs import load, split
from archscope.report import Report


@dataclass(frozen=True)
class Summaries:
    """`archscope.summarize`, worked out once for a target and options that stay the same."""

    made: dict[object, Report] = field(default_factory=dict)

    def __call__(self, target: Any, **options: Any) -> Report:
        key = identity(target, options)
        if key is None:
            return summarize(target, **options)
        if key not in self.made:
            self.made[key] = summarize(target, **options)
        return self.made[key]


def identity(target: Any, options: Mapping[str, Any]) -> object:
    """What a summary depends on: a spec by its texts; None where it may change, as a live module does."""
    if not isinstance(target, (str, os.PathLike)) or not is_plain(options):
        return None
    parts = split(target)
    texts = tuple(load(parts[0]).sources.items()) if parts else ()
    return os.getcwd(), os.fspath(target), texts, repr(sorted(options.items()))


def is_plain(value: Any) -> bool:
    """Whether a value is what it says: numbers and texts, and lists and mappings of such."""
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (str, int, float))
