"""Hides our function modes from code that asks torch whether a function is overridden.

has_torch_function(tensors), called by an author's code ─→ our modes are removed ─→ torch's answer without them

torch's own functions ask too, so that our modes see them, and get the true answer.
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
"""The global names of a module's code."""

QUERY_NAMES = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")

GRAPH_MAKERS: tuple[tuple[Any, str], ...] = (
    (torch.jit, "trace"),
    (torch.jit, "trace_module"),
    (torch.export, "export"),
)
"""Functions that make a graph of a module."""

DISTRIBUTION_CHECKS: tuple[tuple[Any, str], ...] = ((Distribution, "__init__"), (Distribution, "_validate_sample"))
"""Methods with which a distribution checks its own arguments."""

LIBRARY_PACKAGES = frozenset([*sys.stdlib_module_names, "torch", "numpy", "sympy", "archscope"])
"""Packages that contain no author's code."""

mode_stack_height: Callable[[], int] = torch._C._len_torch_function_stack
mode_at: Callable[[int], Any] = torch._C._get_function_stack_at
pop_mode: Callable[[], Any] = torch._C._pop_torch_function_stack
push_mode: Callable[[Any], None] = torch._C._push_on_torch_function_stack


class FunctionMode(TorchFunctionMode):
    """Base class of our function modes, which see every function and must not be noticed."""


@contextmanager
def override_queries_patched(
    namespaces: Sequence[Namespace] = (), *, before: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Inside, an author's code gets answers as without a FunctionMode when it asks whether a function is overridden.

    Our modes also do not see how a graph is made of a module, or how a distribution checks its arguments, since that is
    no work of the model. namespaces: global names of code that may be in no module. before: called before a graph is
    made.
    """
    queries: list[OverrideQuery] = [getattr(torch._C, f"_{name}") for name in QUERY_NAMES]
    patched_queries = [patch_query(query) for query in queries]
    replacements = dict(zip(map(id, queries), patched_queries, strict=True))
    originals = dict(zip(map(id, patched_queries), queries, strict=True))
    with ExitStack() as stack:
        for name, patched in zip(QUERY_NAMES, patched_queries, strict=True):
            stack.enter_context(patched_attribute(torch._C, f"_{name}", patched))
            stack.enter_context(patched_attribute(torch.overrides, name, patched))
        stack.enter_context(
            patched_for_outsiders(torch.nn.functional, dict(zip(QUERY_NAMES, patched_queries, strict=True)))
        )
        stack.enter_context(scripting_allowed(patched_queries))
        for owner, name in GRAPH_MAKERS:
            for make in unwrap_chain(getattr(owner, name)):
                replacements[id(make)] = wrapped = without_modes(make, before)
                originals[id(wrapped)] = make
            stack.enter_context(patched_attribute(owner, name, replacements[id(getattr(owner, name))]))
        stack.enter_context(fast_path_disabled())
        for owner, name in DISTRIBUTION_CHECKS:
            stack.enter_context(patched_attribute(owner, name, without_modes(getattr(owner, name), lambda: None)))
        replace_in_namespaces(replacements, namespaces)
        stack.callback(replace_in_namespaces, originals, namespaces)
        yield


def unwrap_chain(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Yield a function and those that it wraps: torch._dynamo wraps torch.jit.trace when it is imported, and code that
    has imported that by name before has the inner one."""
    found: Callable[..., Any] | None = make
    while found is not None:
        yield found
        found = getattr(found, "__wrapped__", None)


def patch_query(query: OverrideQuery) -> OverrideQuery:
    """Return the query such that an author's code gets the answer without the innermost FunctionModes.

    torch's own functions, which dispatch on the answer, get the true one; those that `wrap_torch_function` has made
    count as an author's.
    """

    def patched(*args: Any) -> Any:
        module = str(sys._getframe(1).f_globals.get("__name__"))
        if module.partition(".")[0] == "torch" and module != torch.overrides.__name__:
            return query(*args)
        with modes_set_aside():
            return query(*args)

    return patched


def without_modes(make: Callable[..., Any], before: Callable[[], object]) -> Callable[..., Any]:
    """Return a function whose calls no FunctionMode sees, since making a graph runs the module on tensors without
    values, or more than once."""

    @wraps(make)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with modes_set_aside():
            before()
            return make(*args, **kwargs)

    return wrapped


@contextmanager
def modes_set_aside() -> Iterator[None]:
    """Inside, the innermost FunctionModes are removed."""
    removed = []
    while (top := mode_stack_height()) and isinstance(mode_at(top - 1), FunctionMode):
        removed.append(pop_mode())
    try:
        yield
    finally:
        for mode in reversed(removed):
            push_mode(mode)


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
    """Inside, other modules find these values as attributes of `module`; its own functions see its own values."""
    original = type(module)
    found = {name: property(lambda _, value=value: value) for name, value in names.items()}  # type: ignore[misc]
    module.__class__ = type(original.__name__, (original,), found)
    try:
        yield
    finally:
        module.__class__ = original


@contextmanager
def scripting_allowed(patched_queries: Iterable[OverrideQuery]) -> Iterator[None]:
    """Inside, a function that calls a patched query can still be scripted."""
    table = _builtins._get_builtin_table()
    entries = {id(query): "aten::has_torch_function" for query in patched_queries}
    table.update(entries)
    try:
        yield
    finally:
        for key in entries:
            del table[key]


@contextmanager
def fast_path_disabled() -> Iterator[None]:
    """Inside, torch's encoder layers and attention do not run as one kernel, which would show nothing of their parts;
    they ask the same queries, and would choose the fused kernel if no mode were visible."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def replace_in_namespaces(replacements: Mapping[int, OverrideQuery], namespaces: Sequence[Namespace]) -> None:
    """Replace functions by id, wherever a name in an author's code refers to them."""
    modules = [module for name, module in list(sys.modules.items()) if not is_library_module(name)]
    for space in [*(vars(module) for module in modules if isinstance(module, ModuleType)), *namespaces]:
        if not replacements.keys().isdisjoint(map(id, space.values())):
            for name, value in list(space.items()):
                space[name] = replacements.get(id(value), value)


@cache
def is_library_module(module: str) -> bool:
    """Return whether a module contains no author's code; cached, since thousands are checked twice in every run."""
    return module.partition(".")[0] in LIBRARY_PACKAGES


def namespaces_of(classes: Iterable[type]) -> list[Namespace]:
    """Return the global names that the `forward` methods of classes use, wherever those were defined."""
    functions = (vars(kind).get("forward") for cls in classes for kind in cls.__mro__)
    found = {id(f.__globals__): f.__globals__ for f in functions if isinstance(f, FunctionType)}
    return [space for space in found.values() if str(space.get("__name__")).partition(".")[0] not in LIBRARY_PACKAGES]
