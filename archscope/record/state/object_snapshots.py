"""Snapshots of single objects: object → Snapshots, which tell whether it is unchanged, and restore it.

dict, list, deque, set, bytearray │ modules │ objects: attributes, slots │ classes │ generators, arrays │ scripted code

Containers are read through the methods of Python's base classes: an author's subclass may behave in any way, so its
methods are not called.
"""

from __future__ import annotations

import argparse
import functools
import queue
import random
import sys
from collections import ChainMap, OrderedDict, UserDict, UserList, UserString, deque
from collections.abc import Callable, Iterable, Iterator
from operator import is_
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn

ATOMIC_TYPES = (int, float, str, bool, type(None), bytes, complex, torch.Tensor, ModuleType, torch.dtype, torch.device)
"""Types that hold nothing that a run could change, or that are restored elsewhere."""

MAX_ENTRIES = 10_000
"""The largest number of entries that are visited in a container; a longer one is only copied itself."""

DATA_CLASSES = (argparse.Namespace, SimpleNamespace, UserDict, UserList, UserString, ChainMap, queue.Queue)
"""Python's own classes whose instances hold what is put into them."""

TORCH_STATE_PACKAGES = ("torch.distributions.", "torch.optim.", "torch.amp.", "torch.nn.utils.", "torch.nn.attention.")
"""Packages of torch classes, other than modules, whose instances hold what is put into them."""

BUILTIN_CONTAINERS = frozenset([dict, OrderedDict, list, tuple, set, frozenset, deque])
"""Python's own containers, which have no attributes."""

MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))
"""The attributes of every module."""

ObjectTable = dict[Any, Any]

ScriptModule = torch.jit._script.RecursiveScriptModule


class Snapshot(NamedTuple):
    """An object, its state before the run, a function that compares both, and one that restores the state."""

    thing: Any
    before: Any
    is_same: Callable[[Any, Any], bool]
    restore: Callable[[Any, Any], object]


def take_snapshots(thing: Any) -> Iterator[Snapshot]:
    """Yield the snapshots of one object, without what it holds."""
    if isinstance(thing, nn.Module):
        yield from module_snapshots(thing)
        return
    if isinstance(thing, type):
        yield Snapshot(thing, dict(vars(thing)), same_class, rewrite_class)
        return
    if isinstance(thing, dict):
        yield table_snapshot(thing)
    elif isinstance(thing, list):
        yield Snapshot(thing, list.copy(thing), same_list, refill_list)
    elif isinstance(thing, deque):
        yield Snapshot(thing, deque.copy(thing), same_list, refill_deque)
    elif isinstance(thing, bytearray):
        yield Snapshot(thing, bytes(thing), bytearray.__eq__, refill_bytes)
    elif isinstance(thing, set):
        yield Snapshot(thing, frozenset(thing), set.__eq__, refill_set)
    elif isinstance(thing, torch.Generator):
        yield Snapshot(thing, thing.get_state(), never_same, torch.Generator.set_state)
    elif isinstance(thing, random.Random):
        yield Snapshot(thing, thing.getstate(), never_same, random.Random.setstate)
    else:
        yield from numpy_snapshots(thing)
    if has_attributes(thing):
        yield from object_snapshots(thing)


def module_snapshots(module: nn.Module) -> Iterator[Snapshot]:
    """Yield a module's class, attributes and tables of parameters, buffers, modules and hooks."""
    if isinstance(module, ScriptModule):
        yield Snapshot(module, script_attributes(module), same_scripted, rewrite_scripted)
        yield table_snapshot(vars(module))
        return
    attributes = vars(module)
    tables = [(table, copy_table(table)) for table in nonempty_tables(attributes)]
    yield Snapshot(module, (type(module), attributes.copy(), tables), same_module, rewrite_module)


def nonempty_tables(attributes: ObjectTable) -> list[Any]:
    """Return the tables and sets among attributes that are not empty."""
    tables: Any = (value for value in attributes.values() if isinstance(value, (dict, set)))
    return [table for table in tables if (dict.__len__(table) if isinstance(table, dict) else set.__len__(table))]


def copy_table(table: Any) -> Any:
    return dict(builtin_base(table).items(table)) if isinstance(table, dict) else frozenset(table)


