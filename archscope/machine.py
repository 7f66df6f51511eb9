"""Devices and machines as plain data without torch.

DeviceTraits (what all devices of a kind share), Machine (a device and its settings), MachineLoad (what other processes
do on it meanwhile)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DISTURBING_CORES = 0.2
"""The number of processor cores in use by other processes from which on a measurement counts as disturbed."""


@dataclass(frozen=True)
class DeviceTraits:
    """The properties of one kind of device.

    kind: the device type in torch. allocator_granule: in bytes; the allocator returns whole multiples of it. is_async:
    whether a function returns before its work is done, so that the time of a row is that of its kernels, and a row may
    launch none. joint_steps: whether torch's optimizers update all parameters together (`foreach`). tf32: whether
    float32 products may be computed in TF32. fragmentation_share: the share of memory that may be lost to
    fragmentation. idle_cause: a description of what takes time between rows.
    """

    kind: str = "cpu"
    allocator_granule: int = 1
    is_async: bool = False
    joint_steps: bool = False
    tf32: bool = False
    fragmentation_share: float = 0.0
    idle_cause: str = "Python between the rows"


CPU_TRAITS = DeviceTraits()


@dataclass(frozen=True)
class Machine:
    """The device that was measured, the software on it, and the settings that times depend on.

    device: the name in torch (`cpu`, `cuda:0`). name: the model of the processor or GPU. cores: that this process may
    use; the multiprocessors of a GPU. memory: total bytes of the device. cache: bytes of the last-level cache; None if
    not known. driver: of the GPU, empty on CPU. versions: of python and torch, on a GPU also of CUDA and cuDNN.
    settings: threads, tf32 and others that change times.
    """

    device: str
    name: str
    cores: int
    memory: int
    cache: int | None
    driver: str
    versions: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, object], ...]
    traits: DeviceTraits = field(default=CPU_TRAITS, compare=False)

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.partition(":")[0]

    def version(self, what: str) -> str:
        """Return the version of a piece of software; empty if it is not installed."""
        return dict(self.versions).get(what, "")

    def setting(self, what: str) -> object:
        return dict(self.settings).get(what)

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "name": self.name,
            "cores": self.cores,
            "memory_bytes": self.memory,
            "cache_bytes": self.cache,
            "driver": self.driver or None,
            "versions": dict(self.versions),
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class AvailableDevice:
    """A device with its free bytes and the bytes in use by other processes; or, if it cannot be used, the reason and
    help."""

    device: str
    machine: Machine | None = None
    free: int | None = None
    held_by_others: int | None = None
    why: str = ""
    help: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.machine is None:
            return {"device": self.device, "usable": False, "why": self.why, "help": self.help}
        own = {"usable": True, "free_bytes": self.free, "held_by_others_bytes": self.held_by_others}
        return {**self.machine.to_dict(), "device": self.device, **own}


@dataclass(frozen=True)
class MachineLoad:
    """The load of a machine by other processes during a measurement; None if it cannot be known.

    cores: the number of processor cores in use by them. bytes: the device memory in use by them.
    """

    cores: float | None = None
    bytes: int | None = None

    def disturbs(self, machine: Machine) -> bool:
        """Return whether they left the processor fewer cores than this process has threads, and so slowed it down."""
        threads = machine.setting("threads")
        if machine.kind != "cpu" or self.cores is None or not isinstance(threads, int):
            return False
        return self.cores >= DISTURBING_CORES and self.cores + threads >= machine.cores + DISTURBING_CORES

    def to_dict(self) -> dict[str, Any]:
        return {"cores": self.cores, "bytes": self.bytes}
