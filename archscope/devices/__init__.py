"""One backend for each kind of device. All other packages reach devices through it.

    "cuda:1" → backend_of → clock, memory, machine, graph, profiler     a model on several devices → split_devices

protocol   the interface of every backend
cpu        the CPU, with its name, cores, memory and cache; and the meta device
cuda       GPUs by CUDA; the only module that calls `torch.cuda`
precision  TF32 and other float32 precision settings: torch's two interfaces
profiler   torch's profiler, without its log output

Another kind of device needs a module like `cuda`; BACKENDS finds its class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules

import torch

from archscope import units
from archscope.devices.cpu import CpuBackend
from archscope.devices.precision import PRECISION_ACCESSORS, tf32_set
from archscope.devices.profiler import is_profiler_active, quiet_profile
from archscope.devices.protocol import Action, AllocatorPeak, Backend, Clock, DeviceProblem, GetSetPair
from archscope.machine import CPU_TRAITS, DeviceTraits


def backend_classes() -> Iterator[type[Backend]]:
    """Yield the classes of this package's modules that have `traits`, the backends."""
    for module in iter_modules(__path__, f"{__name__}."):
        for value in vars(import_module(module.name)).values():
            own = isinstance(value, type) and value.__module__ == module.name
            if own and isinstance(vars(value).get("traits"), DeviceTraits):
                yield value


BACKENDS: Mapping[str, type[Backend]] = {backend.traits.kind: backend for backend in backend_classes()}
"""The backend of each kind of device that something can be measured on, and that of meta."""

DEVICE_SEPARATOR = " + "
"""Separates the names of several devices."""


def backend_of(device: str, kinds: Mapping[str, type[Backend]] = BACKENDS) -> Backend:
    """Return the backend of one device; of an unknown kind of device, the CPU's, which never synchronizes."""
    parsed = torch.device(device)
    return kinds.get(parsed.type, CpuBackend)(device)


def backend_class(device: str) -> type[Backend] | None:
    """Return the backend class of a device's kind, None for an unknown kind.

    Raise RuntimeError if `device` is not a device name.
    """
    return BACKENDS.get(torch.device(device).type)


def default_device() -> str:
    """Return the kind of the first available device that is not the CPU, else `cpu`."""
    return next((name for name, kind in BACKENDS.items() if kind.traits.is_async and kind.is_available()), "cpu")


def unused_device_problem(device: str) -> DeviceProblem | None:
    """Return why the CPU was chosen although the machine has another device; None if it has no other."""
    if traits_of(device).is_async:
        return None
    return next(filter(None, (kind.unused_device_problem() for kind in BACKENDS.values())), None)


def split_devices(text: str) -> list[str]:
    """Return the names of the devices in a report's `device` field."""
    return text.split(DEVICE_SEPARATOR)


def leading_device(devices: list[str]) -> str:
    """Return the device that limits the speed of several: the first asynchronous one, else the first."""
    return next((device for device in devices if traits_of(device).is_async), devices[0])


def traits_of(device: str) -> DeviceTraits:
    kind = backend_class(device)
    return CPU_TRAITS if kind is None else kind.traits


def is_on(tensor: torch.Tensor, device: str) -> bool:
    """Return whether a tensor lies on a device; `cuda` without an index is any GPU."""
    parsed = torch.device(device)
    return tensor.device.type == parsed.type and parsed.index in (None, tensor.device.index)


NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages of RuntimeErrors that torch raises when the system, CUDA itself or a library has no memory."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error says that memory did not suffice, on any device."""
    message = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in message for words in NO_MEMORY)


def out_of_memory_text(error: BaseException) -> str:
    """Return a sentence with the size that was requested if torch names it; else torch's message, without C++ lines."""
    said = " ".join(str(error).split())
    asked = re.search(r"tried to allocate ([0-9]{1,30}) bytes", said)
    if asked is not None:
        return f"a tensor of {units.format_bytes(int(asked[1]))} was asked for"
    return re.sub(r"^\[enforce fail at [^\]]*\] ", "", said)[:200] or type(error).__name__


def settings() -> tuple[GetSetPair, ...]:
    """Return getters and setters of the process's settings for all kinds of devices."""
    return PRECISION_ACCESSORS, *(pair for kind in BACKENDS.values() for pair in kind.settings())


def random_states() -> list[GetSetPair]:
    """Return getters and setters of the random generators in use on every device, also on MPS, which has no backend."""
    pairs = [pair for kind in BACKENDS.values() for pair in kind.random_states()]
    if torch.backends.mps.is_available():
        pairs.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return pairs


@contextmanager
def preserved_generators(device: str = "cpu", *, seed: int | None = None) -> Iterator[None]:
    """Inside, torch's random numbers come from `seed`, if one is given; afterwards all generators are as before.

    Only the named device is initialized for that.
    """
    backend_of(device).initialize()
    states = [(restore, read()) for read, restore in random_states()]
    try:
        for kind in BACKENDS.values() if seed is not None else ():
            kind.seed(seed)  # type: ignore[arg-type]  # the condition above excludes None
        yield
    finally:
        for restore, state in states:
            restore(state)


def synchronize_all() -> None:
    """Wait for all devices that are in use."""
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
    "out_of_memory_text",
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