def object_snapshots(thing: Any) -> Iterator[Snapshot]:
    """Yield an object's class, attributes and slots."""
    yield Snapshot(thing, type(thing), same_type, set_class)
    attributes = instance_dict(thing)
    if attributes is not None and attributes is not thing:
        yield table_snapshot(attributes)
    slots = slot_descriptors(type(thing))
    if slots:
        yield Snapshot(thing, {slot: slot_value(slot, thing) for slot in slots}, same_slots, refill_slots)


def object_contents(thing: Any) -> Iterable[Any]:
    """Return what an object holds, and the author's classes that it is an instance of."""
    entries: list[Any] = []
    if isinstance(thing, dict):
        entries = list(builtin_base(thing).values(thing)) if len(thing) <= MAX_ENTRIES else []
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        entries = list(thing) if len(thing) <= MAX_ENTRIES else []
    elif isinstance(thing, type):
        return vars(thing).values()
    elif isinstance(thing, MethodType):
        return (thing.__self__,)
    elif isinstance(thing, functools.partial):
        return (thing.func, *thing.args, *thing.keywords.values())
    if type(thing) in BUILTIN_CONTAINERS:
        return entries
    if isinstance(thing, nn.Module):
        entries += module_attachments(thing)
        if type(thing).__module__.startswith(("torch.nn.", "torch.fx.")):  # its class holds nothing of an author's
            return entries
    elif has_attributes(thing):
        entries += (instance_dict(thing) or {}).values()
        entries += [slot_value(slot, thing) for slot in slot_descriptors(type(thing))]
    elif not entries:
        return ()
    return [*entries, *filter(is_user_class, type(thing).__mro__)]


def module_attachments(module: nn.Module) -> Iterator[Any]:
    """Yield the submodules of a module, its hooks, and the attributes that its author has set."""
    for name, value in vars(module).items():
        if name not in MODULE_ATTRIBUTES:
            yield value
        elif name not in ("_parameters", "_buffers") and isinstance(value, dict):
            yield from builtin_base(value).values(value)


# ------------------------------------------------------------ attributes
def has_attributes(thing: Any) -> bool:
    """Return whether it is an object with writable attributes, of an author's class or of a class that holds data."""
    if type(thing) in BUILTIN_CONTAINERS or isinstance(
        thing, (nn.Module, type, FunctionType, MethodType, torch.Tensor)
    ):
        return False
    kind = type(thing)
    return isinstance(thing, DATA_CLASSES) or is_user_class(kind) or kind.__module__.startswith(TORCH_STATE_PACKAGES)


def is_user_class(cls: type) -> bool:
    """Return whether a class belongs neither to torch nor to Python. A class that is made at run time gets the name of
    the module that makes it, but is not found there: such a class is the author's."""
    package = cls.__module__.partition(".")[0]
    if package in ("torch", "numpy", "archscope", "builtins"):
        return False
    return package not in sys.stdlib_module_names or not is_importable(cls)


def is_importable(cls: type) -> bool:
    """Return whether a class is found in its module under its name."""
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls


def instance_dict(thing: Any) -> ObjectTable | None:
    """Return the `__dict__` of an object, whatever its class defines."""
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def slot_descriptors(kind: type) -> list[MemberDescriptorType]:
    """Return the slots of a class and its bases, without those of Python's own classes."""
    bases = [cls for cls in kind.__mro__ if cls.__module__ != "builtins"]
    return [slot for cls in bases for slot in vars(cls).values() if isinstance(slot, MemberDescriptorType)]


EMPTY_SLOT = object()
"""The value of an empty slot."""


def slot_value(slot: MemberDescriptorType, thing: Any) -> Any:
    try:
        return slot.__get__(thing, type(thing))
    except AttributeError:
        return EMPTY_SLOT


