"""What is measured on: a device → its name, size, software and settings, and what else it is doing meanwhile.

machine(device) → Machine          with_settings(device, threads=1)          load(device) → Probe → Load
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from archscope.measurement import Load, Machine

INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
BINARY = {"K": 1024, "M": 1024**2, "G": 1024**3}
DRIVER = Path("/proc/driver/nvidia/version")
STAT = Path("/proc/stat")
SHORTEST = 0.1
"""Seconds below which the system's clock, which ticks a hundred times a second, says nothing of a load."""

CONTEXT = 2 * 1024**3
"""Bytes that a process may hold on a GPU beside its tensors; what is missing beyond that belongs to others."""

TWO_APIS = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) >= (2, 9)
"""Whether TF32 is set by `fp32_precision`, beside the older flags, which cannot be read where the two differ."""


def machine(device: str) -> Machine:
    """The device, `cpu` or `cuda[:i]`, as it is now; on `meta`, which computes nothing, the processor by that name."""
    place = torch.device(device)
    if place.type == "meta":
        return replace(_processor(), device="meta", name="meta")
    return _gpu(place) if place.type == "cuda" else _processor()


# ------------------------------------------------------------ a processor
def _processor() -> Machine:
    return Machine(
        device="cpu",
        name=_processor_name(),
        cores=len(_cores()),
        memory=_memory(),
        cache=_last_cache(),
        driver="",
        versions=_software(),
        settings=(("threads", torch.get_num_threads()),),
    )


def _software() -> tuple[tuple[str, str], ...]:
    return ("python", platform.python_version()), ("torch", torch.__version__)


def _processor_name() -> str:
    with suppress(OSError):
        found = re.search(r"^(?:model name|Model|cpu model)\s*:(.+)$", INFO.read_text(), re.MULTILINE)
        if found:
            return " ".join(found[1].split())
    return _asked("machdep.cpu.brand_string") or platform.processor() or platform.machine() or "processor"


def _asked(name: str) -> str:
    """What macOS says of its hardware; empty elsewhere."""
    if sys.platform != "darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()


def _cores() -> frozenset[int]:
    """The processor cores that this process may use, by number."""
    if sys.platform == "linux":
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _memory() -> int:
    """Bytes of memory that the machine has."""
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _last_cache() -> int | None:
    """Bytes of the processor's last cache, as the system states it; None where it does not."""
    levels: dict[int, int] = {}
    for folder in CACHES.glob("index*"):
        with suppress(OSError, ValueError, KeyError, IndexError):
            text = (folder / "size").read_text().strip()
            levels[int((folder / "level").read_text())] = int(text[:-1]) * BINARY[text[-1]]
    told = _asked("hw.perflevel0.l2cachesize")
    return levels[max(levels)] if levels else int(told) if told.isdigit() else None


# ------------------------------------------------------------ a GPU
def _gpu(place: torch.device) -> Machine:
    index = torch.cuda.current_device() if place.index is None else place.index
    properties = torch.cuda.get_device_properties(index)
    products, convolutions = _tf32()
    return Machine(
        device=f"cuda:{index}",
        name=properties.name,
        cores=properties.multi_processor_count,
        memory=properties.total_memory,
        cache=properties.L2_cache_size,
        driver=_driver(),
        versions=(
            *_software(),
            ("cuda", torch.version.cuda or ""),
            ("cudnn", str(torch.backends.cudnn.version())),
        ),
        settings=(("threads", torch.get_num_threads()), ("tf32", products), ("tf32_conv", convolutions), *_cudnn()),
    )


def _cudnn() -> tuple[tuple[str, object], ...]:
    """Whether cuDNN tries all its algorithms, and may take ones that do not give the same bits every time."""
    return ("cudnn_benchmark", torch.backends.cudnn.benchmark), (
        "cudnn_deterministic",
        torch.backends.cudnn.deterministic,
    )


