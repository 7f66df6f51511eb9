"""What a run must not change: taken before, given back after, also when the run raises.

kept_state (the process) ⊃ kept_module (flags, what hangs on the model) ⊃ Originals (tensors: see `originals`)
"""

from __future__ import annotations

import gc
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn, overrides
from torch.autograd import forward_ad
from torch.backends import opt_einsum
from torch.utils import _python_dispatch as dispatch

from archscope import backends
from archscope.backends import Pair, settings
from archscope.record.belongings import Belongings, kept_belongings, noticed, watched
from archscope.record.restoring import every

saved: Any = torch._C._autograd
"""Where torch keeps the hooks of what autograd saves, as a stack of pairs."""


def attribute(owner: Any, name: str) -> Pair:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(before)  # type: ignore[attr-defined]  # its stub says that it cannot grow


def graph_hooks_refused() -> str | None:
    """The message with which torch refuses hooks of saved tensors, where it does."""
    return saved._saved_tensors_hooks_get_disabled_error_message()


def refuse_graph_hooks(message: str | None) -> None:
    if message is None:
        saved._saved_tensors_hooks_enable()
    else:
        saved._saved_tensors_hooks_disable(message)


SETTINGS: tuple[Pair, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.autograd.is_multithreading_enabled, torch.autograd.set_multithreading_enabled),
    attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    attribute(torch.backends.quantized, "engine"),
    attribute(torch.backends.mkldnn, "enabled"),
    attribute(opt_einsum, "enabled"),
    (torch.__future__.get_swap_module_params_on_conversion, torch.__future__.set_swap_module_params_on_conversion),
    (
        torch.__future__.get_overwrite_module_params_on_conversion,
        torch.__future__.set_overwrite_module_params_on_conversion,
    ),
    (torch.is_warn_always_enabled, torch.set_warn_always),
    (lambda: vars(torch._tensor_str.PRINT_OPTS).copy(), vars(torch._tensor_str.PRINT_OPTS).update),
    (graph_hooks_refused, refuse_graph_hooks),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    *settings(),
    (gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
    (lambda: warnings.filters[:], set_filters),
)
"""What is read and set by a pair of functions."""

alone = threading.RLock()
"""Held while an analysis lasts: what it takes and gives back is the whole process's, so there is one at a time."""

local = torch._GLOBAL_DEVICE_CONTEXT
"""Where torch keeps its default device, which is a mode that lies below all others."""


def random_states() -> list[Pair]:
    """The generators of this process: of every device that is in use, and numpy's where somebody imported it."""
    pairs: list[Pair] = [*backends.random_states(), (random.getstate, random.setstate)]
    drawn = sys.modules.get("numpy.random")  # numpy imports it when it is first used
    if drawn is not None:
        pairs.append((drawn.get_state, drawn.set_state))
    return pairs


def autocast(device: str) -> tuple[Pair, ...]:
    return (
        (lambda: torch.is_autocast_enabled(device), lambda value: torch.set_autocast_enabled(device, value)),
        (lambda: torch.get_autocast_dtype(device), lambda value: torch.set_autocast_dtype(device, value)),
    )


@contextmanager
def kept_state(*, grad: bool) -> Iterator[None]:
    """Gradients on or off inside; modes, settings and random states as before afterwards.

    What was young before is made older, so that what a run makes can be told from it.
    """
    with resting(), kept_settings(), kept_modes(), left(), torch.set_grad_enabled(grad), uncompiled():
        gc.collect(0)
        yield


@contextmanager
def kept_settings() -> Iterator[None]:
    """The process's settings and random states."""
    pairs = (*SETTINGS, *(pair for kind in backends.KINDS if kind != "meta" for pair in autocast(kind)))
    settings = [(take, give_back, take()) for take, give_back in pairs]
    states = [(give_back, take()) for take, give_back in random_states()]
    try:
        yield
    finally:
        every([(reset, pair) for pair in settings] + [(give_back, (state,)) for give_back, state in states])


def reset(take: Callable[[], Any], give_back: Callable[[Any], object], value: Any) -> None:
    if take() != value:
        give_back(value)


