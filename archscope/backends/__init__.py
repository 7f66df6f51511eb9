"""The room for devices: a device's name → its backend, which is all that the others ask of it.

    "cuda:1" → backend_of → clock, memory, machine, graph, profiler   a model on several → split_devices → each of them

protocol   what every backend answers
cpu        the processor, and meta
processor  what a processor says of itself
cuda       GPUs by CUDA: nothing else calls `torch.cuda`
precision  TF32 and its like: torch's two interfaces
profiler   torch's profiler, quiet

A device of another kind is a file like `cuda`, and a line in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from archscope.backends.cpu import CpuBackend, MetaBackend
from archscope.backends.cuda import CudaBackend
from archscope.backends.precision import PRECISION_ACCESSORS, tf32_set
from archscope.backends.profiler import is_profiler_active, quiet_profile
from archscope.backends.protocol import Action, AllocatorPeak, Backend, Clock, DeviceProblem, GetSetPair
from archscope.device_traits import CPU_TRAITS, DeviceTraits

BACKENDS: Mapping[str, type[Backend]] = {"cpu": CpuBackend, "cuda": CudaBackend, "meta": MetaBackend}
"""Those that something can be measured on, and meta."""

DEVICE_SEPARATOR = " + "
"""Stands between the names of several devices."""


def backend_of(device: str, kinds: Mapping[str, type[Backend]] = BACKENDS) -> Backend:
    """The backend of one device; of a kind that we do not know, the processor's, on which nobody waits."""
    place = torch.device(device)
    return kinds.get(place.type, CpuBackend)(device)


def backend_class(device: str) -> type[Backend] | None:
    """What asks of all devices of a kind; None for one that we do not know. Raises RuntimeError for what is no name."""
    return BACKENDS.get(torch.device(device).type)


def default_device() -> str:
    """The kind of the first device that is more than a processor, else the processor."""
    return next((name for name, kind in BACKENDS.items() if kind.traits.is_async and kind.is_available()), "cpu")


def unused_device_problem(device: str) -> DeviceProblem | None:
    """Why the processor was taken though the machine has more; None where it has not."""
    if traits_of(device).is_async:
        return None
    return next(filter(None, (kind.unused_device_problem() for kind in BACKENDS.values())), None)


def split_devices(text: str) -> list[str]:
    """The devices in a report's word for where a model lives."""
    return text.split(DEVICE_SEPARATOR)


def leading_device(devices: list[str]) -> str:
    """The device that sets the pace of several: the first that work is queued on, else the first."""
    return next((one for one in devices if traits_of(one).is_async), devices[0])


def traits_of(device: str) -> DeviceTraits:
    kind = backend_class(device)
    return CPU_TRAITS if kind is None else kind.traits


def is_on(tensor: torch.Tensor, device: str) -> bool:
    """Whether a tensor lives on a device; `cuda` is each of its kind."""
    place = torch.device(device)
    return tensor.device.type == place.type and place.index in (None, tensor.device.index)


NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch says where no allocator of its own but a system, CUDA itself or a library of its had no memory."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory did not suffice, on whatever device."""
    said = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in NO_MEMORY)


def settings() -> tuple[GetSetPair, ...]:
    """The process's settings for all kinds of devices."""
    return PRECISION_ACCESSORS, *(pair for kind in BACKENDS.values() for pair in kind.settings())


def random_states() -> list[GetSetPair]:
    """The generators that are in use, of every device, also of those that nothing is measured on."""
    pairs = [pair for kind in BACKENDS.values() for pair in kind.random_states()]
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return pairs


@contextmanager
def preserved_generators(device: str = "cpu", *, seed: int | None = None) -> Iterator[None]:
    """Inside, torch's random numbers come from `seed`, where one is given; afterwards its generators are as before.

    No device is woken for that but the one that is named.
    """
    backend_of(device).initialize()
    states = [(give_back, take()) for take, give_back in random_states()]
    try:
        for kind in BACKENDS.values() if seed is not None else ():
            kind.seed(seed)  # type: ignore[arg-type]  # it is a number here
        yield
    finally:
        for give_back, state in states:
            give_back(state)


def synchronize_all() -> None:
    """Waits for all devices that are in use."""
    for kind in BACKENDS.values():
        kind.synchronize_all()


__all__ = [
    "BACKENDS",
    "DEVICE_SEPARATOR",
    "Action",
    "AllocatorPeak",
    "Backend",
    "Clock",
    "DeviceProblem",
    "GetSetPair",
    "backend_class",
    "backend_of",
    "default_device",
    "is_on",
    "is_out_of_memory",
    "is_profiler_active",
    "leading_device",
    "preserved_generators",
    "quiet_profile",
    "random_states",
    "settings",
    "split_devices",
    "synchronize_all",
    "tf32_set",
    "traits_of",
    "unused_device_problem",
]
