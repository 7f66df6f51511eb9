"""The tensors of a run by identity: tensor → Operand (its value, and who made it).

No tensor is kept alive: what is known of one is found by its id, and a weak reference tells that it still is that one.
What somebody wrote into belongs to the last who wrote there, also where it is read through another view.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import prod
from typing import Any
from weakref import ReferenceType
from weakref import ref as reference

import torch
from torch._C import _functorch as transforms
from torch.multiprocessing.reductions import StorageWeakRef

from archscope.record.named_tensors import named_tensors
from archscope.record.tensor_backup import storage_id
from archscope.record.tensors import shape_of
from archscope.trace import Operand, Value

KnownTensor = tuple[ReferenceType[torch.Tensor], Operand, int]
"""How to tell that it is still the same tensor, what it is as an operand, how often it had been written then."""

PLAIN_TYPES = frozenset([int, float, bool, str, type(None), torch.dtype, torch.device])

make_tuple = tuple.__new__
"""Makes a named tuple without going through its class: there are thousands in a run."""

CONSTANT_SOURCE = "constant"
"""The name of a tensor that neither a row made nor the model holds."""


class TensorRegistry:
    """What is known of every tensor. tell: hears of those that no row made.

    known: by id. parameters: the names of the model's, by the ids of their values. any_written: whether one was written
    that others may look into. has_wrapped: whether a function transform is at work; has_irregular: whether some are
    sparse or nested.
    """

    def __init__(self, tell: Callable[[torch.Tensor], object]) -> None:
        self._on_unknown = tell
        self.known: dict[int, KnownTensor] = {}
        self.any_written = False
        self.has_wrapped = False
        self.has_irregular = False
        self.parameters: dict[int, str] = {}
        self._count = 0
        self._dtypes: dict[torch.dtype, str] = {}
        self._model_tensors: dict[int, tuple[str, torch.Tensor]] = {}
        self._writers: dict[int, tuple[Operand, StorageWeakRef]] = {}
        self._external: list[tuple[ReferenceType[torch.Tensor], Operand]] = []

    def register_param(self, name: str, parameter: torch.Tensor) -> Value:
        """The value of a parameter, before the run; of its names the first counts."""
        if id(parameter) in self._model_tensors:
            return self.known[id(parameter)][1].value
        self._model_tensors[id(parameter)] = name, parameter
        value = self.register(parameter, name).value
        self.parameters[value.id] = name
        return value

    def register_buffers(self, buffers: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Names buffers, before the run; one becomes a value when a row reads it."""
        for name, tensor in buffers:
            self._model_tensors.setdefault(id(tensor), (name, tensor))

    def register_input(self, tree: Any, name: str) -> list[Operand]:
        """Names the tensors of an input."""
        return [self.register(tensor, leaf) for leaf, tensor in named_tensors(tree, name)]

    def operand(self, tensor: torch.Tensor) -> Operand:
        """The tensor as an operand: a row's output, an input, something the model holds, or else a constant."""
        return self.known_operand(tensor) or self.register_external(tensor)

    def known_operand(self, tensor: torch.Tensor) -> Operand | None:
        """The tensor as an operand, if it has been seen."""
        known = self.known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def to_operands(self, items: Iterable[Any]) -> list[Any]:
        """Arguments with every tensor as the operand that it is now; lists, tuples and dicts are copies."""
        found: list[Any] = []
        for item in items:
            kind = type(item)
            if kind in PLAIN_TYPES:
                found.append(item)
            elif isinstance(item, torch.Tensor):
                known = self.known.get(id(item))
                if known is None or known[0]() is not item:
                    found.append(self.register_external(item))
                else:
                    found.append(self.current_operand(item) if self.any_written else known[1])
            elif kind is tuple and all(type(entry) is int for entry in item):
                found.append(item)
            elif isinstance(item, (tuple, list)):
                found.append(self.to_operands(item))
            elif isinstance(item, dict):
                found.append(dict(zip(item, self.to_operands(item.values()), strict=True)))
            else:
                found.append(item)
        return found

    def named_operands(self, inputs: Iterable[tuple[str, torch.Tensor]]) -> tuple[Operand, ...]:
        """A block's inputs, as far as they have been seen, under the names that the block has for them."""
        found = []
        for name, tensor in inputs:
            operand = self.known_operand(tensor)
            if operand is not None:
                found.append(Operand(name, (self.current_operand(tensor) if self.any_written else operand).value))
        return tuple(found)

    def register(self, tensor: torch.Tensor, source: str) -> Operand:
        """A new value of this tensor, made by `source`."""
        dtype = self._dtypes.get(tensor.dtype) or self._dtypes.setdefault(tensor.dtype, str(tensor.dtype)[6:])
        size = tensor.numel() * tensor.element_size()
        if tensor.layout is torch.strided and not tensor.is_nested:
            shape = tuple(tensor.shape)
        else:
            self.has_irregular, shape = True, shape_of(tensor)
        if self.has_wrapped:
            size *= vmap_examples([tensor])
        self._count += 1
        operand: Operand = make_tuple(Operand, (source, make_tuple(Value, (self._count, shape, dtype, size))))
        self.known[id(tensor)] = reference(tensor), operand, write_count(tensor)
        if self.has_wrapped:
            self._remember_inner(tensor, operand)
        return operand

    def _remember(self, tensor: torch.Tensor, operand: Operand) -> Operand:
        self.known[id(tensor)] = reference(tensor), operand, write_count(tensor)
        self._remember_inner(tensor, operand)
        return operand

    def _remember_inner(self, tensor: torch.Tensor, operand: Operand) -> None:
        if self.has_wrapped:
            for inside in inner_tensors(tensor):
                self.known[id(inside)] = reference(inside), operand, write_count(inside)

    def register_external(self, tensor: torch.Tensor) -> Operand:
        """A tensor that is seen for the first time, and was not made by a row."""
        held = self._model_tensors.get(id(tensor))
        if held is not None:
            return self.register(tensor, held[0])
        inner = inner_tensors(tensor)
        if inner:
            self.has_wrapped = True
            known = next(filter(None, map(self.known_operand, inner)), None) or self.register_external(inner[-1])
            return self._remember(tensor, Operand(known.source, known.value._replace(shape=shape_of(tensor))))
        seen = self._find_in_storage(tensor) if self.has_wrapped else None
        if seen is not None:
            return self._remember(tensor, Operand(seen.source, seen.value._replace(shape=shape_of(tensor))))
        operand = self.register(tensor, CONSTANT_SOURCE)
        if not isinstance(tensor, torch.nn.Parameter):  # which a module that is made in a run makes of a tensor
            self._external.append((reference(tensor), operand))
        self._on_unknown(tensor)
        return operand

    def _find_in_storage(self, tensor: torch.Tensor) -> Operand | None:
        """What is known of a tensor that lies where this one does: a function transform gives its results as views."""
        alive = ((known[0](), known[1]) for known in list(self.known.values()))
        here = storage_id(tensor)
        return next((operand for other, operand in alive if other is not None and storage_id(other) == here), None)

    def note_write(self, tensor: torch.Tensor, operand: Operand) -> None:
        """A row has written into the memory of this tensor, which may go; watched, none other gets its address."""
        self.any_written = True
        with suppress(NotImplementedError, RuntimeError):  # sparse tensors, wrappers: no other looks into these
            self._writers[storage_id(tensor)] = operand, StorageWeakRef(tensor.untyped_storage())

    def current_operand(self, tensor: torch.Tensor) -> Operand:
        """The operand of a tensor that somebody may have written since: then of the last who did."""
        operand = self.operand(tensor)
        known = self.known[id(tensor)]
        if known[2] == write_count(tensor):
            return operand
        writer, _ = self._writers.get(storage_id(tensor), (None, None))
        if writer is not None:
            operand = Operand(writer.source, operand.value._replace(id=writer.value.id))
        return self._remember(tensor, operand)

    def has_changed(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor that is known has been written since."""
        return self.known[id(tensor)][2] != write_count(tensor)

    def model_name(self, tensor: torch.Tensor) -> str | None:
        """The name by which the model holds the tensor."""
        held = self._model_tensors.get(id(tensor))
        return held[0] if held is not None else None

    def unseen_operands(self) -> list[Operand]:
        """The tensors that no row made, and that came to be in this run all the same; one that is gone may have."""
        met = [(known(), operand) for known, operand in self._external]
        made = {id(tensor) for tensor in young_tensors()} if met else set()
        return [operand for tensor, operand in met if tensor is None or id(tensor) in made]


def young_tensors() -> list[torch.Tensor]:
    """The tensors that came to be since the cycle collector was put to rest."""
    return [thing for thing in gc.get_objects(generation=0) if issubclass(type(thing), torch.Tensor)]


def write_count(tensor: torch.Tensor) -> int:
    """How often the tensor was written; 0 for an inference tensor, which does not count."""
    try:
        return tensor._version
    except RuntimeError:
        return 0


is_wrapped = transforms.is_functorch_wrapped_tensor


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensors inside one that a function transform (vmap, grad, jvp) or a class of tensors has wrapped, from the
    outside in."""
    found = []
    while is_wrapped(tensor):
        tensor = transforms.get_unwrapped(tensor)
        found.append(tensor)
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        found += [inside for inside in vars(tensor).values() if isinstance(inside, torch.Tensor)]
    return found


def vmap_examples(read: Iterable[torch.Tensor]) -> int:
    """For how many examples a function works at once: the product of the sizes that `vmap` hides from it."""
    hidden: dict[int, int] = {}
    for tensor in read:
        while is_wrapped(tensor):
            inside = transforms.get_unwrapped(tensor)
            if transforms.is_batchedtensor(tensor):
                hidden[transforms.maybe_get_level(tensor)] = inside.shape[transforms.maybe_get_bdim(tensor)]
            tensor = inside
    return prod(hidden.values())
