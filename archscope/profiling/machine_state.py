"""The machine that is measured on: its description and settings, and the load that other processes put on it.

describe_machine(device) → Machine     with_settings(device, threads=1)     start_probe(device).load_since() →
MachineLoad
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from archscope.devices import backend_of, tf32_set
from archscope.devices.cpu import usable_cores
from archscope.machine import Machine, MachineLoad

STAT_FILE = Path("/proc/stat")
MIN_LOAD_SECONDS = 0.1
"""The least seconds for which the system's CPU clock, with a hundred ticks per second, says something about load."""


def describe_machine(device: str) -> Machine:
    """Return the device with its present settings; for `meta`, the CPU under that name."""
    return backend_of(device).machine()


@contextmanager
def with_settings(device: str, *, threads: int | None = None, tf32: bool | None = None) -> Iterator[None]:
    """Inside, torch uses `threads` threads, and float32 products and convolutions use TF32 or not if the device
    supports it; None keeps the setting. torch is not in inference mode, whose tensors cannot be trained. Afterwards all
    settings are as before, whatever is raised."""
    before, has_choice = torch.get_num_threads(), backend_of(device).traits.tf32
    with torch.inference_mode(mode=False), tf32_set(tf32) if tf32 is not None and has_choice else nullcontext():
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            yield
        finally:
            torch.set_num_threads(before)


# ------------------------------------------------------------ other load
@dataclass(frozen=True)
class LoadProbe:
    """The state of a machine at a moment, which a later call of `load_since` compares with the state of then.

    clock: seconds. busy: CPU seconds that all processes spent on this process's cores, None if unknown. own: those of
    this process and its children.
    """

    device: str
    clock: float
    busy: float | None
    own: float

    def load_since(self) -> MachineLoad:
        """Return the load of other processes from the start of this probe until now."""
        now = start_probe(self.device)
        return MachineLoad(self._cores(now), backend_of(self.device).bytes_held_by_others())

    def _cores(self, now: LoadProbe) -> float | None:
        passed = now.clock - self.clock
        if self.busy is None or now.busy is None or passed < MIN_LOAD_SECONDS:
            return None
        return max(0.0, (now.busy - self.busy) - (now.own - self.own)) / passed


def start_probe(device: str) -> LoadProbe:
    """Return a probe that starts now."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return LoadProbe(device, time.perf_counter(), _busy_seconds(), own)


def _busy_seconds() -> float | None:
    """Return the CPU seconds spent on the cores of this process since the system started, by all processes; also those
    that a hypervisor gave to other machines. None if unknown."""
    cores, spent = usable_cores(), 0
    try:
        for line in STAT_FILE.read_text().splitlines():
            name, *figures = line.split()
            if re.fullmatch(r"cpu\d+", name) and int(name[3:]) in cores:
                user, nice, system, _, _, irq, soft_irq, stolen = map(int, figures[:8])
                spent += user + nice + system + irq + soft_irq + stolen
        return spent / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
