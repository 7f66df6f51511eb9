"""What hangs on a model beside its tensors: attributes, tables, containers, helpers, generators, counters of classes.

roots → walk over all that they hold → Keepsakes (a thing, what it was, how it becomes that again) → give_back

An author's modules are copied before the run. Torch's own are thousands, and hold numbers: one of them is copied when
somebody is about to change it. What the variables of functions hold is not the model's, and stays as a run leaves it.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import is_
from threading import get_ident
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules import module as everywhere
from torch.utils.hooks import RemovableHandle

HOOKS = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict) and "hook" in name)
"""The tables of a module in which hooks stand, by numbers that only grow."""

CHANGES = ("__setattr__", "__delattr__", "register_buffer", "register_parameter", "add_module")
"""What changes a module."""

PLAIN = (int, float, str, bool, type(None), bytes, complex, torch.Tensor, ModuleType, torch.dtype, torch.device)
"""What holds nothing that a run could change, or what somebody else looks after."""

LONGEST = 10_000
"""How many entries a container may have whose entries are gone through; a longer one is only copied itself."""

Table = dict[Any, Any]


Scripted = torch.jit._script.RecursiveScriptModule


class Keepsake(NamedTuple):
    """A thing, what it was before, whether it still is that, and how it becomes that again."""

    thing: Any
    before: Any
    same: Callable[[Any, Any], bool]
    give_back: Callable[[Any, Any], object]


class Belongings:
    """What modules and other things hold, however deep. `give_back` makes it that again, where it has changed.

    layers: torch's own that were met.
    """

    def __init__(self, things: Iterable[Any]):
        self.layers: list[nn.Module] = []
        self._kept: list[Keepsake] = []
        self._met: dict[int, Any] = {}
        self.keep(*things)

    def keep(self, *things: Any) -> None:
        """Also these, as they are now; what is known already stays as it was then."""
        ahead = list(things)
        while ahead:
            thing = ahead.pop()
            if isinstance(thing, PLAIN) or id(thing) in self._met:
                continue
            self._met[id(thing)] = thing
            self._kept.extend(keepsakes(thing))
            below = [entry for entry in inside(thing) if not isinstance(entry, PLAIN)]
            self.layers += filter(is_torchs, below)
            ahead.extend(entry for entry in below if not is_torchs(entry))

    def tensors(self) -> Iterator[torch.Tensor]:
        """Those that were met: in an author's attributes and containers."""
        found = (entry for thing in self._met.values() for entry in inside(thing))
        return (entry for entry in found if isinstance(entry, torch.Tensor))

    def give_back(self) -> None:
        for thing, before, is_same, give_back in reversed(self._kept):
            if not is_same(thing, before):
                give_back(thing, before)


@contextmanager
def kept_belongings(modules: Iterable[nn.Module], things: Iterable[Any] = ()) -> Iterator[Belongings]:
    """What a model's modules and other things hold is as before afterwards, and no hook is left that was added.

    Of torch's own layers, what changes while they are `watched`.
    """
    modules = list(modules)
    kept = Belongings([*(module for module in modules if not is_torchs(module)), *things])
    first = RemovableHandle.next_id
    try:
        yield kept
    finally:
        kept.give_back()
        unhook([*modules, *kept.layers], first)


@contextmanager
def watched(kept: Belongings) -> Iterator[None]:
    """Inside, whatever changes a module or takes a hook away has it kept before."""
    with ExitStack() as stack:
        for name in CHANGES:
            stack.enter_context(noticed(nn.Module, name, lambda module: kept.keep(module)))
        stack.enter_context(noticed(RemovableHandle, "remove", lambda handle: kept.keep(*tables_of(handle))))
        yield


@contextmanager
def noticed(owner: type, name: str, notice: Callable[[Any], object]) -> Iterator[None]:
    """Inside, a method tells of the object that it is going to change; what other threads change is theirs."""
    plain, thread = getattr(owner, name), get_ident()

    def method(thing: Any, *args: Any, **kwargs: Any) -> Any:
        if get_ident() == thread:
            notice(thing)
        return plain(thing, *args, **kwargs)

    setattr(owner, name, method)
    try:
        yield
    finally:
        setattr(owner, name, plain)


def tables_of(handle: RemovableHandle) -> list[Table]:
    """The tables in which a hook stands."""
    found = [reference() for reference in (handle.hooks_dict_ref, *handle.extra_dict_ref)]
    return [table for table in found if table is not None]


def unhook(modules: Iterable[nn.Module], first: int) -> None:
    """Takes away the hooks that were added since `first` was the next hook's number."""
    if RemovableHandle.next_id == first:
        return
    tables = [value for name, value in vars(everywhere).items() if name.startswith("_global_") and "hook" in name]
    for module in modules:
        tables += [vars(module)[name] for name in HOOKS if name in vars(module)]
        tables += [tensor._backward_hooks for tensor in module._parameters.values() if tensor is not None]
    for table in filter(None, tables):
        for number in [number for number in table if isinstance(number, int) and number >= first]:
            del table[number]


def is_torchs(thing: Any) -> bool:
    """Whether it is one of torch's own layers or containers, or code that torch has generated."""
    return isinstance(thing, nn.Module) and type(thing).__module__.startswith(("torch.nn.", "torch.fx."))


