"""Ceilings → Sheet, CSV: what a device can do at most, in products, bytes and launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope import units
from archscope.measurement import Here, Machine
from archscope.render.data import table
from archscope.render.sheet import Heading, Sheet
from archscope.roofline import Ceilings

HEADINGS = (
    Heading("path", ""),
    Heading("most", "at most", right=True),
    Heading("ridge", "ridge", right=True),
)
CSV_HEAD = ("quantity", "of", "value")


def sheet(ceilings: Ceilings) -> Sheet:
    """The products by dtype, the bytes by working set, the cost of a launch."""
    return Sheet(
        head=tuple(head(ceilings.machine)),
        headings=HEADINGS,
        rows=(*products(ceilings), *bandwidths(ceilings), launch(ceilings)),
        foot=(*software(ceilings.machine), f"measured {ceilings.measured}"),
        notes=tuple(notes(ceilings)),
    )


def head(machine: Machine) -> Iterator[str]:
    """`Xeon Gold 6230 · cpu · 2 cores · 31.3 GiB · last cache 27.5 MiB`, in phrases."""
    yield machine.name
    yield machine.device
    yield f"{machine.cores} {'cores' if machine.kind == 'cpu' else 'multiprocessors'}"
    yield units.size(machine.memory)
    if machine.cache is not None:
        yield f"last cache {units.size(machine.cache)}"


def software(machine: Machine) -> Iterator[str]:
    yield f"threads {machine.setting('threads')}"
    yield from (f"{what} {version}" for what, version in machine.versions)
    if machine.driver:
        yield f"driver {machine.driver}"


# ------------------------------------------------------------ rows
def products(ceilings: Ceilings) -> Iterator[tuple[str, ...]]:
    for dtype, peak in ceilings.peaks:
        ridge = ceilings.ridge(dtype)
        at_most = "?" if peak is None else units.rate(peak, "FLOP/s")
        yield f"products, {dtype}", at_most, "" if ridge is None else f"{ridge:,.1f} FLOPs/B"


def bandwidths(ceilings: Ceilings) -> Iterator[tuple[str, ...]]:
    """Every second working set; the largest is always there."""
    for size, rate in ceilings.bandwidths[::-2][::-1]:
        yield f"bytes, {units.size(size)} at work", units.rate(rate, "B/s"), ""


def launch(ceilings: Ceilings) -> tuple[str, ...]:
    return "launch", units.duration(ceilings.launch), ""


# ------------------------------------------------------------ sentences
def notes(ceilings: Ceilings) -> Iterator[str]:
    yield "products: of matrices; FLOPs = 2 × MACs"
    yield "ridge: FLOPs per byte from which on products hold an operation, and not memory"
    yield f"launch: what one {'function' if ceilings.machine.kind == 'cpu' else 'kernel'} costs with nothing to do"
    if any(peak is None for _, peak in ceilings.peaks):
        yield "?: this device has no such products, or is hopelessly slow with them"
    yield from disturbed(ceilings)


def disturbed(ceilings: Ceilings) -> Iterator[str]:
    """What others did meanwhile."""
    load = ceilings.load
    if load.disturbs(ceilings.machine):
        yield f"others kept {load.cores:.1f} cores busy meanwhile: it is measured anew when they are done"
    if load.bytes:
        yield (
            f"others held {units.size(load.bytes)} of this device meanwhile, and may have been at work on it: "
            "it is measured anew when they are gone"
        )


# ------------------------------------------------------------ which are here
HERE_HEADINGS = (
    Heading("path", "device"),
    Heading("name", "what"),
    Heading("memory", "memory", right=True),
    Heading("free", "free", right=True),
    Heading("others", "others hold", right=True),
)


def here_sheet(auto: str, found: Sequence[Here]) -> Sheet:
    """Every device at hand; those that cannot be used are told below."""
    return Sheet(
        head=(),
        headings=HERE_HEADINGS,
        rows=tuple(here_row(one) for one in found if one.machine is not None),
        foot=(f"auto: {auto}",),
        notes=tuple(f"{one.why}; {one.help}" for one in found if one.machine is None),
    )


def here_row(one: Here) -> tuple[str, ...]:
    assert one.machine is not None
    sizes = (one.machine.memory, one.free, one.others)
    return one.device, one.machine.name, *("" if size is None else units.size(size) for size in sizes)


def here_csv(found: Sequence[Here]) -> str:
    """One line for every device, `usable` or not."""
    head = ("device", "usable", "name", "memory_bytes", "free_bytes", "held_by_others_bytes", "why")
    documents = [one.to_dict() for one in found]
    return table([head, *([document.get(name) for name in head] for document in documents)])


def here_document(auto: str, found: Sequence[Here]) -> dict[str, object]:
    return {"schema": "archscope.devices/1", "auto": auto, "devices": [one.to_dict() for one in found]}


# ------------------------------------------------------------ for programs
def csv(ceilings: Ceilings) -> str:
    """One line for every figure: FLOP/s of a dtype, bytes per second of a working set, seconds of a launch."""
    return table([CSV_HEAD, *lines(ceilings)])


def lines(ceilings: Ceilings) -> Iterator[Sequence[object]]:
    yield from (("flops_per_second", dtype, peak) for dtype, peak in ceilings.peaks)
    yield from (("bytes_per_second", size, rate) for size, rate in ceilings.bandwidths)
    yield "launch_seconds", None, ceilings.launch
