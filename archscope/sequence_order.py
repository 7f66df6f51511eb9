"""Whether attention reads its sequences in the order that they have: shapes of query, key and masks → Misread.

    (2, 1, 16), (2, 23, 16), lengths first → the batches, 1 and 23, differ; batches first, both are 2

Recorded runs of modules and specs that are compiled are told in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Shape = tuple[int, ...]
ATTENTION = "MultiheadAttention"


@dataclass(frozen=True)
class Misread:
    """What the axes are taken for, and the `batch_first` with which they would fit; None where neither would do."""

    fact: str
    batch_first: bool | None

    @property
    def cure(self) -> str:
        if self.batch_first is None:
            return "query and key must have one batch, and differ in length at most"
        return f"batch_first={self.batch_first}"


def misread(query: Shape, key: Shape, masks: Iterable[Shape], *, batch_first: bool) -> Misread | None:
    """Batches that differ, or a mask that would fit in the other order; None for all else.

    masks: two-dimensional ones, (batch, keys) or (queries, keys).
    """
    if len(query) != 3 or len(key) != 3:
        return None
    batch, length = (0, 1) if batch_first else (1, 0)
    said = f"{ATTENTION}: query {query} is read as {_axes(query, batch)}, key {key} as {_axes(key, batch)}"
    if query[batch] != key[batch]:
        return Misread(f"{said}: the batches differ", not batch_first if query[length] == key[length] else None)
    right = ((key[batch], key[length]), (query[length], key[length]))
    turned = ((key[length], key[batch]), (query[batch], key[batch]))
    for mask in masks:
        if mask not in right and mask in turned:
            wanted = f"(batch, keys) = {right[0]} or (queries, keys) = {right[1]}"
            return Misread(f"{said}: a mask is {wanted}, not {mask}", not batch_first)
    return None


def _axes(shape: Shape, batch: int) -> str:
    names = ("batch", "length") if batch == 0 else ("length", "batch")
    return f"({names[0]} {shape[0]}, {names[1]} {shape[1]}, {shape[2]})"
