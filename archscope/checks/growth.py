"""Which part it was: what each path had and has → a tree of parts → the deepest one that explains the whole change.

(("layer3.4.main.0", 262_144), …), (("layer3.4.main.0", 524_288), …) → Growth("layer3.4.main.0", "… grew by …")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.checks.budgets import columns

LONGEST_LIST = 5


@dataclass(frozen=True)
class Part:
    """What stands at a path and below it: what it had and has; None where it was, or is, not there."""

    path: str
    was: int | None
    now: int | None
    inside: tuple[Part, ...] = ()

    @property
    def change(self) -> int:
        return (self.now or 0) - (self.was or 0)

    @property
    def changed(self) -> list[Part]:
        return [part for part in self.inside if part.change]


@dataclass(frozen=True)
class Growth:
    """The deepest part that explains a change (empty: the whole), a clause about it, and a line for each change."""

    path: str
    says: str
    lines: tuple[str, ...]


def grown(was: Iterable[tuple[str, int]], now: Iterable[tuple[str, int]]) -> Growth | None:
    """What changed between two lists of paths and numbers; None where no part did. Numbers of one path add up."""
    whole = tree("", summed(was), summed(now))
    culprit = deepest(whole)
    if culprit is whole and not whole.changed:
        return None
    inside = [culprit] if is_whole(culprit) else list(map(deepest, culprit.changed))
    changed = sorted(inside, key=lambda part: -abs(part.change))
    return Growth(culprit.path, clause(culprit, changed[0]), tuple(lines(changed)))


def summed(parts: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for path, number in parts:
        sums[path] = sums.get(path, 0) + number
    return sums


def tree(path: str, was: Mapping[str, int], now: Mapping[str, int]) -> Part:
    """All that is at `path` and below. What a path has itself, beside what is below it, is a part of the same name."""
    own, below = Part(path, was.get(path), now.get(path)), divided(path, was, now)
    if not below:
        return own
    inside = tuple(tree(name, *sides) for name, sides in below.items())
    parts = (own, *inside) if path in was or path in now else inside
    return Part(path, total(part.was for part in parts), total(part.now for part in parts), parts)


def divided(path: str, *sides: Mapping[str, int]) -> dict[str, list[dict[str, int]]]:
    """What is below `path` by the next part of its name: of each side, all that is there and below."""
    start = len(path) + 1 if path else 0
    found: dict[str, list[dict[str, int]]] = {}
    for number, side in enumerate(sides):
        for name in (name for name in side if name != path):
            end = name.find(".", start)
            inside = found.setdefault(name if end < 0 else name[:end], [{} for _ in sides])
            inside[number][name] = side[name]
    return found


def total(numbers: Iterable[int | None]) -> int | None:
    there = [number for number in numbers if number is not None]
    return sum(there) if there else None


def deepest(part: Part) -> Part:
    """Down as long as only one part inside changed; one that is new or gone is one change."""
    return part if is_whole(part) or len(part.changed) != 1 else deepest(part.changed[0])


def is_whole(part: Part) -> bool:
    """Whether a change has no parts of its own: a single row, or a block that came or went."""
    return not part.inside or (bool(part.path) and (part.was is None or part.now is None))


# ------------------------------------------------------------ in words
def clause(culprit: Part, most: Part) -> str:
    """`layer3.4 grew by 882,816`; of a change all over the net the part that changed most."""
    if not culprit.path:
        return f"most of it in {most.path} ({units.signed(most.change)})"
    if culprit.was is None or culprit.now is None:
        return f"{culprit.path} was {'added' if culprit.was is None else 'removed'}"
    return f"{culprit.path} {'grew' if culprit.change > 0 else 'shrank'} by {units.count(abs(culprit.change))}"


def lines(changed: Sequence[Part]) -> Iterator[str]:
    """`layer3.4.main.0  262,144 → 524,288  +262,144`, the largest changes first."""
    shown = changed[:LONGEST_LIST]
    before, after = [written(part.was) for part in shown], [written(part.now) for part in shown]
    arrows = [f"{was:>{longest(before)}} → {now:<{longest(after)}}" for was, now in zip(before, after, strict=True)]
    rows = [(p.path, arrow, units.signed(p.change), fate(p)) for p, arrow in zip(shown, arrows, strict=True)]
    yield from columns(rows, right=(2,))
    if len(changed) > LONGEST_LIST:
        yield f"and {len(changed) - LONGEST_LIST} more"


def written(number: int | None) -> str:
    return "none" if number is None else units.count(number)


def longest(texts: Sequence[str]) -> int:
    return max(map(len, texts))


def fate(part: Part) -> str:
    return "added" if part.was is None else "removed" if part.now is None else ""
