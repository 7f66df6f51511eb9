"""Ceilings of a device: name → the user's cache, or a measurement that goes there → Ceilings.

A cached file that cannot be read, or belongs to another machine, is measured again; a cache that cannot be written is
no error. Files are written whole or not at all, so that two processes may measure at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archscope.api.keyword_checks import validate_keywords
from archscope.errors import UsageError
from archscope.roofline import DEVICE_SCHEMA, Ceilings, parse_ceilings

if TYPE_CHECKING:
    from archscope.measurement import AvailableDevice, Machine

Progress = Callable[[str], object]
LOAD_SAMPLE_SECONDS = 0.3
"""Seconds in which it shows whether the machine is busy."""


@validate_keywords()
def device(
    name: str = "auto", *, again: bool = False, threads: int | None = None, progress: Progress | None = None
) -> Ceilings:
    """What a device (`auto`, `cpu`, `cuda[:i]`) can do at most: FLOP/s, bytes per second, the cost of a launch.

    Measured once, in about ten seconds, and kept in the user's cache for this device, driver, torch and number of
    threads; what was measured while others kept the machine busy, until they are done. again: measured anew. threads:
    of the processor, None leaves torch's. Raises UsageError.
    """
    from archscope import targets
    from archscope.measure import describe_machine, with_settings
    from archscope.render import devices, views

    tell, place = progress or (lambda _: None), targets.opened(name)
    if place == "meta":
        raise UsageError("meta computes nothing, so it has no ceilings", 'device="cpu", or cuda')
    if name == "auto":
        warn_unused_gpu(place)
    with with_settings(place, threads=threads):
        here = describe_machine(place)
        path = cache_folder() / f"{cache_key(here)}.json"
        kept = None if again else read_cache(path)
        if kept is None or cache_key(kept.machine) != cache_key(here):
            kept = measure_device(place, tell)
            write_cache(path, kept, tell)
        elif kept.disturbed and is_machine_quiet(kept):
            kept = measure_device(place, tell).merge_best(kept)
            write_cache(path, kept, tell)
        return replace(kept, machine=here, text=views.sheet_views(devices.ceilings_sheet).text)


def list_devices() -> tuple[str, tuple[AvailableDevice, ...]]:
    """What `auto` is, and every device that something could be measured on, or why it cannot. Measures nothing."""
    from archscope.backends import BACKENDS, backend_of, default_device
    from archscope.measurement import AvailableDevice

    found: list[AvailableDevice] = []
    for kind in BACKENDS.values():
        for name in kind.device_names():
            backend = backend_of(name)
            refusal = backend.unopened()
            if refusal is not None:
                found.append(AvailableDevice(name, why=refusal.fact, help=refusal.cure))
                continue
            found.append(AvailableDevice(name, backend.machine(), backend.free_bytes(), backend.bytes_held_by_others()))
        refusal = kind.device_problem(kind.traits.kind) if not kind.is_available() else None
        if refusal is not None:
            found.append(AvailableDevice(kind.traits.kind, why=refusal.fact, help=refusal.cure))
    return default_device(), tuple(found)


def warn_unused_gpu(place: str) -> None:
    """Says, where the process's log goes, that the processor is taken though the machine has more."""
    from archscope.backends import unused_device_problem

    refusal = unused_device_problem(place)
    if refusal is not None:
        logging.getLogger("archscope").warning("the GPU of this machine is not used: %s", refusal.fact)


def measure_device(place: str, tell: Progress) -> Ceilings:
    from archscope.measure.ceilings import measure_ceilings

    return measure_ceilings(place, on_progress=lambda what: tell(f"{place}: measuring {what}"))


def is_machine_quiet(kept: Ceilings) -> bool:
    """Whether others would not disturb just now."""
    from archscope.measure import start_probe

    probe = start_probe(kept.machine.device)
    time.sleep(LOAD_SAMPLE_SECONDS)
    return not replace(kept, load=probe.load_since()).disturbed


# ------------------------------------------------------------ the user's cache
def cache_folder() -> Path:
    """Where caches lie on this system, in our part of it."""
    told = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    usual = Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    base = Path(told) if Path(told).is_absolute() else usual
    with suppress(RuntimeError):  # where nobody knows a home, `~` is a folder like any other
        base = base.expanduser()
    return base / "archscope" / "ceilings"


def cache_key(machine: Machine) -> str:
    """What ceilings depend on, as the name of a file."""
    parts = (
        DEVICE_SCHEMA,
        *(machine.device, machine.name, machine.driver, machine.version("torch"), machine.cores),
        machine.setting("threads") if machine.kind == "cpu" else None,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_cache(path: Path) -> Ceilings | None:
    """None where nothing is there, or it is no document of ours."""
    with suppress(OSError, ValueError, RecursionError):
        return parse_ceilings(json.loads(path.read_text(encoding="utf-8")))
    return None


def write_cache(path: Path, ceilings: Ceilings, tell: Progress) -> None:
    """Whole, or not at all; where it cannot be, `tell` is told."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
            draft = Path(beside, path.name)
            draft.write_text(json.dumps(ceilings.to_dict()), encoding="utf-8")
            os.replace(draft, path)
    except OSError as error:
        tell(f"not kept, since {path} cannot be written: {(error.strerror or str(error)).lower()}")
