"""The state that a run must not change: saved before, restored afterwards, also if the run raises.

preserved_state (the process) ⊃ preserved_module (flags, attributes) ⊃ TensorBackup (tensors, in `tensor_backup`)
"""

from __future__ import annotations

import gc
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn, overrides
from torch.autograd import forward_ad
from torch.backends import opt_einsum
from torch.utils import _python_dispatch as dispatch

from archscope import devices
from archscope.devices import GetSetPair, settings
from archscope.gc_pause import gc_paused
from archscope.record.state.objects import ObjectState, calls_intercepted, module_changes_watched, preserved_objects
from archscope.record.state.restore_steps import run_steps

autograd_module: Any = torch._C._autograd
"""Contains torch's stack of hooks for tensors that autograd saves."""


def attribute_accessors(owner: Any, name: str) -> GetSetPair:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def set_warning_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(before)  # type: ignore[attr-defined]  # its stub declares a Sequence


def set_hooks_disabled(message: str | None) -> None:
    """Disable hooks for saved tensors; torch refuses them with this message. Without a message, enable them."""
    if message is None:
        autograd_module._saved_tensors_hooks_enable()
    else:
        autograd_module._saved_tensors_hooks_disable(message)


PROCESS_SETTINGS: tuple[GetSetPair, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.autograd.is_multithreading_enabled, torch.autograd.set_multithreading_enabled),
    attribute_accessors(torch.utils.deterministic, "fill_uninitialized_memory"),
    attribute_accessors(torch.backends.quantized, "engine"),
    attribute_accessors(torch.backends.mkldnn, "enabled"),
    attribute_accessors(opt_einsum, "enabled"),
    (torch.__future__.get_swap_module_params_on_conversion, torch.__future__.set_swap_module_params_on_conversion),
    (
        torch.__future__.get_overwrite_module_params_on_conversion,
        torch.__future__.set_overwrite_module_params_on_conversion,
    ),
    (torch.is_warn_always_enabled, torch.set_warn_always),
    (lambda: vars(torch._tensor_str.PRINT_OPTS).copy(), vars(torch._tensor_str.PRINT_OPTS).update),
    (autograd_module._saved_tensors_hooks_get_disabled_error_message, set_hooks_disabled),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    *settings(),
    (gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
    (lambda: warnings.filters[:], set_warning_filters),
)
"""Getters and setters of the process's settings."""

device_context = torch._GLOBAL_DEVICE_CONTEXT
"""Contains torch's default device, a mode below all others."""


def random_states() -> list[GetSetPair]:
    """Return getters and setters of random states: of every device in use, of Python, and of numpy if it is
    imported."""
    pairs: list[GetSetPair] = [*devices.random_states(), (random.getstate, random.setstate)]
    numpy_random = sys.modules.get("numpy.random")  # numpy imports it when it is first used
    if numpy_random is not None:
        pairs.append((numpy_random.get_state, numpy_random.set_state))
    return pairs


def autocast_settings(device: str) -> tuple[GetSetPair, ...]:
    return (
        (lambda: torch.is_autocast_enabled(device), lambda value: torch.set_autocast_enabled(device, value)),
        (lambda: torch.get_autocast_dtype(device), lambda value: torch.set_autocast_dtype(device, value)),
    )


@contextmanager
def preserved_state(*, grad: bool) -> Iterator[None]:
    """Inside, gradients are on or off; afterwards modes, settings and random states are as before.

    Existing objects are moved out of the youngest garbage-collector generation, so that the run's can be told apart.
    """
    with (
        gc_paused(),
        preserved_settings(),
        preserved_modes(),
        contexts_exited(),
        torch.set_grad_enabled(grad),
        compilation_disabled(),
    ):
        gc.collect(0)
        yield


@contextmanager
def preserved_settings() -> Iterator[None]:
    """Inside, settings of the process and random states may change; afterwards they are as before."""
    pairs = (
        *PROCESS_SETTINGS,
        *(pair for kind in devices.BACKENDS if kind != "meta" for pair in autocast_settings(kind)),
    )
    settings = [(read, restore, read()) for read, restore in pairs]
    states = [(restore, read()) for read, restore in random_states()]
    try:
        yield
    finally:
        run_steps([(restore_setting, pair) for pair in settings] + [(restore, (state,)) for restore, state in states])


def restore_setting(read: Callable[[], Any], restore: Callable[[Any], object], value: Any) -> None:
    if read() != value:
        restore(value)