def numpy_snapshots(thing: Any) -> Iterator[Snapshot]:
    """Yield an array by its elements, a generator by its state, if numpy is imported."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(thing, numpy.ndarray):
        yield Snapshot(thing, thing.copy(), numpy.array_equal, numpy.copyto)
    elif isinstance(thing, numpy.random.RandomState):
        yield Snapshot(thing, thing.get_state(), never_same, numpy.random.RandomState.set_state)
    elif isinstance(thing, numpy.random.Generator):
        bits = thing.bit_generator
        yield Snapshot(bits, bits.state, never_same, lambda bits, state: setattr(bits, "state", state))


# ------------------------------------------------------------ comparison
def never_same(_thing: Any, _before: Any) -> bool:
    return False


def same_list(items: Any, before: Any) -> bool:
    kind = list if isinstance(items, list) else deque
    return kind.__len__(items) == len(before) and all(map(is_, kind.__iter__(items), before))


def same_table(table: ObjectTable, before: ObjectTable) -> bool:
    kind = builtin_base(table)
    values = kind.values(table)
    same_values = len(values) == len(before) and all(map(is_, values, before.values()))
    return same_values and list(kind.keys(table)) == list(before)


def same_module(module: nn.Module, before: tuple[type, ObjectTable, list[tuple[Any, Any]]]) -> bool:
    """Return whether class, attributes and tables are as before; tables that were empty are not compared."""
    kind, attributes, tables = before
    now = vars(module)
    if type(module) is not kind or not same_table(now, attributes):
        return False
    found = nonempty_tables(now)
    return len(found) == len(tables) and all(
        table is original and (set.__eq__(table, copy) if isinstance(table, set) else same_table(table, copy))
        for table, (original, copy) in zip(found, tables, strict=True)
    )


def same_slots(thing: Any, before: ObjectTable) -> bool:
    return all(slot_value(slot, thing) is value for slot, value in before.items())


def same_type(thing: Any, cls: type) -> bool:
    return type(thing) is cls


def same_class(cls: type, before: ObjectTable) -> bool:
    return same_table(dict(vars(cls)), before)


# ------------------------------------------------------------ restoring
def builtin_base(table: ObjectTable) -> Any:
    """Return Python's base class of a mapping."""
    return OrderedDict if isinstance(table, OrderedDict) else dict


def table_snapshot(table: ObjectTable) -> Snapshot:
    return Snapshot(table, copy_table(table), same_table, refill_table)


def refill_table(table: ObjectTable, before: ObjectTable) -> None:
    kind = builtin_base(table)
    kind.clear(table)
    for key, value in before.items():
        kind.__setitem__(table, key, value)


def set_class(thing: Any, cls: type) -> None:
    object.__setattr__(thing, "__class__", cls)


def rewrite_module(module: nn.Module, before: tuple[type, ObjectTable, list[tuple[Any, Any]]]) -> None:
    kind, attributes, tables = before
    set_class(module, kind)
    refill_table(vars(module), attributes)
    for table in attributes.values():
        if isinstance(table, dict):
            refill_table(table, {})
        elif isinstance(table, set):
            refill_set(table, frozenset())
    for table, copy in tables:
        (refill_set if isinstance(table, set) else refill_table)(table, copy)


def refill_list(items: list[Any], before: list[Any]) -> None:
    list.__setitem__(items, slice(None), before)


def refill_deque(items: deque[Any], before: deque[Any]) -> None:
    deque.clear(items)
    deque.extend(items, before)


def refill_bytes(items: bytearray, before: bytes) -> None:
    items[:] = before


def refill_set(items: set[Any], before: frozenset[Any]) -> None:
    set.clear(items)
    set.update(items, before)


def refill_slots(thing: Any, before: ObjectTable) -> None:
    for slot, value in before.items():
        if slot_value(slot, thing) is value:
            continue
        if value is EMPTY_SLOT:
            slot.__delete__(thing)
        else:
            slot.__set__(thing, value)


def rewrite_class(cls: type, before: ObjectTable) -> None:
    now = dict(vars(cls))
    for name in now.keys() - before.keys():
        delattr(cls, name)
    for name, value in before.items():
        if now.get(name, now) is not value:
            setattr(cls, name, value)


# ------------------------------------------------------------ scripted modules
def script_attributes(module: ScriptModule) -> ObjectTable:
    """Return the attributes that a scripted module keeps in C++, without its tensors."""
    kinds = module._concrete_type.get_attributes() if "_concrete_type" in vars(module) else ()
    values = {name: module._c.getattr(name) for name in kinds if module._c.hasattr(name)}
    return {name: value for name, value in values.items() if not isinstance(value, torch.Tensor)}


def same_scripted(module: ScriptModule, before: ObjectTable) -> bool:
    """Return whether numbers and strings are equal; other values come out of C++ as copies, and count as changed."""
    now = script_attributes(module)
    return all(isinstance(value, ATOMIC_TYPES) and now.get(name) == value for name, value in before.items())


def rewrite_scripted(module: ScriptModule, before: ObjectTable) -> None:
    for name, value in before.items():
        module._c.setattr(name, value)
