"""What hangs on a model beside its tensors: attributes, tables, containers, helpers, generators, counters of classes.

roots → walk over all that they hold → Keepsakes (a thing, what it was, how it becomes that again) → give_back

All of it is copied before the run; a module that the run meets, when it is about to run or to be changed. What the
variables of functions hold is not the model's, and stays as a run leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as everywhere
from torch.utils.hooks import RemovableHandle

from archscope.record.restore import RestoreStep, run_steps
from archscope.record.snapshots import ATOMIC_TYPES, ObjectTable, Snapshot, object_contents, take_snapshots

HOOK_ATTRIBUTES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict) and "hook" in name)
"""The tables of a module in which hooks stand, by numbers that only grow."""

MUTATING_METHODS = ("__setattr__", "__delattr__", "register_buffer", "register_parameter", "add_module")
"""What changes a module."""


class ObjectState:
    """What modules and other things hold, however deep. `give_back` makes it that again, where it has changed.

    extra_modules: modules that were met and not given. tensors: those that were met, in attributes and containers.
    """

    def __init__(self, things: Iterable[Any]):
        self.extra_modules: list[nn.Module] = []
        self.tensors: list[torch.Tensor] = []
        self._snapshots: list[Snapshot] = []
        self._visited: dict[int, Any] = {}
        self.take_snapshots(*things)

    def take_snapshots(self, *things: Any) -> None:
        """Also these, as they are now; what is known already stays as it was then."""
        ahead = list(things)
        while ahead:
            thing = ahead.pop()
            if isinstance(thing, ATOMIC_TYPES) or id(thing) in self._visited:
                continue
            self._visited[id(thing)] = thing
            self._snapshots.extend(take_snapshots(thing))
            for entry in object_contents(thing):
                if isinstance(entry, torch.Tensor):
                    self.tensors.append(entry)
                elif not isinstance(entry, ATOMIC_TYPES) and id(entry) not in self._visited:
                    ahead.append(entry)
                    if isinstance(entry, nn.Module):
                        self.extra_modules.append(entry)

    def restore_steps(self) -> Iterator[RestoreStep]:
        """What makes all of it what it was, the last first."""
        return ((restore_snapshot, keepsake) for keepsake in reversed(self._snapshots))


def restore_snapshot(
    thing: Any, before: Any, is_same: Callable[[Any, Any], bool], again: Callable[[Any, Any], object]
) -> None:
    """One keepsake given back, where its thing has changed."""
    if not is_same(thing, before):
        again(thing, before)


@contextmanager
def preserved_objects(modules: Iterable[nn.Module], things: Iterable[Any] = ()) -> Iterator[ObjectState]:
    """What a model's modules and other things hold is as before afterwards, and no hook is left that was added."""
    modules = list(modules)
    kept = ObjectState([*modules, *things, *global_hook_tables()])
    first = RemovableHandle.next_id
    try:
        yield kept
    finally:
        run_steps([*kept.restore_steps(), (remove_new_hooks, ([*modules, *kept.extra_modules], first))])


@contextmanager
def module_changes_watched(kept: ObjectState) -> Iterator[None]:
    """Inside, whatever changes a module or takes a hook away has it kept before."""
    with ExitStack() as stack:
        for name in MUTATING_METHODS:
            stack.enter_context(calls_intercepted(nn.Module, name, lambda module, *_: kept.take_snapshots(module)))
        stack.enter_context(
            calls_intercepted(
                RemovableHandle, "remove", lambda handle, *_: kept.take_snapshots(*hook_tables_of(handle))
            )
        )
        yield


@contextmanager
def calls_intercepted(owner: Any, name: str, notice: Callable[..., object]) -> Iterator[None]:
    """Inside, a method or function tells of what it is going to change; what other threads change is theirs."""
    plain, own, thread = getattr(owner, name), name in vars(owner), get_ident()

    def method(*args: Any, **kwargs: Any) -> Any:
        if get_ident() == thread:
            notice(*args)
        return plain(*args, **kwargs)

    setattr(owner, name, method)
    try:
        yield
    finally:
        setattr(owner, name, plain)
        if not own:
            delattr(owner, name)


def hook_tables_of(handle: RemovableHandle) -> list[ObjectTable]:
    """The tables in which a hook stands."""
    found = [reference() for reference in (handle.hooks_dict_ref, *handle.extra_dict_ref)]
    return [table for table in found if table is not None]


def global_hook_tables() -> list[ObjectTable]:
    """The tables of hooks for all modules."""
    found = [value for name, value in vars(everywhere).items() if name.startswith("_global_") and "hook" in name]
    return [table for table in found if isinstance(table, dict)]


def remove_new_hooks(modules: Iterable[nn.Module], first: int) -> None:
    """Takes away the hooks that were added since `first` was the next hook's number."""
    if RemovableHandle.next_id == first:
        return
    tables: list[Any] = list(global_hook_tables())
    for module in modules:
        tables += [vars(module)[name] for name in HOOK_ATTRIBUTES if name in vars(module)]
        tables += [tensor._backward_hooks for tensor in module._parameters.values() if tensor is not None]
    for table in filter(None, tables):
        for number in [number for number in table if isinstance(number, int) and number >= first]:
            del table[number]
