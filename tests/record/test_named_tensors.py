"""Results of any kind → their tensors under sensible names."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from archscope.record.named_tensors import named_tensors

A, B, C = torch.empty(1), torch.empty(2), torch.empty(3)


@dataclass
class Plain:
    loss: Any
    logits: Any
    label: str = "a"


@dataclass(slots=True)
class Slotted:
    loss: Any
    logits: Any


class Pair(NamedTuple):
    mean: Any
    scale: Any


@dataclass
class Layer:
    keys: Any
    values: Any


@dataclass
class Cache:
    layers: list[Layer] = field(default_factory=list)


class Held:
    shared = C

    def __init__(self) -> None:
        self.hidden, self.model, self.kind = A, nn.Linear(1, 1, device="meta"), nn.Linear


def looped() -> list[Any]:
    tree: list[Any] = [A]
    tree.append(tree)
    return tree


def ringed() -> SimpleNamespace:
    ring = SimpleNamespace(value=A)
    ring.itself = ring
    return ring


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (A, ["0"]),
        ((A, B), ["0", "1"]),
        ([A, [B, (C,)]], ["0", "1.0", "1.1.0"]),
        ({"a": A, "b": {"c": B}}, ["a", "b.c"]),
        (None, []),
        ("text", []),
        (3.5, []),
        (range(3), []),
        ((None, A, "text"), ["1"]),
        (Plain(A, (B, C)), ["loss", "logits.0", "logits.1"]),
        (Slotted(A, B), ["loss", "logits"]),
        (Pair(A, Pair(B, None)), ["mean", "scale.mean"]),
        (collections.UserDict(a=A, b=B), ["a", "b"]),
        (collections.OrderedDict(a=A), ["a"]),
        (collections.deque([A, B]), ["0", "1"]),
        (SimpleNamespace(x=A, n=3), ["x"]),
        ({"out": A, "cache": Cache([Layer(B, C)])}, ["out", "cache.layers.0.keys", "cache.layers.0.values"]),
        (Held(), ["hidden"]),
        (torch.Size([1, 2]), []),
        (iter([A]), []),
        (ringed(), ["value"]),
    ],
    ids=lambda case: type(case).__name__,
)
def test_every_tensor_has_a_name(tree: Any, names: list[str]) -> None:
    assert [name for name, _ in named_tensors(tree)] == names


def test_the_tensors_are_those_of_the_tree() -> None:
    assert [tensor for _, tensor in named_tensors({"a": (A, B), "c": C})][1] is B


def test_a_name_stands_before_all() -> None:
    assert [name for name, _ in named_tensors((A, {"b": B}), "batch")] == ["batch.0", "batch.1.b"]
    assert [name for name, _ in named_tensors(A, "x")] == ["x"]


def test_a_list_that_holds_itself_comes_to_an_end() -> None:
    assert next(named_tensors(looped()))[1] is A
    assert 1 < len(list(named_tensors(looped()))) < 100


@pytest.mark.moves_rng
def test_packed_sequences_and_distributions() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(3), torch.ones(2)])
    assert [name for name, _ in named_tensors(packed)] == ["data", "batch_sizes"]
    assert {"loc", "scale"} <= {name for name, _ in named_tensors(torch.distributions.Normal(A, A.exp()))}


def test_attrs_objects() -> None:
    made = pytest.importorskip("attrs").make_class("Made", ["mean", "scale"])
    assert [name for name, _ in named_tensors(made(A, [B]))] == ["mean", "scale.0"]


def test_hugging_face_outputs() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    caches = pytest.importorskip("transformers.cache_utils")
    cache = caches.DynamicCache()
    cache.update(torch.empty(1, 1, 2, 4), torch.empty(1, 1, 2, 4), 0)
    out = outputs.CausalLMOutputWithPast(logits=A, past_key_values=cache)
    names = [name for name, _ in named_tensors(out)]
    assert names[0] == "logits"
    assert any(name.endswith("keys") for name in names)
    assert any(name.endswith("values") for name in names)
