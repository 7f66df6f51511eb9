"""Ceilings of a device, and lists of devices, as a Sheet or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.machine import AvailableDevice, Machine
from archscope.profiling.roofline import Ceilings
from archscope.render.json_csv import format_csv
from archscope.render.table_content import Heading, Sheet

CEILINGS_HEADINGS = (
    Heading("path", ""),
    Heading("most", "at most", right=True),
    Heading("ridge", "ridge", right=True),
)
CEILINGS_CSV_HEAD = ("quantity", "of", "value")


def ceilings_sheet(ceilings: Ceilings) -> Sheet:
    """Return the products by dtype, the bandwidth by working set, and the time of a launch."""
    return Sheet(
        head=tuple(machine_phrases(ceilings.machine)),
        headings=CEILINGS_HEADINGS,
        rows=tuple(ceilings_rows(ceilings)),
        foot=(*software_phrases(ceilings.machine), f"measured {ceilings.measured}"),
        notes=tuple(ceilings_notes(ceilings)),
    )


def machine_phrases(machine: Machine) -> Iterator[str]:
    """Yield `Xeon Gold 6230`, `cpu`, `2 cores`, `31.3 GiB`, `last cache 27.5 MiB`."""
    yield machine.name
    yield machine.device
    yield f"{machine.cores} {'cores' if machine.kind == 'cpu' else 'multiprocessors'}"
    yield units.format_bytes(machine.memory)
    if machine.cache is not None:
        yield f"last cache {units.format_bytes(machine.cache)}"


def software_phrases(machine: Machine) -> Iterator[str]:
    yield f"threads {machine.setting('threads')}"
    yield from (f"{what} {version}" for what, version in machine.versions)
    if machine.driver:
        yield f"driver {machine.driver}"


# ------------------------------------------------------------ rows
def ceilings_rows(ceilings: Ceilings) -> Iterator[tuple[str, ...]]:
    """Yield every dtype, every second working set, and always the largest, and the launch."""
    for dtype, peak in ceilings.peaks:
        ridge = ceilings.ridge(dtype)
        at_most = "?" if peak is None else units.format_rate(peak, "FLOP/s")
        yield f"products, {dtype}", at_most, "" if ridge is None else f"{ridge:,.1f} FLOPs/B"
    for size, rate in ceilings.bandwidths[::-2][::-1]:
        yield f"bytes, {units.format_bytes(size)} at work", units.format_rate(rate, "B/s"), ""
    yield "launch", units.format_duration(ceilings.launch), ""


# ------------------------------------------------------------ sentences
def ceilings_notes(ceilings: Ceilings) -> Iterator[str]:
    yield "products: of matrices; FLOPs = 2 × MACs"
    yield "ridge: FLOPs per byte above which products limit an operation, and below which memory does"
    yield f"launch: what one {'function' if ceilings.machine.kind == 'cpu' else 'kernel'} costs with nothing to do"
    if any(peak is None for _, peak in ceilings.peaks):
        yield "?: this device has no such products, or is extremely slow with them"
    yield from disturbance_notes(ceilings)


def disturbance_notes(ceilings: Ceilings) -> Iterator[str]:
    """Yield notes on other processes during the measurement."""
    load = ceilings.load
    if load.disturbs(ceilings.machine):
        yield f"others kept {load.cores:.1f} cores busy meanwhile: it is measured anew when they are done"
    if load.bytes:
        yield (
            f"others held {units.format_bytes(load.bytes)} of this device meanwhile, and may have been at work on it: "
            "it is measured anew when they are gone"
        )


# ------------------------------------------------------------ which are here
DEVICES_HEADINGS = (
    Heading("path", "device"),
    Heading("name", "what"),
    Heading("memory", "memory", right=True),
    Heading("free", "free", right=True),
    Heading("others", "others hold", right=True),
)


def devices_sheet(auto: str, found: Sequence[AvailableDevice]) -> Sheet:
    """Return a table of all devices, with notes on those that cannot be used."""
    return Sheet(
        head=(),
        headings=DEVICES_HEADINGS,
        rows=tuple(device_row(device) for device in found if device.machine is not None),
        foot=(f"auto: {auto}",),
        notes=tuple(f"{device.why}; {device.help}" for device in found if device.machine is None),
    )


def device_row(found: AvailableDevice) -> tuple[str, ...]:
    assert found.machine is not None
    sizes = (found.machine.memory, found.free, found.held_by_others)
    return found.device, found.machine.name, *("" if size is None else units.format_bytes(size) for size in sizes)


def devices_csv(found: Sequence[AvailableDevice]) -> str:
    """Return one line for every device, `usable` or not."""
    head = ("device", "usable", "name", "memory_bytes", "free_bytes", "held_by_others_bytes", "why")
    documents = [device.to_dict() for device in found]
    return format_csv([head, *([document.get(name) for name in head] for document in documents)])


def devices_document(auto: str, found: Sequence[AvailableDevice]) -> dict[str, object]:
    return {"schema": "archscope.devices/1", "auto": auto, "devices": [device.to_dict() for device in found]}


# ------------------------------------------------------------ for programs
def ceilings_csv(ceilings: Ceilings) -> str:
    """Return one line for every figure: FLOP/s of a dtype, bytes per second of a working set, seconds of a launch."""
    return format_csv(
        [
            CEILINGS_CSV_HEAD,
            *(("flops_per_second", dtype, peak) for dtype, peak in ceilings.peaks),
            *(("bytes_per_second", size, rate) for size, rate in ceilings.bandwidths),
            ("launch_seconds", None, ceilings.launch),
        ]
    )
