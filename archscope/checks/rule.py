"""One rule of `archscope check`: its code, level, family and a one-line description."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One rule. level: the default level of its findings: `error`, `warning` or `note`.

    family: `spec`, `conflict`, `expectation`, `budget` or `lint`.
    """

    code: str
    level: str
    family: str
    summary: str
