"""The room for devices: a device's name → its backend, which is all that the others ask of it.

    "cuda:1" → backend_of → clock, memory, machine, graph, profiler      a model on several → devices_in → each of them

protocol   what every backend answers
cpu        the processor, and meta
processor  what a processor says of itself
cuda       GPUs by CUDA: nothing else calls `torch.cuda`
precision  TF32 and its like: torch's two interfaces
profiler   torch's profiler, quiet

A device of another kind is a file like `cuda`, and a line in KINDS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from archscope.backends.cpu import Cpu, Meta
from archscope.backends.cuda import Cuda
from archscope.backends.precision import PRECISION, tf32_set
from archscope.backends.profiler import busy, quiet_profile
from archscope.backends.protocol import Backend, Call, Clock, Gauge, Pair, Refusal
from archscope.traits import HOST, Traits

KINDS: Mapping[str, type[Backend]] = {"cpu": Cpu, "cuda": Cuda, "meta": Meta}
"""Those that something can be measured on, and meta."""

JOINED = " + "
"""Stands between the names of several devices."""


def backend_of(device: str, kinds: Mapping[str, type[Backend]] = KINDS) -> Backend:
    """The backend of one device; of a kind that we do not know, the processor's, on which nobody waits."""
    place = torch.device(device)
    return kinds.get(place.type, Cpu)(device)


def kind_of(device: str) -> type[Backend] | None:
    """What asks of all devices of a kind; None for one that we do not know. Raises RuntimeError for what is no name."""
    return KINDS.get(torch.device(device).type)


def automatic() -> str:
    """The kind of the first device that is more than a processor, else the processor."""
    return next((name for name, kind in KINDS.items() if kind.traits.queued and kind.is_here()), "cpu")


def overlooked(device: str) -> Refusal | None:
    """Why the processor was taken though the machine has more; None where it has not."""
    if traits_of(device).queued:
        return None
    return next(filter(None, (kind.overlooked() for kind in KINDS.values())), None)


def devices_in(text: str) -> list[str]:
    """The devices in a report's word for where a model lives."""
    return text.split(JOINED)


def leading(devices: list[str]) -> str:
    """The device that sets the pace of several: the first that work is queued on, else the first."""
    return next((one for one in devices if traits_of(one).queued), devices[0])


def traits_of(device: str) -> Traits:
    kind = kind_of(device)
    return HOST if kind is None else kind.traits


def is_on(tensor: torch.Tensor, device: str) -> bool:
    """Whether a tensor lives on a device; `cuda` is each of its kind."""
    place = torch.device(device)
    return tensor.device.type == place.type and place.index in (None, tensor.device.index)


NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch says where no allocator of its own but a system, CUDA itself or a library of its had no memory."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory did not suffice, on whatever device."""
    said = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in NO_MEMORY)


def settings() -> tuple[Pair, ...]:
    """The process's settings for all kinds of devices."""
    return PRECISION, *(pair for kind in KINDS.values() for pair in kind.settings())


def random_states() -> list[Pair]:
    """The generators that are in use, of every device, also of those that nothing is measured on."""
    pairs = [pair for kind in KINDS.values() for pair in kind.random_states()]
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return pairs


@contextmanager
def kept_generators(device: str = "cpu", *, seed: int | None = None) -> Iterator[None]:
    """Inside, torch's random numbers come from `seed`, where one is given; afterwards its generators are as before.

    No device is woken for that but the one that is named.
    """
    backend_of(device).wake()
    states = [(give_back, take()) for take, give_back in random_states()]
    try:
        for kind in KINDS.values() if seed is not None else ():
            kind.seed(seed)  # type: ignore[arg-type]  # it is a number here
        yield
    finally:
        for give_back, state in states:
            give_back(state)


def settle() -> None:
    """Waits for all devices that are in use."""
    for kind in KINDS.values():
        kind.settle()


__all__ = [
    "JOINED",
    "KINDS",
    "Backend",
    "Call",
    "Clock",
    "Gauge",
    "Pair",
    "Refusal",
    "automatic",
    "backend_of",
    "busy",
    "devices_in",
    "is_on",
    "kept_generators",
    "kind_of",
    "leading",
    "out_of_memory",
    "overlooked",
    "quiet_profile",
    "random_states",
    "settings",
    "settle",
    "tf32_set",
    "traits_of",
]
