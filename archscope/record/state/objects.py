"""The state of a model beside its tensors: attributes, containers, helper objects, generators, class attributes.

roots → everything reachable from them → Snapshots (an object, its state, how to restore it) → restore

All of it is copied before the run; a module that the run finds later, before it runs or is changed. Variables in the
closures of functions are not restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_hooks
from torch.utils.hooks import RemovableHandle

from archscope.record.state.object_snapshots import ATOMIC_TYPES, ObjectTable, Snapshot, object_contents, take_snapshots
from archscope.record.state.restore_steps import RestoreStep, run_steps

HOOK_ATTRIBUTES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict) and "hook" in name)
"""The tables of a module that hold its hooks, by ids that only increase."""

MUTATING_METHODS = ("__setattr__", "__delattr__", "register_buffer", "register_parameter", "add_module")
"""Methods that change a module."""


class ObjectState:
    """The state of modules and other objects, with all that they hold. `restore_steps` restores what has changed.

    extra_modules: modules that were found but not passed. tensors: those that were found in attributes and containers.
    """

    def __init__(self, things: Iterable[Any]):
        self.extra_modules: list[nn.Module] = []
        self.tensors: list[torch.Tensor] = []
        self._snapshots: list[Snapshot] = []
        self._visited: dict[int, Any] = {}
        self.take_snapshots(*things)

    def take_snapshots(self, *things: Any) -> None:
        """Take snapshots of these objects as they are now; of known objects the first snapshot counts."""
        pending = list(things)
        while pending:
            thing = pending.pop()
            if isinstance(thing, ATOMIC_TYPES) or id(thing) in self._visited:
                continue
            self._visited[id(thing)] = thing
            self._snapshots.extend(take_snapshots(thing))
            for entry in object_contents(thing):
                if isinstance(entry, torch.Tensor):
                    self.tensors.append(entry)
                elif not isinstance(entry, ATOMIC_TYPES) and id(entry) not in self._visited:
                    pending.append(entry)
                    if isinstance(entry, nn.Module):
                        self.extra_modules.append(entry)

    def restore_steps(self) -> Iterator[RestoreStep]:
        """Yield steps that restore everything, the last snapshot first."""
        return ((restore_snapshot, snapshot) for snapshot in reversed(self._snapshots))


def restore_snapshot(
    thing: Any, before: Any, is_same: Callable[[Any, Any], bool], restore: Callable[[Any, Any], object]
) -> None:
    """Restore an object if it has changed."""
    if not is_same(thing, before):
        restore(thing, before)


@contextmanager
def preserved_objects(modules: Iterable[nn.Module], things: Iterable[Any] = ()) -> Iterator[ObjectState]:
    """Inside, a model may change; afterwards its modules and other objects are as before, and added hooks are
    removed."""
    modules = list(modules)
    state = ObjectState([*modules, *things, *global_hook_tables()])
    first = RemovableHandle.next_id
    try:
        yield state
    finally:
        run_steps([*state.restore_steps(), (remove_new_hooks, ([*modules, *state.extra_modules], first))])


@contextmanager
def module_changes_watched(state: ObjectState) -> Iterator[None]:
    """Inside, a snapshot of a module is taken before it is changed, and of hooks before one is removed."""
    with ExitStack() as stack:
        for name in MUTATING_METHODS:
            stack.enter_context(calls_intercepted(nn.Module, name, lambda module, *_: state.take_snapshots(module)))
        stack.enter_context(
            calls_intercepted(
                RemovableHandle, "remove", lambda handle, *_: state.take_snapshots(*hook_tables_of(handle))
            )
        )
        yield


@contextmanager
def calls_intercepted(owner: Any, name: str, before: Callable[..., object]) -> Iterator[None]:
    """Inside, `before` is called with the arguments of each call of a method or function in this thread."""
    original, own, thread = getattr(owner, name), name in vars(owner), get_ident()

    def method(*args: Any, **kwargs: Any) -> Any:
        if get_ident() == thread:
            before(*args)
        return original(*args, **kwargs)

    setattr(owner, name, method)
    try:
        yield
    finally:
        setattr(owner, name, original)
        if not own:
            delattr(owner, name)


def hook_tables_of(handle: RemovableHandle) -> list[ObjectTable]:
    """Return the tables that hold a hook."""
    found = [reference() for reference in (handle.hooks_dict_ref, *handle.extra_dict_ref)]
    return [table for table in found if table is not None]


def global_hook_tables() -> list[ObjectTable]:
    """Return the tables of hooks for all modules."""
    found = [value for name, value in vars(module_hooks).items() if name.startswith("_global_") and "hook" in name]
    return [table for table in found if isinstance(table, dict)]


def remove_new_hooks(modules: Iterable[nn.Module], first: int) -> None:
    """Remove the hooks that were added since `first` was the next hook's id."""
    if RemovableHandle.next_id == first:
        return
    tables: list[Any] = list(global_hook_tables())
    for module in modules:
        tables += [vars(module)[name] for name in HOOK_ATTRIBUTES if name in vars(module)]
        tables += [tensor._backward_hooks for tensor in module._parameters.values() if tensor is not None]
    for table in filter(None, tables):
        for number in [number for number in table if isinstance(number, int) and number >= first]:
            del table[number]
