"""Checks of batch and sequence axes of attention and recurrent layers, by shapes alone → OrderProblem, StateProblem.

    (2, 1, 16), (2, 23, 16), batch_first=False → the batches, 1 and 23, differ; with batch_first=True both are 2

Recorded runs of modules and compiled specs get the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archscope.trace import Shape

ATTENTION_CLASS = "MultiheadAttention"


@dataclass(frozen=True)
class OrderProblem:
    """Query, key or mask in another axis order than the layer's `batch_first` says.

    batch_first: the value with which they would fit; None if neither would. mask: the argument that a mask belongs to
    that was passed as another one. repeats: how often the mask must be repeated along the batch; 0 otherwise.
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
    """Return a problem if the batches differ, or if a mask would fit in the other axis order; else None.

    masks: the shapes of two-dimensional masks, (batch, keys) or (queries, keys).
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
    """Return a problem if a mask has the shape of the other kind, (batch, keys) for padding and (queries, keys) for
    attention, or lacks the heads; else None.

    masks: the shapes of `attn_mask` and `key_padding_mask`, if given.
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
    """A state of a recurrent layer that does not match its input: the wrong axes and the right shape.

    batch_first: the value with which the state would fit; None if neither would.
    """

    fact: str
    axes: tuple[int, ...]
    wanted_shape: Shape
    batch_first: bool | None = None


def recurrent_state_problem(
    layer: str, given: Shape, state: Shape, whole: Shape, *, batch_first: bool
) -> StateProblem | None:
    """Return the problem of a recurrent layer's state; None if it fits, or if input or state are unbatched.

    given: the shape of the input. whole: the first and last size of the state: layers × directions, and features.
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
