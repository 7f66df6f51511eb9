"""What every device can be asked, whatever its kind: the protocol that its backend keeps to.

Backend("cuda:0") → clock, memory, machine, graph, profiler, ceilings          of its kind: random states, settings
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

from torch.profiler import ProfilerActivity

from archscope.device_traits import DeviceTraits
from archscope.measurement import Machine

Action = Callable[[], object]
GetSetPair = tuple[Callable[[], Any], Callable[[Any], object]]
"""What takes a state, and what gives it back."""


class DeviceProblem(NamedTuple):
    """Why a device cannot be used, and what helps."""

    fact: str
    cure: str


class Clock(Protocol):
    """mark: a moment, in the order of the device's work. synchronize: until all work is done. min_seconds: seconds that
    a sample should last, so that marking costs nothing beside it."""

    min_seconds: float

    def mark(self) -> Any: ...

    def synchronize(self) -> None: ...

    def seconds_between(self, first: Any, second: Any) -> float:
        """Seconds, after `wait`."""


class AllocatorPeak(Protocol):
    """What a kernel needs for itself while it runs."""

    def start(self) -> None:
        """A kernel begins."""

    def scratch_bytes(self) -> int:
        """Bytes that it held at most beyond what it left."""


class Backend(Protocol):
    """One device. What belongs to all devices of the kind is asked of the class."""

    traits: ClassVar[DeviceTraits]
    activities: ClassVar[Sequence[ProfilerActivity]]
    """What torch's profiler is told to look at, so that kernels have times of their own; empty where it sees none."""

    def __init__(self, device: str): ...

    @classmethod
    def is_available(cls) -> bool:
        """Whether there is such a device, and torch can use it."""

    @classmethod
    def device_names(cls) -> Sequence[str]:
        """The devices of the kind that torch can use and something can be measured on."""

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        """Why a device that the machine has cannot be used; None where it can, or there is none."""

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        """Why this device cannot be used; None where it can."""

    @classmethod
    def is_initialized(cls) -> bool:
        """Whether this process has used such a device; what only reads or keeps states wakes none."""

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        """Of the generators that are in use."""

    @classmethod
    def settings(cls) -> Sequence[GetSetPair]:
        """Of the process, for this kind."""

    @classmethod
    def seed(cls, seed: int) -> None:
        """Seeds the generators of all devices of the kind that are in use."""

    @classmethod
    def synchronize_all(cls) -> None:
        """Waits for all devices of the kind that are in use."""

    def unopened(self) -> DeviceProblem | None:
        """Why a device that is there refuses to work, which its first, tiny work shows; None where it does not."""

    def initialize(self) -> None:
        """Makes torch ready for the device, as its first tensor there would."""

    def as_current(self) -> AbstractContextManager[object]:
        """Inside, it is the device of its kind that is meant where none is named."""

    def synchronize(self) -> None:
        """Returns when the device has done all its work."""

    def clock(self) -> Clock: ...

    def allocator_peak(self) -> AllocatorPeak | None:
        """None where no allocator tells."""

    def disable_autotuning(self) -> None:
        """Libraries no longer try all their algorithms when they meet a shape, since trials need memory that later runs
        do not; one of the `settings`, which whoever asks gives back."""

    def peak_bytes(self, run: Action) -> int | None:
        """Bytes on top of what was allocated when the run began, at its highest; None where they cannot be told."""

    def free_bytes(self) -> int | None:
        """Memory that a new tensor could take; None where it is not known or does not matter."""

    def bytes_held_by_others(self) -> int | None:
        """Bytes of the device's own memory that other processes hold; None where it has none, or that is not known."""

    def machine(self) -> Machine:
        """The device as it is now."""

    def has_tf32(self) -> bool:
        """Whether it computes float32 products in TF32, and products of bfloat16, in hardware."""

    def capture_graph(self, step: Action, forget: Action) -> Action | None:
        """What replays a step as one graph; None where the device has no graphs. Raises what the step or torch does.

        forget: drops what a step leaves behind.
        """

    def repeat_call(self, call: Action, times: int) -> Action | None:
        """What runs a call so many times at one launch; None where launching costs nothing beside the call."""
