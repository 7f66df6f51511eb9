"""Devices, dtypes, memory and seeds: their names → what torch calls them, or a refusal with its cure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from archscope import units
from archscope.backends import backend_class, backend_of, default_device, preserved_generators
from archscope.errors import UsageError, did_you_mean

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    str(d).removeprefix("torch."): d
    for d in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
DEVICE_HELP = "auto, cpu, cuda, cuda:0 … or meta"
FLOAT_DTYPE_NAMES = ("float32", "float64", "float16", "bfloat16")


def resolve_device(name: str) -> str:
    """`auto` is the first CUDA device if there is one, else the CPU. Of a kind that there is one of, numbers are left
    out, as torch does.

    Raises UsageError for a device that is not there.
    """
    if name == "auto":
        return default_device()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some names are no longer used
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
    """The device, as `resolve_device` has it, when it has shown that it works. Raises UsageError."""
    place = resolve_device(device)
    refusal = backend_of(place).unopened()
    if refusal is not None:
        raise UsageError(*refusal)
    return place


def free_bytes(device: str) -> int | None:
    """Memory that a new tensor could take; None where it is not known or does not matter."""
    return backend_of(device).free_bytes()


def check_free_memory(needed: int, device: str, what: str) -> None:
    """Raises UsageError, with both figures, where `needed` bytes are more than the device has free."""
    free = free_bytes(device)
    if free is not None and needed > free:
        others = backend_of(device).bytes_held_by_others()
        beside = f"; other processes hold {units.format_bytes(others)} of it" if others else ""
        raise UsageError(
            f"{what} needs at least {units.format_bytes(needed)}, {device} has {units.format_bytes(free)} free{beside}",
            'device="meta" analyses it without memory (all figures but time)',
        )


def resolve_dtype(name: str | None) -> torch.dtype | None:
    """A floating-point dtype by its name; None for none. Raises UsageError."""
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
    """Inside, random numbers come from `seed`; None changes nothing. With a seed the random states are given back."""
    if seed is None:
        yield
        return
    with preserved_generators(seed=seed):
        yield
