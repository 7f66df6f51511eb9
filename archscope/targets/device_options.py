"""Devices, dtypes, free memory and seeds: names → torch's objects, or a UsageError with help."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from archscope import units
from archscope.devices import backend_class, backend_of, default_device, preserved_generators
from archscope.errors import UsageError, did_you_mean
from archscope.ops.dtypes import DTYPE_NAMES, FLOAT_DTYPE_NAMES

TORCH_DTYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPE_NAMES}
META_HELP = 'device="meta" analyses it without memory (all figures but time)'
DEVICE_HELP = "auto, cpu, cuda, cuda:0 … or meta"


def resolve_device(name: str) -> str:
    """Return the full name of a device; `auto` is the first CUDA device if there is one, else the CPU.

    The index is omitted for device types that have only one device, as torch does. Raises UsageError for a device that
    does not exist.
    """
    if name == "auto":
        return default_device()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some names are obsolete
            kind = backend_class(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", DEVICE_HELP) from None
    if kind is None:
        raise UsageError(f"device {name!r} is not supported", DEVICE_HELP)
    refusal = kind.device_problem(name)
    if refusal is not None:
        raise UsageError(*refusal)
    return name if kind.traits.is_async else kind.traits.kind


def opened(device: str) -> str:
    """Return the device as `resolve_device` does, after a test that it works. Raise UsageError."""
    place = resolve_device(device)
    refusal = backend_of(place).unopened()
    if refusal is not None:
        raise UsageError(*refusal)
    return place


def free_bytes(device: str) -> int | None:
    """Return the memory that a new tensor could use, in bytes; None if it is not known or does not matter."""
    return backend_of(device).free_bytes()


def check_free_memory(needed: int, device: str, what: str, *, free: int | None = None) -> None:
    """Raise UsageError, with both figures, if `needed` bytes are more than the device has free, or had (`free`)."""
    free = free_bytes(device) if free is None else free
    if free is not None and needed > free:
        others = backend_of(device).bytes_held_by_others()
        beside = f"; other processes hold {units.format_bytes(others)} of it" if others else ""
        raise UsageError(
            f"{what} needs at least {units.format_bytes(needed)}, {device} has {units.format_bytes(free)} free{beside}",
            META_HELP,
        )


def resolve_dtype(name: str | None) -> torch.dtype | None:
    """Return the floating-point dtype of that name; None for None. Raise UsageError."""
    if name is None:
        return None
    if name not in FLOAT_DTYPE_NAMES:
        raise UsageError(
            f"unknown dtype {name!r} for weights",
            did_you_mean(name, FLOAT_DTYPE_NAMES) or f"one of {', '.join(FLOAT_DTYPE_NAMES)}",
        )
    return TORCH_DTYPES[name]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed the random number generators inside and restore their states afterwards; None changes nothing."""
    if seed is None:
        yield
        return
    with preserved_generators(seed=seed):
        yield
