"""Properties that all devices of one kind share, as plain data without torch."""

from __future__ import annotations

from dataclasses import dataclass


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