@contextmanager
def preserved_modes() -> Iterator[None]:
    """Inside, a run may enter modes without leaving them; afterwards they are exited, also a default device and
    autocast.

    Autocast's cache of cast weights is cleared if autocast is active: those made without gradients would be reused.
    """
    functions, device = overrides._get_current_function_mode_stack(), dict(vars(device_context))
    kernels = len(dispatch._get_current_dispatch_mode_stack())
    depth = autocast_depth()
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
        vars(device_context).clear()
        vars(device_context).update(device)
        while autocast_depth() > depth:
            torch.autocast_decrement_nesting()
        if depth:
            torch.clear_autocast_cache()


@contextmanager
def contexts_exited() -> Iterator[None]:
    """Inside, a run may enter hooks of saved tensors, dual levels or inference mode; afterwards they are exited."""
    hooks, level = pop_saved_hooks(), forward_ad._current_level
    restack_saved_hooks(hooks)
    entered: list[Any] = []
    try:
        with calls_intercepted(torch.inference_mode, "__enter__", entered.append):
            yield
    finally:
        run_steps(
            [
                (restack_saved_hooks, (hooks,)),
                (exit_dual_levels, (level,)),
                *((exit_inference_mode, (mode,)) for mode in entered[::-1]),
            ]
        )


def pop_saved_hooks() -> list[tuple[Any, Any]]:
    """Return the hooks of saved tensors after removing them from their stack, the lowest first."""
    found = []
    while (top := autograd_module._top_saved_tensors_default_hooks(True)) is not None:
        found.append(top)
        autograd_module._pop_saved_tensors_default_hooks()
    return found[::-1]


def restack_saved_hooks(hooks: list[tuple[Any, Any]]) -> None:
    pop_saved_hooks()
    for pack, unpack in hooks:
        autograd_module._push_saved_tensors_default_hooks(pack, unpack)


def exit_dual_levels(level: int) -> None:
    while forward_ad._current_level > level:
        forward_ad.exit_dual_level()


def exit_inference_mode(mode: Any) -> None:
    """Exit an inference-mode context; exiting it a second time does nothing."""
    mode._inference_mode_context.__exit__(None, None, None)


def autocast_depth() -> int:
    """Return the nesting depth of autocast."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


@contextmanager
def compilation_disabled() -> Iterator[None]:
    """Inside, functions made by torch.compile run uncompiled, since a compiled region shows no functions.

    The compiler's own switch needs a module that takes a second to import, so it is used only if that is loaded.
    """
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    plain = torch.compile
    torch.compile = identity_compile
    try:
        yield
    finally:
        torch.compile = plain


def identity_compile(model: Any = None, **_options: Any) -> Any:
    """Return the model unchanged: a torch.compile that does nothing, also as a decorator with options."""
    return identity_compile if model is None else model


@contextmanager
def preserved_module(
    model: nn.Module, modules: Iterable[tuple[str, nn.Module]], *, train: bool, arguments: Iterable[Any] = ()
) -> Iterator[ObjectState]:
    """Inside, the model is in training or evaluation mode; if it is already, frozen submodules stay as they are.

    Afterwards training flags, attributes, hooks, and the contents of containers and helper objects, among them those in
    `arguments`, are as before.
    """
    parts = [module for _, module in modules]
    flags = [(module, module.training) for module in parts if has_training_flag(module)]
    with preserved_objects(parts, arguments) as state:
        try:
            if has_training_flag(model) and model.training != train:
                set_training_mode(model, parts, train=train)
            with module_changes_watched(state):
                yield state
        finally:
            set_training_flags(flags)


def has_training_flag(module: nn.Module) -> bool:
    """Return whether a module has a training flag: a frozen scripted module has none."""
    return "training" in vars(module) or hasattr(module, "training")


def set_training_mode(model: nn.Module, parts: Iterable[nn.Module], *, train: bool) -> None:
    """Call the model's own `train`, and set flags directly if that fails: an exported program refuses, and a module
    that contains itself recurses forever."""
    try:
        model.train(train)
    except (NotImplementedError, RecursionError):
        set_training_flags((module, train) for module in parts if has_training_flag(module))


def set_training_flags(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    run_steps((set_training, flag) for flag in flags)


def set_training(module: nn.Module, training: bool) -> None:
    if module.training != training:
        module.training = training
