"""Equal findings of several targets joined: one FoldedFinding for each location and kind of message.

(rule, file:line:column, the message without its numbers) → the first finding, its other paths, the other targets
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from archscope.report import Checked, Finding

NUMBER_PATTERN = re.compile(r"\d+(?:[.,]\d+)*")
VARIANT_TARGET = re.compile(r"(?P<file>.+\.ya?ml|specs:[^:]+):(?P<variant>.+)")


@dataclass(frozen=True)
class FoldedFinding:
    """A finding that is shown once. others: the targets that have it besides `target`."""

    target: str
    finding: Finding
    others: tuple[str, ...] = ()

    def merge(self, target: str, finding: Finding) -> FoldedFinding:
        """Return the finding joined with an equal one, at another path of this target or in another target."""
        if target != self.target:
            return self if target in self.others else replace(self, others=(*self.others, target))
        paths = dict.fromkeys([*self.finding.also, finding.path, *finding.also])
        paths.pop(self.finding.path, None)
        return replace(self, finding=replace(self.finding, also=tuple(paths)))

    @property
    def other_targets(self) -> tuple[str, ...]:
        """The other targets; variants of the same file by their own names."""
        file, _ = split_variant(self.target)
        return tuple(variant if other_file == file else f"{other_file}:{variant}".rstrip(":")
                     for other_file, variant in map(split_variant, self.others))  # fmt: skip


def split_variant(target: str) -> tuple[str, str]:
    """Return a spec's file and variant; of other targets the whole and ""."""
    match = VARIANT_TARGET.fullmatch(target)
    return (match["file"], match["variant"]) if match else (target, "")


def fold_findings(checked: Iterable[Checked]) -> list[FoldedFinding]:
    """Return every finding once, in the order of first occurrence. Findings without a location are not joined."""
    firsts: dict[object, FoldedFinding] = {}
    for item in checked:
        for finding in item.findings:
            key = (finding.rule, finding.level, finding.place, NUMBER_PATTERN.sub("#", finding.message))
            first = firsts.get(key) if finding.place else None
            firsts[key if finding.place else len(firsts)] = (
                first.merge(item.target, finding) if first else FoldedFinding(item.target, finding)
            )
    return list(firsts.values())
