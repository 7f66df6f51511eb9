"""A description of the CPU (name, cores, memory, last-level cache → Machine), and how much of its memory is free."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import torch

from archscope.machine import Machine

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
