"""What a run must not change: taken before, given back after, also when the run raises.

kept_state (the process) ⊃ kept_module (flags, attributes) ⊃ Originals (tensors, each before it is first written)
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

Pair = tuple[Callable[[], Any], Callable[[Any], object]]

SETTINGS: tuple[Pair, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
)
"""What is read and set by a pair of functions."""


def random_states() -> list[Pair]:
    """The generators of this process: of every device that is in use, and numpy's where somebody imported it."""
    pairs: list[Pair] = [(torch.get_rng_state, torch.set_rng_state), (random.getstate, random.setstate)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        pairs.append((torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all))
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        pairs.append((numpy.random.get_state, numpy.random.set_state))
    return pairs


def autocast(device: str) -> Pair:
    return lambda: torch.is_autocast_enabled(device), lambda value: torch.set_autocast_enabled(device, value)


@contextmanager
def kept_state(*, grad: bool) -> Iterator[None]:
    """Gradients on or off inside; modes, settings and random states as before afterwards.

    What was young before is made older, so that what a run makes can be told from it.
    """
    gc.collect(0)
    settings = [(take, give_back, take()) for take, give_back in (*SETTINGS, autocast("cpu"), autocast("cuda"))]
    states = [(give_back, take()) for take, give_back in random_states()]
    try:
        with resting(), torch.set_grad_enabled(grad), uncompiled():
            yield
    finally:
        for take, give_back, value in settings:
            if take() != value:
                give_back(value)
        for give_back, state in states:
            give_back(state)


@contextmanager
def resting() -> Iterator[None]:
    """Python's cycle collector rests: it would go through all of torch again and again for rows without cycles."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def uncompiled() -> AbstractContextManager[object]:
    """What torch.compile made runs as its author wrote it, for a compiled region shows no functions."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def kept_module(model: nn.Module, modules: Iterable[tuple[str, nn.Module]], *, train: bool) -> Iterator[None]:
    """The model in training or evaluation mode; one that is in it already keeps what its author froze.

    Training flags, attributes, and what lists, sets and dicts among them hold are as before afterwards.
    """
    flags = [(module, module.training) for _, module in modules]
    with ExitStack() as stack:
        for _, module in modules:
            if not type(module).__module__.startswith("torch.nn."):  # torch's own layers write buffers, and no more
                stack.callback(restore, module, dict(module.__dict__), collections(module))
        stack.callback(turn, flags)
        if model.training != train:
            model.train(train)
        yield


def turn(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    for module, training in flags:
        if module.training != training:
            module.training = training


def collections(module: nn.Module) -> list[tuple[Any, Any]]:
    """The module's own lists, sets and dicts, each with a copy."""
    return [(value, value.copy()) for value in module.__dict__.values() if isinstance(value, (dict, list, set))]


def restore(module: nn.Module, attributes: dict[str, Any], held: list[tuple[Any, Any]]) -> None:
    """Gives a module the attributes that it had, and the collections what they held."""
    now = module.__dict__
    if not same(now.values(), attributes.values()) or now.keys() != attributes.keys():
        now.clear()
        now.update(attributes)
    for collection, before in held:
        if isinstance(collection, set):
            collection.intersection_update(before)
            collection.update(before)
        elif not same_collection(collection, before):
            collection.clear()
            collection.extend(before) if isinstance(collection, list) else collection.update(before)


def same(first: Iterable[Any], second: Iterable[Any]) -> bool:
    """Whether these are the same objects, one by one."""
    one, other = list(first), list(second)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def same_collection(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and same(one.values(), other.values())
    return same(one, other)


class Originals:
    """The values of a model's tensors, each kept when it is about to be written for the first time."""

    def __init__(self, held: Iterable[torch.Tensor]):
        self._held = held
        self._by_memory: dict[int, list[torch.Tensor]] | None = None
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def keep(self, tensor: torch.Tensor) -> None:
        """`tensor`, which may be a view, is going to be written: whatever the model holds in its memory is kept."""
        if self._by_memory is None:
            self._by_memory = {}
            self._held = list(self._held)
            for held in self._held:
                self._by_memory.setdefault(memory(held), []).append(held)
        for held in self._by_memory.get(memory(tensor), ()):
            if id(held) not in self._kept:
                self._kept[id(held)] = held, held.detach(), held.detach().clone()

    def keep_all(self) -> None:
        """Before work that nobody can look into."""
        self._held = list(self._held)
        for held in self._held:
            self.keep(held)

    def give_back(self) -> None:
        """Writes back what has changed; a tensor that was given other memory gets its own again."""
        with torch._C.DisableTorchFunction(), torch.inference_mode():
            for held, alias, value in self._kept.values():
                if memory(held) != memory(alias):
                    held.data = alias
                if not held.is_meta and not torch.equal(held, value):  # a pending backward notices every writing
                    held.copy_(value)


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
