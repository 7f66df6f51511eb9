"""The part of a net that explains a change: figures per path, before and after → a tree → the deepest such part.

(("layer3.4.main.0", 262_144), …), (("layer3.4.main.0", 524_288), …) → BaselineDiff("layer3.4.main.0", "… grew by …")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archscope import units
from archscope.checks.budgets import aligned_columns

MAX_LISTED_PARTS = 5


@dataclass(frozen=True)
class PartDiff:
    """The figures at a path and below it, before (`was`) and now; None where the path did not or does not exist."""

    path: str
    was: int | None
    now: int | None
    inside: tuple[PartDiff, ...] = ()

    @property
    def change(self) -> int:
        return (self.now or 0) - (self.was or 0)

    @property
    def changed_parts(self) -> list[PartDiff]:
        return [part for part in self.inside if part.change]


@dataclass(frozen=True)
class BaselineDiff:
    """The deepest part that explains a change (empty: the whole net), a clause about it, and a line for each change."""

    path: str
    clause: str
    lines: tuple[str, ...]


def diff_parts(was: Iterable[tuple[str, int]], now: Iterable[tuple[str, int]]) -> BaselineDiff | None:
    """Return the change between two lists of paths and numbers; None if no part changed. Numbers of one path add up."""
    whole = build_diff_tree("", sum_by_path(was), sum_by_path(now))
    culprit = deepest_change(whole)
    if culprit is whole and not whole.changed_parts:
        return None
    inside = [culprit] if is_single_change(culprit) else list(map(deepest_change, culprit.changed_parts))
    changed = sorted(inside, key=lambda part: -abs(part.change))
    return BaselineDiff(culprit.path, diff_clause(culprit, changed[0]), tuple(diff_lines(changed)))


def sum_by_path(parts: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for path, number in parts:
        sums[path] = sums.get(path, 0) + number
    return sums


def build_diff_tree(path: str, was: Mapping[str, int], now: Mapping[str, int]) -> PartDiff:
    """Return the tree of everything at `path` and below. A path's own figures, next to those below, are a part of the
    same name."""
    own, below = PartDiff(path, was.get(path), now.get(path)), split_by_child(path, was, now)
    if not below:
        return own
    inside = tuple(build_diff_tree(name, *sides) for name, sides in below.items())
    parts = (own, *inside) if path in was or path in now else inside
    return PartDiff(path, sum_known(part.was for part in parts), sum_known(part.now for part in parts), parts)


def split_by_child(path: str, *sides: Mapping[str, int]) -> dict[str, list[dict[str, int]]]:
    """Return the entries below `path`, grouped by their next path component, for each of the mappings."""
    start = len(path) + 1 if path else 0
    found: dict[str, list[dict[str, int]]] = {}
    for number, side in enumerate(sides):
        for name in (name for name in side if name != path):
            end = name.find(".", start)
            inside = found.setdefault(name if end < 0 else name[:end], [{} for _ in sides])
            inside[number][name] = side[name]
    return found


def sum_known(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def deepest_change(part: PartDiff) -> PartDiff:
    """Return the deepest part, reached while only one part inside changed. An added or removed part is one change."""
    return part if is_single_change(part) or len(part.changed_parts) != 1 else deepest_change(part.changed_parts[0])


def is_single_change(part: PartDiff) -> bool:
    """Return whether a change has no parts of its own: a single row, or a block that was added or removed."""
    return not part.inside or (bool(part.path) and (part.was is None or part.now is None))


# ------------------------------------------------------------ text
def diff_clause(culprit: PartDiff, most: PartDiff) -> str:
    """Return `layer3.4 grew by 882,816`; for a change all over the net, the part that changed most."""
    if not culprit.path:
        return f"most of it in {most.path} ({units.format_signed(most.change)})"
    if culprit.was is None or culprit.now is None:
        return f"{culprit.path} was {'added' if culprit.was is None else 'removed'}"
    return f"{culprit.path} {'grew' if culprit.change > 0 else 'shrank'} by {units.format_count(abs(culprit.change))}"


def diff_lines(changed: Sequence[PartDiff]) -> Iterator[str]:
    """Yield `layer3.4.main.0  262,144 → 524,288  +262,144`, the largest changes first."""
    shown = changed[:MAX_LISTED_PARTS]
    before, after = [number_text(part.was) for part in shown], [number_text(part.now) for part in shown]
    width_before, width_after = (max(map(len, texts)) for texts in (before, after))
    rows = []
    for part, was, now in zip(shown, before, after, strict=True):
        arrow = f"{was:>{width_before}} → {now:<{width_after}}"
        word = "added" if part.was is None else "removed" if part.now is None else ""
        rows.append((part.path, arrow, units.format_signed(part.change), word))
    yield from aligned_columns(rows, right=(2,))
    if len(changed) > MAX_LISTED_PARTS:
        yield f"and {len(changed) - MAX_LISTED_PARTS} more"


def number_text(number: int | None) -> str:
    return "none" if number is None else units.format_count(number)
