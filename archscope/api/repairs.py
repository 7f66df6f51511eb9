"""Repairs: the first checked fix of each conflict, one after the other, until none is left.

    spec → check → the first checked fix → its text → check again → … → Repair: every changed file before and after

Nothing is written here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archscope.api.judgement import check
from archscope.api.specs import load, split
from archscope.errors import SpecError
from archscope.report import Checked, Fix
from archscope.spec.edits import diff
from archscope.spec.folders import spread

MOST = 25
"""How many fixes a spec is given at most."""


@dataclass(frozen=True)
class Repair:
    """What would cure one spec: the fixes in their order, and the texts of the files that they change.

    checked: what is found with them.
    """

    target: str
    fixes: tuple[Fix, ...]
    before: Mapping[str, str]
    after: Mapping[str, str]
    checked: tuple[Checked, ...]

    @property
    def diff(self) -> str:
        """The change of all files as a unified diff; empty where there is none."""
        return "".join(diff(self.before[file], text, file) for file, text in self.after.items())


def repair(*wanted: Any, texts: Mapping[str, str] | None = None, **options: Any) -> list[Repair]:
    """What cures each spec, as far as checked fixes do; other targets are only checked. `options` are `check`'s."""
    return [_repaired(target, texts or {}, options) for target in spread(wanted)]


def _repaired(target: Any, given: Mapping[str, str], options: Mapping[str, Any]) -> Repair:
    after: dict[str, str] = {}
    fixes: list[Fix] = []
    checked = check(target, **options, texts=given)
    while len(fixes) < MOST and (fix := _first(checked)) is not None:
        fixes.append(fix)
        after = {**after, fix.file: fix.text}
        checked = check(target, **options, texts={**given, **after})
    before = {file: text for file, text in _sources(target, given).items() if file in after}
    return Repair(str(target), tuple(fixes), before, after, tuple(checked))


def _sources(target: Any, given: Mapping[str, str]) -> Mapping[str, str]:
    parts = split(target)
    try:
        return load(os.fspath(parts[0]), texts=given).sources if parts else {}
    except SpecError as error:
        return error.sources


def _first(checked: list[Checked]) -> Fix | None:
    """The first checked fix of what is found."""
    findings = (finding for item in checked for finding in item.findings)
    return next((fix for finding in findings for fix in finding.fixes[:1] if fix.checked), None)
