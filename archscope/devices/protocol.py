"""The protocol of a backend: everything that the other packages may ask of a device.

Backend("cuda:0") → clock, memory, machine, graph, profiler, ceilings     of its kind: random states, settings
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

from torch.profiler import ProfilerActivity

from archscope.machine import DeviceTraits, Machine

Action = Callable[[], object]
GetSetPair = tuple[Callable[[], Any], Callable[[Any], object]]
"""A function that reads a state, and one that restores it."""


class DeviceProblem(NamedTuple):
    """Why a device cannot be used, and how to fix that."""

    fact: str
    help: str


class Clock(Protocol):
    """A clock in the order of the device's work.

    mark: record a moment. synchronize: wait until all work is done. min_seconds: how long a sample should last, so that
    the cost of a mark does not matter.
    """

    min_seconds: float

    def mark(self) -> Any: ...

    def synchronize(self) -> None: ...

    def seconds_between(self, first: Any, second: Any) -> float:
        """Return the seconds between two marks; valid after `synchronize`."""


class AllocatorPeak(Protocol):
    """The memory that a kernel allocates for itself while it runs (scratch memory)."""

    def start(self) -> None:
        """Reset the peak: a kernel begins."""

    def scratch_bytes(self) -> int:
        """Return the bytes that the kernel held at most, beyond what it left allocated."""


class Backend(Protocol):
    """One device; class methods are about all devices of its kind."""

    traits: ClassVar[DeviceTraits]
    activities: ClassVar[Sequence[ProfilerActivity]]
    """The activities that torch's profiler records so that kernels have times of their own; empty if it sees none."""

    def __init__(self, device: str): ...

    @classmethod
    def is_available(cls) -> bool:
        """Return whether there is such a device and torch can use it."""

    @classmethod
    def device_names(cls) -> Sequence[str]:
        """Return the names of the devices of this kind that torch can use and that can be measured on."""

    @classmethod
    def unused_device_problem(cls) -> DeviceProblem | None:
        """Return why a device that the machine has cannot be used; None if it can, or if there is none."""

    @classmethod
    def device_problem(cls, device: str) -> DeviceProblem | None:
        """Return why this device cannot be used; None if it can."""

    @classmethod
    def is_initialized(cls) -> bool:
        """Return whether this process has already used such a device; reading states does not initialize one."""

    @classmethod
    def random_states(cls) -> Sequence[GetSetPair]:
        """Return getters and setters of the generators that are in use."""

    @classmethod
    def settings(cls) -> Sequence[GetSetPair]:
        """Return getters and setters of the process's settings for this kind."""

    @classmethod
    def seed(cls, seed: int) -> None:
        """Seed the generators of all devices of this kind that are in use."""

    @classmethod
    def synchronize_all(cls) -> None:
        """Wait for all devices of this kind that are in use."""

    def unopened(self) -> DeviceProblem | None:
        """Return why the device, although present, refuses a first tiny piece of work; None if it does not."""

    def initialize(self) -> None:
        """Initialize torch for the device, as its first tensor there would."""

    def as_current(self) -> AbstractContextManager[object]:
        """Inside, the device is the current one of its kind: the default where no index is given."""

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def clock(self) -> Clock: ...

    def allocator_peak(self) -> AllocatorPeak | None:
        """Return a meter of scratch memory; None if no allocator reports it."""

    def disable_autotuning(self) -> None:
        """Stop libraries from trying all their algorithms for each new shape, since trials need memory that later runs
        do not. This changes one of `settings`, which the caller restores."""

    def peak_bytes(self, run: Action) -> int | None:
        """Return the highest number of bytes allocated during the run, beyond those at its start; None if unknown."""

    def free_bytes(self) -> int | None:
        """Return the bytes that a new tensor could take; None if that is unknown or does not matter."""

    def bytes_held_by_others(self) -> int | None:
        """Return the bytes of the device's own memory that other processes hold; None if it has none, or if unknown."""

    def machine(self) -> Machine:
        """Return a description of the device with its present settings."""

    def has_tf32(self) -> bool:
        """Return whether the hardware computes float32 products in TF32, and products of bfloat16."""

    def capture_graph(self, step: Action, forget: Action) -> Action | None:
        """Return a function that replays a step as one graph; None if the device has no graphs.

        Raises what the step or torch raises. forget: drops what a step leaves behind.
        """

    def repeat_call(self, call: Action, times: int) -> Action | None:
        """Return a function that makes `times` calls with one launch; None if launching costs nothing beside a call."""
