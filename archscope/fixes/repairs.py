"""Specs with fixes applied: the first fix of each conflict that changes nothing outside its block, or a chosen one.

    spec → check → a fix → its text → check again → … → Repair: every changed file before and after

No file is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archscope.errors import SpecError, UsageError
from archscope.report import Checked, Fix
from archscope.spec.folders import expand_folders
from archscope.spec.target_names import load_target, split_target
from archscope.spec.text_diff import unified_diff, with_line_endings

CheckTarget = Callable[[Any, Mapping[str, str]], list[Checked]]
MAX_FIXES = 25
"""The most fixes that one spec is given."""


@dataclass(frozen=True)
class Repair:
    """The fixes of one spec in their order, and the texts of the files that they change.

    checked: the findings that are left. after: texts with "\\n" as line ends, whatever those of the files are.
    """

    target: str
    fixes: tuple[Fix, ...]
    before: Mapping[str, str]
    after: Mapping[str, str]
    checked: tuple[Checked, ...]

    @property
    def diff(self) -> str:
        """The change of all files as a unified diff; empty if there is none."""
        texts = ((file, self.before[file], text) for file, text in self.after.items())
        return "".join(unified_diff(before, with_line_endings(text, before), file) for file, before, text in texts)


def repair_targets(
    wanted: Iterable[Any], check: CheckTarget, *, texts: Mapping[str, str], choice: int | None = None
) -> list[Repair]:
    """Return the fixes of each spec; of other targets only their findings.

    check: returns the findings of a target with these texts of files. choice: the fix of the first conflict that is
    applied, whatever it changes, and no other. Targets that share files get the texts that earlier fixes left. Raises
    UsageError if there is no such fix.
    """
    known, repairs = dict(texts), []
    for target in expand_folders(wanted):
        repairs.append(repair_target(target, known, check, choice))
        known |= {file: with_line_endings(text, repairs[-1].before[file]) for file, text in repairs[-1].after.items()}
    return repairs


def repair_target(target: Any, given: Mapping[str, str], check: CheckTarget, choice: int | None) -> Repair:
    after: dict[str, str] = {}
    fixes: list[Fix] = []
    texts = target_sources(target, given)  # read before the check, so that an edit that is made meanwhile is noticed
    checked = check(target, given)
    most = MAX_FIXES if choice is None else 1
    is_spec = isinstance(target, str) and split_target(target) is not None
    while is_spec and len(fixes) < most and (fix := next_fix(checked, choice)) is not None:
        fixes.append(fix)
        after = {**after, fix.file: fix.text}
        checked = check(target, {**given, **after})
    before = {file: text for file, text in texts.items() if file in after}
    return Repair(str(target), tuple(fixes), before, after, tuple(checked))


def target_sources(target: Any, given: Mapping[str, str]) -> Mapping[str, str]:
    parts = split_target(target)
    try:
        return load_target(parts[0], texts=given).sources if parts else {}
    except SpecError as error:
        return error.sources


def next_fix(checked: list[Checked], choice: int | None) -> Fix | None:
    """Return the first fix that changes nothing outside its conflict's block; with a choice, that of the first
    conflict.
    """
    found = [finding.fixes for item in checked for finding in item.findings if finding.fixes]
    if choice is None:
        return next((fixes[0] for fixes in found if not fixes[0].outside), None)
    if found and not 0 < choice <= len(found[0]):
        raise UsageError(f"there is no fix {choice}", f"the first conflict has {len(found[0])}")
    return found[0][choice - 1] if found else None
