"""The CPU: its description (name, cores, memory, last-level cache → Machine), how much of its memory is free, and its
backend, whose work is done when its call returns; and the backend of the meta device, which does none."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.profiler import ProfilerActivity

from archscope.devices.profiler import quiet_profile
from archscope.devices.protocol import Action, DeviceProblem, GetSetPair
from archscope.machine import CPU_TRAITS, DeviceTraits, Machine

CPUINFO_FILE = Path("/proc/cpuinfo")
CACHE_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
BINARY_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def describe_processor() -> Machine:
    """Return a description of the CPU and the software on it."""
    return Machine(
        device="cpu",
        name=_processor_name(),
        cores=len(usable_cores()),
        memory=total_memory(),
        cache=_last_cache(),
        driver="",
        versions=software_versions(),
        settings=(("threads", torch.get_num_threads()),),
    )


def software_versions() -> tuple[tuple[str, str], ...]:
    return ("python", platform.python_version()), ("torch", torch.__version__)


def _processor_name() -> str:
    with suppress(OSError):
        found = re.search(r"^(?:model name|Model|cpu model)\s*:(.+)$", CPUINFO_FILE.read_text(), re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine() or "processor"


def _sysctl(name: str) -> str:
    """Return a hardware property as macOS reports it; empty on other systems."""
    if sys.platform != "darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def usable_cores() -> frozenset[int]:
    """Return the numbers of the CPU cores that this process may use."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def total_memory() -> int:
    """Return the bytes of memory that the machine has."""
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _last_cache() -> int | None:
    """Return the bytes of the CPU's last-level cache, as the system reports it; None if it does not."""
    levels: dict[int, int] = {}
    for folder in CACHE_FOLDER.glob("index*"):
        with suppress(OSError, ValueError, KeyError, IndexError):
            text = (folder / "size").read_text().strip()
            levels[int((folder / "level").read_text())] = int(text[:-1]) * BINARY_UNITS[text[-1]]
    reported = _sysctl("hw.perflevel0.l2cachesize")
    return levels[max(levels)] if levels else int(reported) if reported.isdigit() else None


def free_bytes() -> int | None:
    """Return the bytes that the system, a container's limit and the process's own limit leave; None if unknown."""
    try:
        with open("/proc/meminfo") as lines:
            found = dict(line.split(":", 1) for line in lines)
        available = int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    limits = [limit for limit in (_free_in_group(), _free_of_process()) if limit is not None]
    return min([available, *limits])


def _free_of_process() -> int | None:
    """Return the bytes that the limit on this process's address space (`ulimit -v`) leaves; None if it has none."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(0, limit - used)


def _free_in_group(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that the limit of a container's control group leaves, where cached files count as free; None if
    there is no limit."""
    try:
        limit, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        stats = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(stats["inactive_file"]))
    except (OSError, KeyError, ValueError):
        return None


# ------------------------------------------------------------ the backends
MEMORY_EVENT = "[memory]"
"""The profiler's name of an event that allocates or frees memory."""


def highest_sum(sizes: Iterable[int]) -> int:
    """Return the largest running sum of bytes that were allocated (above 0) and freed (below 0).

    Memory that is freed but was not allocated here was there before and does not count: the profiler mostly leaves it
    out, and reports it only where an address is used again.
    """
    allocated = peak = 0
    for size in sizes:
        if allocated + size >= 0:
            allocated += size
            peak = max(peak, allocated)
    return peak


class HostClock:
    """A clock for work that is done when its call returns."""

    min_seconds = 1e-4
    mark = staticmethod(time.perf_counter)

    def synchronize(self) -> None:
        """Return at once: there is nothing to wait for."""

    def seconds_between(self, first: float, second: float) -> float:
        return second - first


class CpuBackend:
    """The CPU that this process runs on."""

    traits: ClassVar[DeviceTraits] = CPU_TRAITS
    activities: ClassVar[Sequence[ProfilerActivity]] = ()

    def __init__(self, device: str = "cpu"):
        """There is only one CPU, whatever its name."""

    @classmethod
    def is_available(cls) -> bool:
        return True

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ("cpu",)

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        """Return None: the CPU is always used."""

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        """Return None: the CPU is always available."""

    @classmethod
    def is_initialized(cls) -> bool:
        return True

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ((torch.get_rng_state, torch.set_rng_state),)

    @classmethod
    def settings(cls) -> Sequence[GetSetPair]:
        return ()

    @classmethod
    def seed(cls, seed: int) -> None:
        torch.default_generator.manual_seed(seed)

    @classmethod
    def synchronize_all(cls) -> None:
        """Return at once: there is nothing to wait for."""

    def unopened(self) -> DeviceProblem | None:
        """Return None: the CPU always works."""

    def initialize(self) -> None:
        """Do nothing: the CPU needs no initialization."""

    def as_current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def synchronize(self) -> None:
        """Return at once: there is nothing to wait for."""

    def clock(self) -> HostClock:
        return HostClock()

    def allocator_peak(self) -> None:
        """Return None: no allocator reports a kernel's scratch memory."""

    def disable_autotuning(self) -> None:
        """Do nothing: CPU libraries do not try algorithms."""

    def peak_bytes(self, run: Action) -> int | None:
        """Return the peak of the running sum of all allocations; None if the profiler recorded none."""
        with quiet_profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
            result = run()
        del result
        results = profiled.profiler.kineto_results if profiled.profiler else None
        events: list[Any] = [event for event in results.events() if event.name() == MEMORY_EVENT] if results else []
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        return highest_sum(sizes) if sizes else None

    def free_bytes(self) -> int | None:
        return free_bytes()

    def bytes_held_by_others(self) -> int | None:
        """Return None: CPU memory is the system's, and `free_bytes` already excludes what others hold."""

    def machine(self) -> Machine:
        return describe_processor()

    def has_tf32(self) -> bool:
        return False

    def capture_graph(self, step: Action, forget: Action) -> None:
        """Return None: the CPU has no graphs."""

    def repeat_call(self, call: Action, times: int) -> None:
        """Return None: functions on the CPU are called one by one in real use, too."""


class MetaBackend(CpuBackend):
    """The meta device: the CPU computes shapes only; tensors have no memory, and work takes no time."""

    traits: ClassVar[DeviceTraits] = replace(CPU_TRAITS, kind="meta")

    @classmethod
    def device_names(cls) -> Sequence[str]:
        return ()

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        return ()

    @classmethod
    def seed(cls, seed: int) -> None:
        """Do nothing: no random numbers are drawn."""

    def peak_bytes(self, run: Action) -> int | None:
        """Return None: meta tensors have no memory."""

    def free_bytes(self) -> int | None:
        """Return None: meta tensors need no memory."""

    def machine(self) -> Machine:
        """Return the CPU's description under the name `meta`."""
        return replace(super().machine(), device="meta", name="meta")
