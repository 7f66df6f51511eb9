"""The measured ceilings of a device, from the user's cache if it has them.

A cached file that is invalid or was written for another machine is measured again; it is no error if the cache cannot
be written. Files are replaced atomically, so that two processes may measure at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from archscope import targets
from archscope.analysis.run_options import Progress
from archscope.devices import BACKENDS, backend_of, default_device, unused_device_problem
from archscope.errors import UsageError
from archscope.machine import AvailableDevice, Machine
from archscope.profiling.ceilings import measure_ceilings
from archscope.profiling.machine_state import describe_machine, start_probe, with_settings
from archscope.profiling.roofline import DEVICE_SCHEMA, Ceilings, parse_ceilings
from archscope.render import devices, notebook_views

LOAD_SAMPLE_SECONDS = 0.3
"""The seconds for which the load of the machine is sampled."""


def device_ceilings(
    name: str, *, again: bool = False, threads: int | None = None, progress: Progress | None = None
) -> Ceilings:
    """Return the peak rates of a device; measured, or from the cache. Raises UsageError."""
    progress, place = progress or (lambda _: None), targets.opened(name)
    if place == "meta":
        raise UsageError("meta computes nothing, so it has no ceilings", 'device="cpu", or cuda')
    if name == "auto":
        warn_unused_gpu(place)
    with with_settings(place, threads=threads):
        machine = describe_machine(place)
        path = cache_folder() / f"{cache_key(machine)}.json"
        ceilings = None if again else read_cache(path)
        if ceilings is None or cache_key(ceilings.machine) != cache_key(machine):
            ceilings = measure_device(place, progress)
            write_cache(path, ceilings, progress)
        elif ceilings.disturbed and is_machine_quiet(ceilings):
            ceilings = measure_device(place, progress).merge_best(ceilings)
            write_cache(path, ceilings, progress)
        return replace(ceilings, machine=machine, text=notebook_views.sheet_views(devices.ceilings_sheet).text)


def list_devices() -> tuple[str, tuple[AvailableDevice, ...]]:
    """Return the device that `auto` selects, and every device, either with its data or with the reason why it cannot
    be used.
    """
    found: list[AvailableDevice] = []
    for kind in BACKENDS.values():
        for name in kind.device_names():
            backend = backend_of(name)
            refusal = backend.unopened()
            if refusal is not None:
                found.append(AvailableDevice(name, why=refusal.fact, help=refusal.help))
                continue
            found.append(AvailableDevice(name, backend.machine(), backend.free_bytes(), backend.bytes_held_by_others()))
        refusal = kind.device_problem(kind.traits.kind) if not kind.is_available() else None
        if refusal is not None:
            found.append(AvailableDevice(kind.traits.kind, why=refusal.fact, help=refusal.help))
    return default_device(), tuple(found)


def warn_unused_gpu(place: str) -> None:
    """Log a warning if the CPU is used although the machine has a GPU."""
    refusal = unused_device_problem(place)
    if refusal is not None:
        logging.getLogger("archscope").warning("the GPU of this machine is not used: %s", refusal.fact)


def measure_device(place: str, progress: Progress) -> Ceilings:
    return measure_ceilings(place, on_progress=lambda what: progress(f"{place}: measuring {what}"))


def is_machine_quiet(ceilings: Ceilings) -> bool:
    """Return whether other processes leave the machine idle at the moment."""
    probe = start_probe(ceilings.machine.device)
    time.sleep(LOAD_SAMPLE_SECONDS)
    return not replace(ceilings, load=probe.load_since()).disturbed


# ------------------------------------------------------------ the user's cache
def cache_folder() -> Path:
    """Return archscope's folder in the cache folder of this system."""
    folder = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    usual = Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    base = Path(folder) if Path(folder).is_absolute() else usual
    with suppress(RuntimeError):  # without a home directory, `~` is a folder like any other
        base = base.expanduser()
    return base / "archscope" / "ceilings"


def cache_key(machine: Machine) -> str:
    """Return a file name for a machine: a hash of everything that ceilings depend on."""
    parts = (
        DEVICE_SCHEMA,
        *(machine.device, machine.name, machine.driver, machine.version("torch"), machine.cores),
        machine.setting("threads") if machine.kind == "cpu" else None,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_cache(path: Path) -> Ceilings | None:
    """Return the ceilings in a file; None if there is no such file, or it is invalid."""
    with suppress(OSError, ValueError, RecursionError):
        return parse_ceilings(json.loads(path.read_text(encoding="utf-8")))
    return None


def write_cache(path: Path, ceilings: Ceilings, progress: Progress) -> None:
    """Write the file atomically; if that fails, report that to `progress`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
            draft = Path(beside, path.name)
            draft.write_text(json.dumps(ceilings.to_dict()), encoding="utf-8")
            os.replace(draft, path)
    except OSError as error:
        progress(f"not kept, since {path} cannot be written: {(error.strerror or str(error)).lower()}")
