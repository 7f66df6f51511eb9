"""Code that asks torch whether a function is overridden is answered as where nobody looks on.

has_torch_function(tensors), asked by an author ─→ our modes step aside ─→ what torch says without them

torch's own functions ask as well, and are seen by what they are told; the names that they ask by stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from types import FunctionType, ModuleType
from typing import Any

import torch
import torch.export
import torch.nn.functional
from torch.distributions import Distribution
from torch.jit import _builtins
from torch.overrides import TorchFunctionMode

OverrideQuery = Callable[..., Any]
Namespace = dict[str, Any]
"""What a module's code knows by name."""

QUERY_NAMES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")

GRAPH_MAKERS: tuple[tuple[Any, str], ...] = (
    (torch.jit, "trace"),
    (torch.jit, "trace_module"),
    (torch.export, "export"),
)
"""What makes a graph of a module."""

DISTRIBUTION_CHECKS: tuple[tuple[Any, str], ...] = ((Distribution, "__init__"), (Distribution, "_validate_sample"))
"""How a distribution checks its own arguments."""

LIBRARY_PACKAGES = frozenset([*sys.stdlib_module_names, "torch", "numpy", "sympy", "archscope"])
"""Packages in which no author's code lies."""

mode_stack_height: Callable[[], int] = torch._C._len_torch_function_stack
mode_at: Callable[[int], Any] = torch._C._get_function_stack_at
pop_mode: Callable[[], Any] = torch._C._pop_torch_function_stack
push_mode: Callable[[Any], None] = torch._C._push_on_torch_function_stack


class FunctionMode(TorchFunctionMode):
    """A mode of ours: it sees every function, and no function shall notice."""


@contextmanager
def override_queries_patched(
    spaces: Sequence[Namespace] = (), *, before: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Inside, an author's code learns nothing of a FunctionMode when it asks whether a function is overridden, and none
    sees how a graph is made of a module, or how a distribution checks its arguments, which is no work of the model's.

    spaces: the names of code that may lie in no module. before: is called before a graph is made.
    """
    questions: list[OverrideQuery] = [getattr(torch._C, f"_{name}") for name in QUERY_NAMES]
    answers = [patch_query(question) for question in questions]
    asked = dict(zip(map(id, questions), answers, strict=True))
    plain = dict(zip(map(id, answers), questions, strict=True))
    with ExitStack() as stack:
        for name, answer in zip(QUERY_NAMES, answers, strict=True):
            stack.enter_context(patched_attribute(torch._C, f"_{name}", answer))
            stack.enter_context(patched_attribute(torch.overrides, name, answer))
        stack.enter_context(patched_for_outsiders(torch.nn.functional, dict(zip(QUERY_NAMES, answers, strict=True))))
        stack.enter_context(scripting_allowed(answers))
        for owner, name in GRAPH_MAKERS:
            for make in unwrap_chain(getattr(owner, name)):
                asked[id(make)] = made = without_modes(make, before)
                plain[id(made)] = make
            stack.enter_context(patched_attribute(owner, name, asked[id(getattr(owner, name))]))
        stack.enter_context(fast_path_disabled())
        for owner, name in DISTRIBUTION_CHECKS:
            stack.enter_context(patched_attribute(owner, name, without_modes(getattr(owner, name), lambda: None)))
        replace_in_namespaces(asked, spaces)
        stack.callback(replace_in_namespaces, plain, spaces)
        yield


def unwrap_chain(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """A function, and those that it wraps: torch._dynamo wraps torch.jit.trace when it is imported, and whoever has
    imported that by name before has the inner one."""
    found: Callable[..., Any] | None = make
    while found is not None:
        yield found
        found = getattr(found, "__wrapped__", None)


def patch_query(question: OverrideQuery) -> OverrideQuery:
    """The question; an author's code is answered without the Watchers that are nearest to it.

    Functions of torch's that hand themselves over by the answer are answered as they are everywhere; those that
    `wrap_torch_function` has made are an author's.
    """

    def answer(*args: Any) -> Any:
        asking = str(sys._getframe(1).f_globals.get("__name__"))
        if asking.partition(".")[0] == "torch" and asking != torch.overrides.__name__:
            return question(*args)
        with modes_set_aside():
            return question(*args)

    return answer


def without_modes(make: Callable[..., Any], before: Callable[[], object]) -> Callable[..., Any]:
    """A function that no FunctionMode looks into. What makes a graph runs the module, on tensors without values or more
    than once."""

    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        with modes_set_aside():
            before()
            return make(*args, **kwargs)

    return made


@contextmanager
def modes_set_aside() -> Iterator[None]:
    """Inside, the Watchers that are nearest see nothing."""
    watchers = []
    while (top := mode_stack_height()) and isinstance(mode_at(top - 1), FunctionMode):
        watchers.append(pop_mode())
    try:
        yield
    finally:
        for watcher in reversed(watchers):
            push_mode(watcher)


@contextmanager
def patched_attribute(owner: Any, name: str, value: object) -> Iterator[None]:
    """Inside, an attribute has this value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def patched_for_outsiders(module: ModuleType, names: Mapping[str, object]) -> Iterator[None]:
    """Inside, who looks into a module from without finds these; its own functions know what they knew."""
    plain = type(module)
    found = {name: property(lambda _, value=value: value) for name, value in names.items()}  # type: ignore[misc]
    module.__class__ = type(plain.__name__, (plain,), found)
    try:
        yield
    finally:
        module.__class__ = plain


@contextmanager
def scripting_allowed(answers: Iterable[OverrideQuery]) -> Iterator[None]:
    """Inside, a function that asks can be scripted as before."""
    table = _builtins._get_builtin_table()
    entries = {id(answer): "aten::has_torch_function" for answer in answers}
    table.update(entries)
    try:
        yield
    finally:
        for key in entries:
            del table[key]


@contextmanager
def fast_path_disabled() -> Iterator[None]:
    """Inside, torch's encoder layers and attention do not run as one kernel, which would show nothing of them: they ask
    as well, and would take that way where nobody looks on."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def replace_in_namespaces(things: Mapping[int, OverrideQuery], spaces: Sequence[Namespace]) -> None:
    """Puts one thing for another wherever an author's name stands for it."""
    for space in [*user_namespaces(), *spaces]:
        if not things.keys().isdisjoint(map(id, space.values())):
            for name, value in list(space.items()):
                space[name] = things.get(id(value), value)


def user_namespaces() -> Iterator[Namespace]:
    """The names of every module that is neither torch's nor Python's."""
    for name, module in list(sys.modules.items()):
        if not lies_apart(name) and isinstance(module, ModuleType):
            yield module.__dict__


@cache
def lies_apart(module: str) -> bool:
    """Whether no author's code lies in a module; thousands are asked about twice in every run."""
    return module.partition(".")[0] in LIBRARY_PACKAGES


def namespaces_of(classes: Iterable[type]) -> list[Namespace]:
    """The names that the functions of classes know, wherever they were made."""
    functions = (vars(kind).get("forward") for cls in classes for kind in cls.__mro__)
    found = {id(f.__globals__): f.__globals__ for f in functions if isinstance(f, FunctionType)}
    return [space for space in found.values() if str(space.get("__name__")).partition(".")[0] not in LIBRARY_PACKAGES]
