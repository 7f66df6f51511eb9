"""Whether attention reads its sequences in the order that they have: shapes of query, key and masks → OrderProblem.

    (2, 1, 16), (2, 23, 16), lengths first → the batches, 1 and 23, differ; batches first, both are 2

Recorded runs of modules and specs that are compiled are told in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
ATTENTION_CLASS = "MultiheadAttention"


@dataclass(frozen=True)
class OrderProblem:
    """What the axes are taken for, and the `batch_first` with which they would fit; None where neither would do.

    mask: the argument that a mask belongs to which was given as another. repeats: how often it is to be repeated along
    the batch instead; 0 for others.
    """

    fact: str
    batch_first: bool | None
    mask: str = ""
    repeats: int = 0

    @property
    def help(self) -> str:
        if self.batch_first is None:
            return "query and key must have one batch, and differ in length at most"
        return f"batch_first={self.batch_first}"


def find_order_problem(query: Shape, key: Shape, masks: Iterable[Shape], *, batch_first: bool) -> OrderProblem | None:
    """Batches that differ, or a mask that would fit in the other order; None for all else.

    masks: two-dimensional ones, (batch, keys) or (queries, keys).
    """
    if len(query) != 3 or len(key) != 3:
        return None
    batch, length = (0, 1) if batch_first else (1, 0)
    said = (
        f"{ATTENTION_CLASS}: query {query} is read as {_axes_text(query, batch)}, key {key} as {_axes_text(key, batch)}"
    )
    if query[batch] != key[batch]:
        return OrderProblem(f"{said}: the batches differ", not batch_first if query[length] == key[length] else None)
    right = ((key[batch], key[length]), (query[length], key[length]))
    turned = ((key[length], key[batch]), (query[batch], key[batch]))
    for mask in masks:
        if mask not in right and mask in turned:
            wanted = f"(batch, keys) = {right[0]} or (queries, keys) = {right[1]}"
            return OrderProblem(f"{said}: a mask is {wanted}, not {mask}", not batch_first)
    return None


def find_mask_problem(
    query: Shape, key: Shape, masks: Mapping[str, Shape], heads: int, *, batch_first: bool
) -> OrderProblem | None:
    """A mask that has the shape of the other kind: (batch, keys) of padding, (queries, keys) of pairs; or one of pairs
    for each example that is none for each head; else None.

    masks: `attn_mask` and `key_padding_mask`, those that there are.
    """
    if len(query) != 3 or len(key) != 3:
        return None
    batch, length = (0, 1) if batch_first else (1, 0)
    wanted = {"attn_mask": (query[length], key[length]), "key_padding_mask": (key[batch], key[length])}
    words = {"attn_mask": "(queries, keys)", "key_padding_mask": "(batch, keys)"}
    for name, other in (("attn_mask", "key_padding_mask"), ("key_padding_mask", "attn_mask")):
        if name in masks and masks[name] != wanted[name] and masks[name] == wanted[other]:
            fact = f"{ATTENTION_CLASS}: {name} is {words[name]} = {wanted[name]}, and {masks[name]} is {words[other]}"
            return OrderProblem(fact, None, other)
    pairs, examples = wanted["attn_mask"], query[batch]
    if heads > 1 and masks.get("attn_mask") == (examples, *pairs):
        whole = (heads * examples, *pairs)
        fact = f"{ATTENTION_CLASS}: attn_mask is (queries, keys) = {pairs} or (batch × heads, queries, keys) = {whole}"
        return OrderProblem(f"{fact}, and {masks['attn_mask']} has no heads", None, "attn_mask", heads)
    return None


@dataclass(frozen=True)
class StateProblem:
    """A recurrent layer's state that is none of its input's: in which axes, and the shape that would be.

    batch_first: with which the layer would take it as it is; None where no order would do.
    """

    fact: str
    axes: tuple[int, ...]
    wanted_shape: Shape
    batch_first: bool | None = None


def recurrent_state_problem(
    layer: str, given: Shape, state: Shape, whole: Shape, *, batch_first: bool
) -> StateProblem | None:
    """What is wrong with a state; None where nothing is, or where input or state are no batches.

    whole: the state's first and last size, as the layer has them: layers × directions, and features.
    """
    if len(given) != 3 or len(state) != 3:
        return None
    batch, length = (0, 1) if batch_first else (1, 0)
    wanted = (whole[0], given[batch], whole[1])
    if state == wanted:
        return None
    read = f"{layer}: its input {given} is read as {_axes_text(given, batch)}"
    if state == (whole[0], given[length], whole[1]):
        fact = f"{read}, but its state {state} is of a batch of {state[1]}"
        return StateProblem(fact, (batch,), wanted, not batch_first)
    axes = tuple(axis for axis in range(3) if state[axis] != wanted[axis])
    fact = f"{read}, so its state is (layers × directions {whole[0]}, batch {wanted[1]}, {whole[1]}), not {state}"
    return StateProblem(fact, axes, wanted)


def _axes_text(shape: Shape, batch: int) -> str:
    names = ("batch", "length") if batch == 0 else ("length", "batch")
    return f"({names[0]} {shape[0]}, {names[1]} {shape[1]}, {shape[2]})"
