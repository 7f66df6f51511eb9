"""Devices, dtypes, memory and seeds: their names → what torch calls them, or a refusal with its cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from archscope import units
from archscope.errors import UsageError, did_you_mean

DTYPES: Mapping[str, torch.dtype] = {
    str(d).removeprefix("torch."): d
    for d in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
FLOATS = ("float32", "float64", "float16", "bfloat16")


def device_of(name: str) -> str:
    """`auto` is the first CUDA device if there is one, else the CPU.

    Raises UsageError for a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", "auto, cpu, cuda, cuda:0 … or meta") from None
    if device.type == "cuda" and not _has_cuda(device.index):
        raise UsageError(
            f"there is no device {name!r} here", 'device="cpu" runs on the CPU, device="meta" without memory'
        )
    if device.type not in ("cpu", "cuda", "meta"):
        raise UsageError(f"device {name!r} is not supported", "auto, cpu, cuda, cuda:0 … or meta")
    return name


def _has_cuda(index: int | None) -> bool:
    return torch.cuda.is_available() and (index or 0) < torch.cuda.device_count()


def free_bytes(device: str) -> int | None:
    """Memory that a new tensor could take; None where it is not known or does not matter."""
    kind = torch.device(device).type
    if kind == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(torch.device(device))[0]) + idle
    if kind == "cpu":
        return _free_on_cpu()
    return None


def _free_on_cpu() -> int | None:
    try:
        with open("/proc/meminfo") as lines:
            found = dict(line.split(":", 1) for line in lines)
        available = int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    limits = [limit for limit in (_free_in_group(), _free_of_process()) if limit is not None]
    return min([available, *limits])


def _free_of_process() -> int | None:
    """What the limit of this process's addresses (`ulimit -v`) leaves; None where there is none."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if most == resource.RLIM_INFINITY else max(0, most - used)


def _free_in_group(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves: of its control group, files in the cache do not count; None where there is no
    limit."""
    try:
        most, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, most - used + int(told["inactive_file"]))
    except (OSError, KeyError, ValueError):
        return None


def refuse_too_big(needed: int, device: str, what: str) -> None:
    """Raises UsageError, with both figures, where `needed` bytes are more than the device has free."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise UsageError(
            f"{what} needs at least {units.size(needed)}, {device} has {units.size(free)} free",
            'device="meta" analyses it without memory (all figures but time)',
        )


def dtype_of(name: str | None) -> torch.dtype | None:
    """A floating-point dtype by its name; None for none. Raises UsageError."""
    if name is None:
        return None
    if name not in FLOATS:
        raise UsageError(
            f"unknown dtype {name!r} for weights", did_you_mean(name, FLOATS) or f"one of {', '.join(FLOATS)}"
        )
    return DTYPES[name]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Inside, random numbers come from `seed`; None changes nothing. With a seed the random states are given back."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
