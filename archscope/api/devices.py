"""`device`: the measured ceilings of a device; and `list_devices`, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archscope.analysis.run_options import Progress
from archscope.api.keyword_checks import validate_keywords

if TYPE_CHECKING:
    from archscope.machine import AvailableDevice
    from archscope.profiling.roofline import Ceilings


@validate_keywords()
def device(
    name: str = "auto", *, again: bool = False, threads: int | None = None, progress: Progress | None = None
) -> Ceilings:
    """Return the peak rates of a device (`auto`, `cpu`, `cuda[:i]`): FLOP/s, bytes per second, seconds of a kernel
    launch.

    They are measured once, in about ten seconds, and stored in the user's cache for this device, driver, torch
    version and number of threads; those that were measured while other processes used the machine are measured again
    when it is idle. again: measure anew. threads: of the CPU; None leaves torch's setting. Raises UsageError.
    """
    from archscope.analysis.device_ceilings import device_ceilings

    return device_ceilings(name, again=again, threads=threads, progress=progress)


def list_devices() -> tuple[str, tuple[AvailableDevice, ...]]:
    """Return the device that `auto` selects, and every device, either with its data or with the reason why it cannot
    be used.
    """
    from archscope.analysis import device_ceilings

    return device_ceilings.list_devices()
