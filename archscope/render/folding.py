"""The same fault once: findings of several targets → Told, one for each place and kind of sentence, with where else.

(rule, file:line:column, the message without its numbers) → the first finding, its other paths, the other targets
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from archscope.report import Checked, Finding

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
VARIANT = re.compile(r"(?P<file>.+\.ya?ml|specs:[^:]+):(?P<variant>.+)")


@dataclass(frozen=True)
class Told:
    """A finding that is told once. others: the targets that have it besides `target`."""

    target: str
    finding: Finding
    others: tuple[str, ...] = ()

    def also(self, target: str, finding: Finding) -> Told:
        """The same, found again: at another path of this target, or in another target."""
        if target != self.target:
            return self if target in self.others else replace(self, others=(*self.others, target))
        paths = dict.fromkeys([*self.finding.also, finding.path, *finding.also])
        paths.pop(self.finding.path, None)
        return replace(self, finding=replace(self.finding, also=tuple(paths)))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The other targets; variants of the same file by their own names."""
        file, _ = parts(self.target)
        return tuple(variant if other_file == file else f"{other_file}:{variant}".rstrip(":")
                     for other_file, variant in map(parts, self.others))  # fmt: skip


def parts(target: str) -> tuple[str, str]:
    """A spec's file and variant; of other targets the whole and nothing."""
    match = VARIANT.fullmatch(target)
    return (match["file"], match["variant"]) if match else (target, "")


def told(checked: Iterable[Checked]) -> list[Told]:
    """Every finding once, in the order of the first of each. What has no place stands alone."""
    firsts: dict[object, Told] = {}
    for item in checked:
        for finding in item.findings:
            key = (finding.rule, finding.level, finding.place, NUMBER.sub("#", finding.message))
            first = firsts.get(key) if finding.place else None
            firsts[key if finding.place else len(firsts)] = (
                first.also(item.target, finding) if first else Told(item.target, finding)
            )
    return list(firsts.values())
