"""Repairs: the first fix of each conflict that changes nothing outside its block, one after the other; or one chosen.

    spec → check → a fix → its text → check again → … → Repair: every changed file before and after

Nothing is written here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archscope.api.judgement import check
from archscope.api.keywords import told
from archscope.api.runs import summarize
from archscope.api.specs import load, split
from archscope.errors import SpecError, UsageError
from archscope.report import Checked, Fix
from archscope.spec.folders import spread
from archscope.spec.text_diff import diff, with_ends_of

MOST = 25
"""How many fixes a spec is given at most."""


@dataclass(frozen=True)
class Repair:
    """What would cure one spec: the fixes in their order, and the texts of the files that they change.

    checked: what is found with them. after: with plain line ends, whatever those of the file are.
    """

    target: str
    fixes: tuple[Fix, ...]
    before: Mapping[str, str]
    after: Mapping[str, str]
    checked: tuple[Checked, ...]

    @property
    def diff(self) -> str:
        """The change of all files as a unified diff; empty where there is none."""
        texts = ((file, self.before[file], text) for file, text in self.after.items())
        return "".join(diff(before, with_ends_of(text, before), file) for file, before, text in texts)


@told(check, summarize)
def repair(
    *wanted: Any, choice: int | None = None, texts: Mapping[str, str] | None = None, **options: Any
) -> list[Repair]:
    """What cures each spec, as far as checked fixes do; other targets are only checked. `options` are `check`'s.

    A fix is taken only where it changes nothing outside the block of its conflict. choice: instead, this fix (from 1)
    of the first conflict, whatever it changes, and no other. A target is taken as the fixes of those before it leave
    the files that they share. Raises UsageError where there is no such fix.
    """
    known, repairs = dict(texts or {}), []
    for target in spread(wanted):
        repairs.append(_repaired(target, known, options, choice))
        known |= {file: with_ends_of(text, repairs[-1].before[file]) for file, text in repairs[-1].after.items()}
    return repairs


def _repaired(target: Any, given: Mapping[str, str], options: Mapping[str, Any], choice: int | None) -> Repair:
    after: dict[str, str] = {}
    fixes: list[Fix] = []
    texts = _sources(target, given)  # before it is checked: whoever edits a file meanwhile has changed it since
    checked = check(target, **options, texts=given)
    most = MOST if choice is None else 1
    is_spec = isinstance(target, str) and split(target) is not None
    while is_spec and len(fixes) < most and (fix := _next(checked, choice)) is not None:
        fixes.append(fix)
        after = {**after, fix.file: fix.text}
        checked = check(target, **options, texts={**given, **after})
    before = {file: text for file, text in texts.items() if file in after}
    return Repair(str(target), tuple(fixes), before, after, tuple(checked))


def _sources(target: Any, given: Mapping[str, str]) -> Mapping[str, str]:
    parts = split(target)
    try:
        return load(os.fspath(parts[0]), texts=given).sources if parts else {}
    except SpecError as error:
        return error.sources


def _next(checked: list[Checked], choice: int | None) -> Fix | None:
    """The first fix that changes nothing outside its conflict's block; with a choice, that of the first conflict."""
    found = [finding.fixes for item in checked for finding in item.findings if finding.fixes]
    if choice is None:
        return next((fixes[0] for fixes in found if not fixes[0].outside), None)
    if found and not 0 < choice <= len(found[0]):
        raise UsageError(f"there is no fix {choice}", f"the first conflict has {len(found[0])}")
    return found[0][choice - 1] if found else None
