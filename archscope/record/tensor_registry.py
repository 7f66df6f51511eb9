"""The tensors of a run by identity: tensor → Operand (its value, and what made it).

No tensor is kept alive: entries are found by id, and a weak reference confirms that it is still the same tensor. A
tensor that was written in place belongs to the last writer, also if it is read through another view.
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
from archscope.record.op_call import shape_of
from archscope.record.state.tensors import storage_id
from archscope.trace import Operand, Param, Value

KnownTensor = tuple[ReferenceType[torch.Tensor], Operand, int]
"""A reference that confirms the identity of the tensor, its operand, and its version counter at that moment."""

PLAIN_TYPES = frozenset([int, float, bool, str, type(None), torch.dtype, torch.device])

make_tuple = tuple.__new__
"""Makes a named tuple without calling its class, since there are thousands in a run."""

CONSTANT_SOURCE = "constant"
"""The source of a tensor that neither a row has made nor the model holds."""


class TensorRegistry:
    """All that is known of every tensor. on_unknown: called with tensors that no row made.

    known: by id. parameters: the names of the model's, by the ids of their values. any_written: True if a tensor was
    written in place. has_wrapped: True if a function transform is active. has_irregular: True if some are sparse or
    nested.
    """

    def __init__(self, on_unknown: Callable[[torch.Tensor], object]) -> None:
        self._on_unknown = on_unknown
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
        """Return the value of a parameter, before the run, registered under its first name."""
        if id(parameter) in self._model_tensors:
            return self.known[id(parameter)][1].value
        self._model_tensors[id(parameter)] = name, parameter
        value = self.register(parameter, name).value
        self.parameters[value.id] = name
        return value

    def register_buffers(self, buffers: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Name buffers, before the run; one becomes a value when a row reads it."""
        for name, tensor in buffers:
            self._model_tensors.setdefault(id(tensor), (name, tensor))

    def register_input(self, tree: Any, name: str) -> list[Operand]:
        """Register the tensors of an input, and return their operands."""
        return [self.register(tensor, leaf) for leaf, tensor in named_tensors(tree, name)]

    def operand(self, tensor: torch.Tensor) -> Operand:
        """Return the tensor as an operand: a row's output, an input, a tensor of the model, or else a constant."""
        return self.known_operand(tensor) or self.register_external(tensor)

    def known_operand(self, tensor: torch.Tensor) -> Operand | None:
        """Return the tensor as an operand; None if it has not been seen."""
        known = self.known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def to_operands(self, items: Iterable[Any]) -> list[Any]:
        """Return arguments with every tensor replaced by its current operand; lists, tuples and dicts are copies."""
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
        """Return a block's inputs that have been seen, under the block's names."""
        found = []
        for name, tensor in inputs:
            operand = self.known_operand(tensor)
            if operand is not None:
                found.append(Operand(name, (self.current_operand(tensor) if self.any_written else operand).value))
        return tuple(found)

    def register(self, tensor: torch.Tensor, source: str) -> Operand:
        """Return an operand with a new value for this tensor, made by `source`."""
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
            for wrapped in inner_tensors(tensor):
                self.known[id(wrapped)] = reference(wrapped), operand, write_count(wrapped)

    def register_external(self, tensor: torch.Tensor) -> Operand:
        """Return the operand of a tensor that is seen for the first time, and was not made by a row."""
        named = self._model_tensors.get(id(tensor))
        if named is not None:
            return self.register(tensor, named[0])
        inner = inner_tensors(tensor)
        if inner:
            self.has_wrapped = True
            known = next(filter(None, map(self.known_operand, inner)), None) or self.register_external(inner[-1])
            return self._remember(tensor, Operand(known.source, known.value._replace(shape=shape_of(tensor))))
        seen = self._find_in_storage(tensor) if self.has_wrapped else None
        if seen is not None:
            return self._remember(tensor, Operand(seen.source, seen.value._replace(shape=shape_of(tensor))))
        operand = self.register(tensor, CONSTANT_SOURCE)
        if not isinstance(tensor, torch.nn.Parameter):  # a module that is made in the run may make one of a tensor
            self._external.append((reference(tensor), operand))
        self._on_unknown(tensor)
        return operand

    def _find_in_storage(self, tensor: torch.Tensor) -> Operand | None:
        """Return the operand of a tensor in the same storage: a function transform returns its results as views."""
        tensors = ((known[0](), known[1]) for known in list(self.known.values()))
        storage = storage_id(tensor)
        return next((operand for other, operand in tensors if other is not None and storage_id(other) == storage), None)

    def note_write(self, tensor: torch.Tensor, operand: Operand) -> None:
        """Note that a row has written into this tensor's storage; a reference to it keeps its address from being
        reused."""
        self.any_written = True
        with suppress(NotImplementedError, RuntimeError):  # sparse tensors, wrappers: they share no storage with others
            self._writers[storage_id(tensor)] = operand, StorageWeakRef(tensor.untyped_storage())

    def current_operand(self, tensor: torch.Tensor) -> Operand:
        """Return the operand of a tensor that may have been written since: then with the value of the last writer."""
        operand = self.operand(tensor)
        known = self.known[id(tensor)]
        if known[2] == write_count(tensor):
            return operand
        writer, _ = self._writers.get(storage_id(tensor), (None, None))
        if writer is not None:
            operand = Operand(writer.source, operand.value._replace(id=writer.value.id))
        return self._remember(tensor, operand)

    def has_changed(self, tensor: torch.Tensor) -> bool:
        """Return whether a known tensor has been written since."""
        return self.known[id(tensor)][2] != write_count(tensor)

    def model_name(self, tensor: torch.Tensor) -> str | None:
        """Return the name of the tensor in the model; None if the model does not hold it."""
        named = self._model_tensors.get(id(tensor))
        return named[0] if named is not None else None

    def unseen_operands(self) -> list[Operand]:
        """Return the tensors that no row made but that were made during this run; tensors that are gone may have
        been."""
        seen = [(known(), operand) for known, operand in self._external]
        young: set[int] = set()  # the tensors that were made since the garbage collector was paused
        if seen:
            young = {id(thing) for thing in gc.get_objects(generation=0) if issubclass(type(thing), torch.Tensor)}
        return [operand for tensor, operand in seen if tensor is None or id(tensor) in young]