# ------------------------------------------------------------ what a thing was
def keepsakes(thing: Any) -> Iterator[Keepsake]:
    """What is kept of one thing."""
    if isinstance(thing, dict):
        yield Keepsake(thing, dict(thing), same_table, refill_table)
    elif isinstance(thing, (list, deque)):
        yield Keepsake(thing, list(thing), same, refill)
    elif isinstance(thing, bytearray):
        yield Keepsake(thing, bytes(thing), bytearray.__eq__, refill)
    elif isinstance(thing, set):
        yield Keepsake(thing, frozenset(thing), set.__eq__, refill_set)
    elif isinstance(thing, torch.Generator):
        yield Keepsake(thing, thing.get_state(), never, torch.Generator.set_state)
    elif isinstance(thing, random.Random):
        yield Keepsake(thing, thing.getstate(), never, random.Random.setstate)
    elif isinstance(thing, Scripted):
        yield Keepsake(thing, scripted(thing), same_scripted, rewrite_scripted)
        yield Keepsake(vars(thing), vars(thing).copy(), same_table, refill_table)
    elif isinstance(thing, nn.Module):
        yield Keepsake(thing, type(thing), is_a, turn_into)
        for table in (vars(thing), *(value for value in vars(thing).values() if isinstance(value, dict))):
            yield Keepsake(table, table.copy(), same_table, refill_table)
    elif isinstance(thing, type):
        yield Keepsake(thing, dict(vars(thing)), same_class, rewrite_class)
    else:
        yield from of_numpy(thing)
        if has_attributes(thing):
            yield Keepsake(vars(thing), vars(thing).copy(), same_table, refill_table)


def inside(thing: Any) -> Iterable[Any]:
    """What a thing holds, and the author's classes that it is an instance of."""
    if isinstance(thing, dict):
        entries = list(thing.values()) if len(thing) <= LONGEST else []
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        entries = list(thing) if len(thing) <= LONGEST else []
    elif isinstance(thing, type):
        return vars(thing).values()
    elif is_torchs(thing):
        return ()
    elif isinstance(thing, nn.Module) or has_attributes(thing):
        entries = list(vars(thing).values())
    else:
        return ()
    return [*entries, *filter(is_authors, type(thing).__mro__)]


def has_attributes(thing: Any) -> bool:
    """Whether it is a helper of somebody's own class: its attributes may be written."""
    own = isinstance(thing, SimpleNamespace) or is_authors(type(thing))
    return own and not isinstance(thing, nn.Module) and isinstance(getattr(thing, "__dict__", None), dict)


def is_authors(cls: type) -> bool:
    """Whether a class is neither torch's nor Python's."""
    package = cls.__module__.partition(".")[0]
    return package not in sys.stdlib_module_names and package not in ("torch", "numpy", "archscope")


def of_numpy(thing: Any) -> Iterator[Keepsake]:
    """An array by its elements, a generator by its state, where somebody imported numpy."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    if isinstance(thing, numpy.ndarray):
        yield Keepsake(thing, thing.copy(), numpy.array_equal, numpy.copyto)
    elif isinstance(thing, numpy.random.RandomState):
        yield Keepsake(thing, thing.get_state(), never, numpy.random.RandomState.set_state)
    elif isinstance(thing, numpy.random.Generator):
        bits = thing.bit_generator
        yield Keepsake(bits, bits.state, never, lambda bits, state: setattr(bits, "state", state))


# ------------------------------------------------------------ whether it still is that
def never(_thing: Any, _before: Any) -> bool:
    return False


def same(first: Any, second: Any) -> bool:
    """Whether these hold the same objects, one by one."""
    return len(first) == len(second) and all(map(is_, first, second))


def same_table(table: Table, before: Table) -> bool:
    return same(table.values(), before.values()) and list(table) == list(before)


def is_a(thing: Any, cls: type) -> bool:
    return type(thing) is cls


def same_class(cls: type, before: Table) -> bool:
    return same_table(dict(vars(cls)), before)


# ------------------------------------------------------------ how it becomes that again
def refill_table(table: Table, before: Table) -> None:
    table.clear()
    table.update(before)


def turn_into(thing: Any, cls: type) -> None:
    object.__setattr__(thing, "__class__", cls)


def refill(items: Any, before: Any) -> None:
    items.clear()
    items.extend(before)


def refill_set(items: set[Any], before: frozenset[Any]) -> None:
    items.clear()
    items.update(before)


def rewrite_class(cls: type, before: Table) -> None:
    now = dict(vars(cls))
    for name in now.keys() - before.keys():
        delattr(cls, name)
    for name, value in before.items():
        if now.get(name, now) is not value:
            setattr(cls, name, value)


# ------------------------------------------------------------ scripted modules
def scripted(module: Scripted) -> Table:
    """The attributes that a scripted module keeps in C++, without its tensors."""
    kinds = module._concrete_type.get_attributes() if "_concrete_type" in vars(module) else ()
    held = {name: module._c.getattr(name) for name in kinds if module._c.hasattr(name)}
    return {name: value for name, value in held.items() if not isinstance(value, torch.Tensor)}


def same_scripted(module: Scripted, before: Table) -> bool:
    """Numbers and words are compared; everything else comes out of C++ as a copy, and counts as changed."""
    now = scripted(module)
    return all(isinstance(value, PLAIN) and now.get(name) == value for name, value in before.items())


def rewrite_scripted(module: Scripted, before: Table) -> None:
    for name, value in before.items():
        module._c.setattr(name, value)