def _driver() -> str:
    """The driver's version; where only that can be had, the CUDA version that it serves."""
    with suppress(OSError):
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", DRIVER.read_text())
        if found:
            return found[1]
    served = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined]  # only where torch has CUDA
    return f"CUDA {served // 1000}.{served % 1000 // 10}"


def _tf32() -> tuple[bool, bool]:
    """Whether float32 products, and convolutions, may be computed in TF32."""
    if TWO_APIS:
        products, convolutions, *_ = (place.fp32_precision == "tf32" for place in _places())
        return products, convolutions
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


# ------------------------------------------------------------ settings
@contextmanager
def with_settings(device: str, *, threads: int | None = None, tf32: bool | None = None) -> Iterator[None]:
    """Inside, torch uses so many threads, and on a GPU float32 products and convolutions TF32 or not; None leaves what
    is set. Torch is not in inference mode, whose tensors cannot be trained. All is given back, whatever is raised."""
    before, of_gpu = torch.get_num_threads(), torch.device(device).type == "cuda"
    with torch.inference_mode(mode=False), _tf32_set(tf32) if tf32 is not None and of_gpu else nullcontext():
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _tf32_set(on: bool) -> Iterator[None]:
    """By the flags of old, which set `fp32_precision` too, so that code inside may read either."""
    precision, flag, named = _held()
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = flag
        for place, value in zip(_places(), named, strict=True):
            place.fp32_precision = value


def _held() -> tuple[str, bool, tuple[str, ...]]:
    """The two settings of old, and what `fp32_precision` says in each place.

    The old ones cannot be read where they say the opposite of the new, which tells what they say.
    """
    products, convolutions = _tf32()
    flags = [
        _read(lambda: torch.backends.cuda.matmul.allow_tf32, not products),
        _read(lambda: torch.backends.cudnn.allow_tf32, not convolutions),
    ]
    precision = _read(torch.get_float32_matmul_precision, "high" if flags[0] else "highest")
    return precision, flags[1], tuple(place.fp32_precision for place in _places())


def _read(setting: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return setting()
    except RuntimeError:
        return otherwise


def _places() -> tuple[Any, ...]:
    """Where `fp32_precision` is set: products, convolutions and recurrent layers on a GPU, products on a processor."""
    if not TWO_APIS:
        return ()
    backends: Any = torch.backends
    return backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul


# ------------------------------------------------------------ other load
@dataclass(frozen=True)
class Probe:
    """The state of a machine at a moment, to be asked later what others did since then.

    clock: seconds. busy: processor seconds that anybody spent on this process's cores, None where that is not told.
    own: those that this process and its children spent.
    """

    device: str
    clock: float
    busy: float | None
    own: float

    def seen(self) -> Load:
        """What others did with the machine from then until now."""
        now = load(self.device)
        return Load(self._cores(now), _held_by_others(torch.device(self.device)))

    def _cores(self, now: Probe) -> float | None:
        passed = now.clock - self.clock
        if self.busy is None or now.busy is None or passed < SHORTEST:
            return None
        return max(0.0, (now.busy - self.busy) - (now.own - self.own)) / passed


def load(device: str) -> Probe:
    """A probe that starts now."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return Probe(device, time.perf_counter(), _busy(), own)


def _busy() -> float | None:
    """Processor seconds that were spent on the cores of this process since the system started, by whomsoever; also
    those that a hypervisor gave to others."""
    cores, spent = _cores(), 0
    try:
        for line in STAT.read_text().splitlines():
            name, *figures = line.split()
            if re.fullmatch(r"cpu\d+", name) and int(name[3:]) in cores:
                user, nice, system, _, _, irq, soft_irq, stolen = map(int, figures[:8])
                spent += user + nice + system + irq + soft_irq + stolen
        return spent / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _held_by_others(place: torch.device) -> int | None:
    """Bytes of a GPU that others hold, beyond what this process's own context may."""
    if place.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(place)
    rest = total - free - torch.cuda.memory_reserved(place)
    return rest if rest > CONTEXT else 0