def write_count(tensor: torch.Tensor) -> int:
    """Return how often the tensor was written; 0 for an inference tensor, which has no counter."""
    try:
        return tensor._version
    except RuntimeError:
        return 0


is_wrapped = transforms.is_functorch_wrapped_tensor


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors inside one that a function transform (vmap, grad, jvp) or a tensor subclass wraps, from the
    outside in."""
    found = []
    while is_wrapped(tensor):
        tensor = transforms.get_unwrapped(tensor)
        found.append(tensor)
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        found += [inside for inside in vars(tensor).values() if isinstance(inside, torch.Tensor)]
    return found


def vmap_examples(tensors: Iterable[torch.Tensor]) -> int:
    """Return the number of examples that a function processes at once: the product of the sizes that `vmap` hides."""
    hidden: dict[int, int] = {}
    for tensor in tensors:
        while is_wrapped(tensor):
            inside = transforms.get_unwrapped(tensor)
            if transforms.is_batchedtensor(tensor):
                hidden[transforms.maybe_get_level(tensor)] = inside.shape[transforms.maybe_get_bdim(tensor)]
            tensor = inside
    return prod(hidden.values())


def make_params(named: Iterable[tuple[str, torch.Tensor]], registry: TensorRegistry) -> tuple[Param, ...]:
    """Return one Param per name, in order; the value of each is registered under its first name.

    Two names are tied if they refer to the same elements of the same storage.
    """
    owners: dict[tuple[object, ...], str] = {}
    found = []
    for name, tensor in named:
        _, shape, dtype, size = registry.register_param(name, tensor)
        count = tensor.numel()
        owner = owners.setdefault((storage_id(tensor), tensor.storage_offset(), count), name)
        tied = "" if owner is name else owner
        found.append(make_tuple(Param, (name, shape, dtype, count, size, tensor.requires_grad, tied)))
    return tuple(found)
