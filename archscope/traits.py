"""What is so of every device of one kind, as plain data: what the rooms without torch must know of it. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """A kind of device.

    kind: as torch calls it. granule: bytes; its allocator hands out whole multiples. queued: whether a function returns
    before its work is done, so that a row's time is that of its kernels, and a row may launch none. joint_steps:
    whether torch's optimizers step all parameters together. tf32: whether float32 products may be computed in TF32.
    spare: the share of its memory that may lie in pieces too small to use. idle: what passes between rows, in words.
    """

    kind: str = "cpu"
    granule: int = 1
    queued: bool = False
    joint_steps: bool = False
    tf32: bool = False
    spare: float = 0.0
    idle: str = "Python between the rows"


HOST = Traits()
