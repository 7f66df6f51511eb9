"""A run that ended for lack of memory → UsageError."""

from __future__ import annotations

from archscope import units
from archscope.devices import backend_of, is_out_of_memory, leading_device, out_of_memory_text, split_devices
from archscope.errors import UsageError, clear_frames


def refuse_out_of_memory(error: BaseException | None, device: str, what: str) -> None:
    """Raise UsageError if `error` is an out-of-memory error; its frames are cleared to free their tensors."""
    if error is None or not is_out_of_memory(error):
        return
    place = leading_device(split_devices(device))
    others = backend_of(place).bytes_held_by_others()
    fact = f"{what}: {place} is out of memory: {out_of_memory_text(error)}"
    beside = f"; other processes hold {units.format_bytes(others)} of it" if others else ""
    clear_frames(error)
    raise UsageError(fact + beside, 'a smaller batch needs less memory; device="meta" needs none')
