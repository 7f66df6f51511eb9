"""What is so of every device of one kind, as plain data: what the rooms without torch must know of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceTraits:
    """A kind of device.

    kind: as torch calls it. allocator_granule: bytes; its allocator hands out whole multiples. is_async: whether a
    function returns before its work is done, so that a row's time is that of its kernels, and a row may launch none.
    joint_steps: whether torch's optimizers step all parameters together. tf32: whether float32 products may be computed
    in TF32. fragmentation_share: the share of its memory that may lie in pieces too small to use. idle_cause: what
    passes between rows, in words.
    """

    kind: str = "cpu"
    allocator_granule: int = 1
    is_async: bool = False
    joint_steps: bool = False
    tf32: bool = False
    fragmentation_share: float = 0.0
    idle_cause: str = "Python between the rows"


CPU_TRAITS = DeviceTraits()
