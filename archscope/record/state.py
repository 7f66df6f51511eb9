"""What a run must not change: taken before, given back after, also when the run raises.

kept_state (the process) ⊃ kept_module (flags, what hangs on the model) ⊃ Originals (tensors, before they are written)
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
from weakref import ReferenceType
from weakref import ref as reference

import torch
from torch import nn, overrides
from torch.utils import _python_dispatch as dispatch

from archscope.record.belongings import Belongings, kept_belongings, watched

Pair = tuple[Callable[[], Any], Callable[[Any], object]]


def attribute(owner: Any, name: str) -> Pair:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(before)  # type: ignore[attr-defined]  # its stub says that it cannot grow


SETTINGS: tuple[Pair, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.autograd.is_multithreading_enabled, torch.autograd.set_multithreading_enabled),
    attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    attribute(torch.backends.quantized, "engine"),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    *(attribute(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
    attribute(torch.backends.mkldnn, "enabled"),
    (sys.getrecursionlimit, sys.setrecursionlimit),
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
    pairs: list[Pair] = [(torch.get_rng_state, torch.set_rng_state), (random.getstate, random.setstate)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        pairs.append((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all))
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
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
    with resting(), kept_settings(), kept_modes(), torch.set_grad_enabled(grad), uncompiled():
        gc.collect(0)
        yield


@contextmanager
def kept_settings() -> Iterator[None]:
    """The process's settings and random states."""
    pairs = (*SETTINGS, *autocast("cpu"), *autocast("cuda"))
    settings = [(take, give_back, take()) for take, give_back in pairs]
    states = [(give_back, take()) for take, give_back in random_states()]
    try:
        yield
    finally:
        for take, give_back, value in settings:
            if take() != value:
                give_back(value)
        for give_back, state in states:
            give_back(state)


@contextmanager
def kept_modes() -> Iterator[None]:
    """Modes that the run went into and never left are left, among them a default device; autocast is not nested deeper.

    Weights that autocast has cast meanwhile, without gradients, are forgotten: its user's own casts need them.
    """
    functions, device = overrides._get_current_function_mode_stack(), getattr(local, "device_context", None)
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
        local.device_context = device
        while nesting() > depth:
            torch.autocast_decrement_nesting()
        if depth:
            torch.clear_autocast_cache()


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
    try:
        with kept_belongings(parts, given) as kept:
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
    for module, training in flags:
        if module.training != training:
            module.training = training


class Originals:
    """The values of tensors from before the run, each kept when it is about to be written for the first time."""

    def __init__(self, held: Iterable[torch.Tensor]):
        self._held = held
        self._met: list[ReferenceType[torch.Tensor]] = []
        self._by_memory: dict[int, list[ReferenceType[torch.Tensor]]] | None = None
        self._kept: dict[int, Original] = {}
        self._gradients: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        self._accumulated: list[Original] = []

    def hold(self, tensor: torch.Tensor) -> None:
        """Also this one, which the run has met and did not make."""
        self._met.append(reference(tensor))

    def keep(self, tensor: torch.Tensor) -> None:
        """`tensor`, which may be a view, is going to be written: whatever is held in its memory is kept."""
        if self._by_memory is None:
            self._by_memory = {}
            self._held = list(self._held)
            self._met.extend(map(reference, self._held))
        while self._met:
            met = self._met.pop()
            held = met()
            if held is not None:
                self._by_memory.setdefault(memory(held), []).append(met)
        for met in self._by_memory.get(memory(tensor), ()):
            held = met()
            if held is not None and id(held) not in self._kept:
                self._kept[id(held)] = original(held)

    def keep_all(self) -> None:
        """Before work that nobody can look into."""
        self._held = list(self._held)
        for held in self._held:
            self.keep(held)

    def keep_gradients(self) -> None:
        """Before a backward pass that the model runs itself."""
        self._held = list(self._held)
        if not self._gradients:
            self._gradients = [(held, held.grad) for held in self._held if held.is_leaf]
            self._accumulated = [original(gradient) for _, gradient in self._gradients if gradient is not None]

    def give_back(self) -> None:
        """Writes back what has changed; a tensor that was given other memory gets its own again.

        A pending backward pass of the caller's must not notice: it counts how often a tensor was written.
        """
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            for held, alias, value, count, derived, gradient in (*self._kept.values(), *self._accumulated):
                if memory(held) != memory(alias) or held.shape != alias.shape:
                    held.data = alias
                if not held.is_meta and not (plain(held) and torch.equal(held, value)):
                    held.copy_(value)
                if held.requires_grad != derived:
                    held.requires_grad_(derived)
                if count is not None and held._version != count:
                    set_versions((held,), (count,))
                if held.is_leaf and held.grad is not gradient:
                    held.grad = gradient
            for leaf, gradient in self._gradients:
                leaf.grad = gradient


Original = tuple[torch.Tensor, torch.Tensor, torch.Tensor, "int | None", bool, "torch.Tensor | None"]
"""A tensor, an alias of its memory, a copy of its values, how often it was written, whether it requires a gradient, and
the gradient that it has."""

set_versions: Callable[[tuple[torch.Tensor, ...], tuple[int, ...]], None] = (
    torch._C._autograd._unsafe_set_version_counter
)


def original(held: torch.Tensor) -> Original:
    """Copied behind the back of whoever watches kernels: it is no work of the run's."""
    count, gradient = None if held.is_inference() else held._version, held.grad if held.is_leaf else None
    with dispatch._disable_current_modes():
        alias = held.detach()
        return held, alias, alias.clone(), count, held.requires_grad, gradient


def plain(tensor: torch.Tensor) -> bool:
    """Whether its values can be compared."""
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized


@contextmanager
def kept_tensors(held: Iterable[torch.Tensor]) -> Iterator[None]:
    """Tensors have their values again afterwards, whoever writes them."""
    originals = Originals(held)
    originals.keep_all()
    try:
        yield
    finally:
        originals.give_back()


def memory(tensor: torch.Tensor) -> int:
    """Which memory a tensor lies in, by the identity of its storage; its own identity where it has none."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse tensors, wrappers of function transforms
        return id(tensor)
