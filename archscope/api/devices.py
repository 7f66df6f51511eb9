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

from archscope.api.keywords import told
from archscope.errors import UsageError
from archscope.roofline import SCHEMA, Ceilings, from_dict

if TYPE_CHECKING:
    from archscope.measurement import Here, Machine

Progress = Callable[[str], object]
LISTENING = 0.3
"""Seconds in which it shows whether the machine is busy."""


@told()
def device(
    name: str = "auto", *, again: bool = False, threads: int | None = None, progress: Progress | None = None
) -> Ceilings:
    """What a device (`auto`, `cpu`, `cuda[:i]`) can do at most: FLOP/s, bytes per second, the cost of a launch.

    Measured once, in about ten seconds, and kept in the user's cache for this device, driver, torch and number of
    threads; what was measured while others kept the machine busy, until they are done. again: measured anew. threads:
    of the processor, None leaves torch's. Raises UsageError.
    """
    from archscope import targets
    from archscope.measure import machine, with_settings
    from archscope.render import devices, views

    tell, place = progress or (lambda _: None), targets.opened(name)
    if place == "meta":
        raise UsageError("meta computes nothing, so it has no ceilings", 'device="cpu", or cuda')
    if name == "auto":
        tell_overlooked(place)
    with with_settings(place, threads=threads):
        here = machine(place)
        path = folder() / f"{key(here)}.json"
        kept = None if again else read(path)
        if kept is None or key(kept.machine) != key(here):
            kept = measured(place, tell)
            write(path, kept, tell)
        elif kept.disturbed and is_quiet(kept):
            kept = measured(place, tell).raised(kept)
            write(path, kept, tell)
        return replace(kept, machine=here, text=views.shown_as(devices.sheet).text)


def here() -> tuple[str, tuple[Here, ...]]:
    """What `auto` is, and every device that something could be measured on, or why it cannot. Measures nothing."""
    from archscope.backends import KINDS, automatic, backend_of
    from archscope.measurement import Here

    found: list[Here] = []
    for kind in KINDS.values():
        for name in kind.names():
            backend = backend_of(name)
            refusal = backend.unopened()
            if refusal is not None:
                found.append(Here(name, why=refusal.fact, help=refusal.cure))
                continue
            found.append(Here(name, backend.machine(), backend.free_bytes(), backend.held_by_others()))
        refusal = kind.refusal(kind.traits.kind) if not kind.is_here() else None
        if refusal is not None:
            found.append(Here(kind.traits.kind, why=refusal.fact, help=refusal.cure))
    return automatic(), tuple(found)


def tell_overlooked(place: str) -> None:
    """Says, where the process's log goes, that the processor is taken though the machine has more."""
    from archscope.backends import overlooked

    refusal = overlooked(place)
    if refusal is not None:
        logging.getLogger("archscope").warning("the GPU of this machine is not used: %s", refusal.fact)


def measured(place: str, tell: Progress) -> Ceilings:
    from archscope.measure.ceilings import measure_ceilings

    return measure_ceilings(place, tell=lambda what: tell(f"{place}: measuring {what}"))


def is_quiet(kept: Ceilings) -> bool:
    """Whether others would not disturb just now."""
    from archscope.measure import load

    probe = load(kept.machine.device)
    time.sleep(LISTENING)
    return not replace(kept, load=probe.seen()).disturbed


# ------------------------------------------------------------ the user's cache
def folder() -> Path:
    """Where caches lie on this system, in our part of it."""
    told = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    usual = Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
    base = Path(told) if Path(told).is_absolute() else usual
    with suppress(RuntimeError):  # where nobody knows a home, `~` is a folder like any other
        base = base.expanduser()
    return base / "archscope" / "ceilings"


def key(machine: Machine) -> str:
    """What ceilings depend on, as the name of a file."""
    parts = (
        SCHEMA,
        *(machine.device, machine.name, machine.driver, machine.version("torch"), machine.cores),
        machine.setting("threads") if machine.kind == "cpu" else None,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read(path: Path) -> Ceilings | None:
    """None where nothing is there, or it is no document of ours."""
    with suppress(OSError, ValueError, RecursionError):
        return from_dict(json.loads(path.read_text(encoding="utf-8")))
    return None


def write(path: Path, ceilings: Ceilings, tell: Progress) -> None:
    """Whole, or not at all; where it cannot be, `tell` is told."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as beside:
            draft = Path(beside, path.name)
            draft.write_text(json.dumps(ceilings.to_dict()), encoding="utf-8")
            os.replace(draft, path)
    except OSError as error:
        tell(f"not kept, since {path} cannot be written: {(error.strerror or str(error)).lower()}")
