"""What is measured on: a device → its name, size, software and settings, and what else it is doing meanwhile.

machine(device) → Machine          with_settings(device, threads=1)          load(device) → LoadProbe → Load
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

from archscope.backends import backend_of, tf32_set
from archscope.backends.processor import usable_cores
from archscope.measurement import Machine, MachineLoad

STAT_FILE = Path("/proc/stat")
MIN_LOAD_SECONDS = 0.1
"""Seconds below which the system's clock, which ticks a hundred times a second, says nothing of a load."""


def describe_machine(device: str) -> Machine:
    """The device as it is now; on `meta`, which computes nothing, the processor by that name."""
    return backend_of(device).machine()


@contextmanager
def with_settings(device: str, *, threads: int | None = None, tf32: bool | None = None) -> Iterator[None]:
    """Inside, torch uses so many threads, and where the device knows TF32, float32 products and convolutions use it or
    not; None leaves what is set. Torch is not in inference mode, whose tensors cannot be trained. All is given back,
    whatever is raised."""
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
    """The state of a machine at a moment, to be asked later what others did since then.

    clock: seconds. busy: processor seconds that anybody spent on this process's cores, None where that is not told.
    own: those that this process and its children spent.
    """

    device: str
    clock: float
    busy: float | None
    own: float

    def load_since(self) -> MachineLoad:
        """What others did with the machine from then until now."""
        now = start_probe(self.device)
        return MachineLoad(self._cores(now), backend_of(self.device).bytes_held_by_others())

    def _cores(self, now: LoadProbe) -> float | None:
        passed = now.clock - self.clock
        if self.busy is None or now.busy is None or passed < MIN_LOAD_SECONDS:
            return None
        return max(0.0, (now.busy - self.busy) - (now.own - self.own)) / passed


def start_probe(device: str) -> LoadProbe:
    """A probe that starts now."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return LoadProbe(device, time.perf_counter(), _busy_seconds(), own)


def _busy_seconds() -> float | None:
    """Processor seconds that were spent on the cores of this process since the system started, by whomsoever; also
    those that a hypervisor gave to others."""
    ours, spent = usable_cores(), 0
    try:
        for line in STAT_FILE.read_text().splitlines():
            name, *figures = line.split()
            if re.fullmatch(r"cpu\d+", name) and int(name[3:]) in ours:
                user, nice, system, _, _, irq, soft_irq, stolen = map(int, figures[:8])
                spent += user + nice + system + irq + soft_irq + stolen
        return spent / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