@contextmanager
def kept_modes() -> Iterator[None]:
    """Modes that the run went into and never left are left, among them a default device; autocast is not nested deeper.

    Weights that autocast has cast meanwhile, without gradients, are forgotten: its user's own casts need them.
    """
    functions, device = overrides._get_current_function_mode_stack(), dict(vars(local))
    kernels = len(dispatch._get_current_dispatch_mode_stack())
    depth = nesting()
    try:
        yield
    finally:
        while len(dispatch._get_current_dispatch_mode_stack()) > kernels:
            dispatch._pop_mode()
        if overrides._get_current_function_mode_stack() != functions:
            while overrides._get_current_function_mode_stack():
                overrides._pop_mode()
            for mode in functions:
                overrides._push_mode(mode)
        vars(local).clear()
        vars(local).update(device)
        while nesting() > depth:
            torch.autocast_decrement_nesting()
        if depth:
            torch.clear_autocast_cache()


@contextmanager
def left() -> Iterator[None]:
    """What the run went into and never left is left: hooks of saved tensors, forward derivatives, inference mode."""
    hooks, level = popped(), forward_ad._current_level
    restacked(hooks)
    entered: list[Any] = []
    try:
        with noticed(torch.inference_mode, "__enter__", entered.append):
            yield
    finally:
        every([(restacked, (hooks,)), (leave_levels, (level,)), *((leave_inference, (one,)) for one in entered[::-1])])


def popped() -> list[tuple[Any, Any]]:
    """The hooks of saved tensors, taken off their stack, the lowest first."""
    found = []
    while (top := saved._top_saved_tensors_default_hooks(True)) is not None:
        found.append(top)
        saved._pop_saved_tensors_default_hooks()
    return found[::-1]


def restacked(hooks: list[tuple[Any, Any]]) -> None:
    popped()
    for pack, unpack in hooks:
        saved._push_saved_tensors_default_hooks(pack, unpack)


def leave_levels(level: int) -> None:
    while forward_ad._current_level > level:
        forward_ad.exit_dual_level()


def leave_inference(mode: Any) -> None:
    """A context that was left already is left a second time, which does nothing."""
    mode._inference_mode_context.__exit__(None, None, None)


def nesting() -> int:
    """How deep autocast is nested."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


@contextmanager
def resting() -> Iterator[None]:
    """Python's cycle collector rests: it would go through all of torch again and again for rows without cycles.

    Another thread's analysis waits until this one is over.
    """
    with alone:
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            (gc.enable if collecting else gc.disable)()


@contextmanager
def uncompiled() -> Iterator[None]:
    """What torch.compile made, or is asked for, runs as its author wrote it: a compiled region shows no functions.

    The compiler's own switch is in a part of torch that takes a second to import, so it is used where that is loaded.
    """
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    plain = torch.compile
    torch.compile = as_written
    try:
        yield
    finally:
        torch.compile = plain


def as_written(model: Any = None, **_options: Any) -> Any:
    """torch.compile that leaves everything as it is, also as a decorator with options."""
    return as_written if model is None else model


@contextmanager
def kept_module(
    model: nn.Module, modules: Iterable[tuple[str, nn.Module]], *, train: bool, given: Iterable[Any] = ()
) -> Iterator[Belongings]:
    """The model in training or evaluation mode; one that is in it already keeps what its author froze.

    Training flags, attributes, hooks, and what containers and helpers among them and in the `given` arguments hold are
    as before afterwards.
    """
    parts = [module for _, module in modules]
    flags = [(module, module.training) for module in parts if has_modes(module)]
    with kept_belongings(parts, given) as kept:
        try:
            if has_modes(model) and model.training != train:
                set_mode(model, parts, train=train)
            with watched(kept):
                yield kept
        finally:
            turn(flags)


def has_modes(module: nn.Module) -> bool:
    """Whether it has a training flag: a frozen scripted module has none."""
    return "training" in vars(module) or hasattr(module, "training")


def set_mode(model: nn.Module, parts: Iterable[nn.Module], *, train: bool) -> None:
    """As its author does it; an exported program has no modes and refuses, a module that holds itself finds no end."""
    try:
        model.train(train)
    except (NotImplementedError, RecursionError):
        turn((module, train) for module in parts if has_modes(module))


def turn(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    every((put, flag) for flag in flags)


def put(module: nn.Module, training: bool) -> None:
    if module.training != training:
        module.training = training
