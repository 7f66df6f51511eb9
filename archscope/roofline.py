"""How fast a device can be at most, and what that means for an operation: plain data. No torch.

    Ceilings (a machine: FLOP/s per dtype, bytes per second per working set, seconds per kernel)
        + what an operation does (FLOPs, bytes moved, kernels) → Bound (the least time, and what holds it there)
        + what it took → RooflinePoint (a place in the picture)

FLOPs are 2 × MACs. Unknown is None and never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from archscope.measurement import Machine, MachineLoad

DEVICE_SCHEMA = "archscope.device/1"
TF32_DTYPE = "float32 (TF32)"
BoundKind = Literal["compute", "memory", "launch", "unknown"]
BOUND_KINDS: tuple[BoundKind, ...] = get_args(BoundKind)


@dataclass(frozen=True)
class Ceilings:
    """What a machine can do at most.

    peaks: FLOP/s of matrix products by dtype, as torch calls it, and `float32 (TF32_DTYPE)`; None where the device
    lacks the dtype or is hopelessly slow with it. bandwidths: (working set in bytes, bytes per second), small sets
    first, never rising: small sets stay in caches. launch: seconds that one kernel (on CPU one function) costs with
    nothing to do. measured: when, as ISO 8601. load: what else the machine was doing. text: how it shows itself.
    """

    machine: Machine
    peaks: tuple[tuple[str, float | None], ...]
    bandwidths: tuple[tuple[int, float], ...]
    launch: float
    measured: str
    load: MachineLoad
    text: Callable[[Ceilings], str] = field(default=repr, compare=False, repr=False)

    def peak(self, dtype: str) -> float | None:
        """FLOP/s at most; None where that is not known."""
        return dict(self.peaks).get(dtype)

    @property
    def memory(self) -> float:
        """Bytes per second of the largest working set: what the memory itself gives."""
        return self.bandwidths[-1][1]

    @property
    def disturbed(self) -> bool:
        """Whether others left the processor fewer cores than it has threads, or may have been at work on the device, so
        that it may do more than was seen."""
        return self.load.disturbs(self.machine) or bool(self.load.bytes)

    def bandwidth(self, moved: int) -> float:
        """Bytes per second where `moved` bytes are at work: linear over the logarithm between two sets that were
        measured, and the last one's beyond them."""
        sets = self.bandwidths
        above = next((at for at, (size, _) in enumerate(sets) if size >= moved), len(sets) - 1)
        (small, fast), (large, slow) = sets[max(above - 1, 0)], sets[above]
        if not small < moved < large:
            return slow
        return fast + (slow - fast) * math.log(moved / small) / math.log(large / small)

    def ridge(self, dtype: str) -> float | None:
        """The FLOPs per byte at which products of this dtype take as long as their way through memory."""
        peak = self.peak(dtype)
        return None if peak is None else peak / self.memory

    def merge_best(self, other: Ceilings) -> Ceilings:
        """These, and where others were seen to do more, those: of a machine that was measured twice."""
        seen, rates = dict(other.peaks), dict(other.bandwidths)
        peaks = tuple((dtype, max(filter(None, (peak, seen.get(dtype))), default=None)) for dtype, peak in self.peaks)
        bandwidths = tuple((size, max(rate, rates.get(size, rate))) for size, rate in self.bandwidths)
        return replace(self, peaks=peaks, bandwidths=bandwidths, launch=min(self.launch, other.launch))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document `archscope.device/1`; unknown is None."""
        return {
            "schema": DEVICE_SCHEMA,
            **self.machine.to_dict(),
            "peaks": [
                {"dtype": dtype, "flops_per_second": peak, "ridge": self.ridge(dtype)} for dtype, peak in self.peaks
            ],
            "bandwidths": [{"working_set_bytes": size, "bytes_per_second": rate} for size, rate in self.bandwidths],
            "launch_seconds": self.launch,
            "measured": self.measured,
            "load": self.load.to_dict(),
        }

    def __str__(self) -> str:
        return self.text(self)


# ------------------------------------------------------------ read back
def parse_ceilings(data: Any) -> Ceilings:
    """Ceilings from their document. Raises ValueError where it is anything else."""
    try:
        ceilings = _parse_fields(data)
        _check_plausible(ceilings)
        whole = ceilings.to_dict() == data
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"this is no document {DEVICE_SCHEMA}: {error!r}") from None
    if not whole:
        raise ValueError(f"this is no document {DEVICE_SCHEMA}: it has more or other entries")
    return ceilings


def _parse_fields(data: Mapping[str, Any]) -> Ceilings:
    return Ceilings(
        _parse_machine(data),
        tuple((item["dtype"], item["flops_per_second"]) for item in data["peaks"]),
        tuple((item["working_set_bytes"], item["bytes_per_second"]) for item in data["bandwidths"]),
        data["launch_seconds"],
        data["measured"],
        MachineLoad(data["load"]["cores"], data["load"]["bytes"]),
    )


def _parse_machine(data: Mapping[str, Any]) -> Machine:
    return Machine(
        device=data["device"],
        name=data["name"],
        cores=data["cores"],
        memory=data["memory_bytes"],
        cache=data["cache_bytes"],
        driver=data["driver"] or "",
        versions=tuple(data["versions"].items()),
        settings=tuple(data["settings"].items()),
    )


def _check_plausible(ceilings: Ceilings) -> None:
    """Raises ValueError for what no measurement gives."""
    machine = ceilings.machine
    words = (machine.device, machine.name, machine.driver, ceilings.measured, *dict(ceilings.peaks))
    rates = [rate for _, rate in ceilings.bandwidths]
    figures = [
        *(machine.cores, machine.memory, ceilings.launch, *rates),
        *(peak for _, peak in ceilings.peaks if peak is not None),
    ]
    sizes = [size for size, _ in ceilings.bandwidths]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("a name is no text")
    if not all(_is_number(figure) and figure > 0 for figure in figures):
        raise ValueError("a figure is no number above zero")
    if not all(isinstance(size, int) for size in sizes) or sizes != sorted(set(sizes)):
        raise ValueError("the working sets do not grow")


def _is_number(figure: object) -> bool:
    return isinstance(figure, int | float) and not isinstance(figure, bool) and math.isfinite(figure)


# ------------------------------------------------------------ an operation
@dataclass(frozen=True)
class Bound:
    """The least time that an operation can take on a device, and what holds it there.

    kind: the longest of the three; `unknown` where the FLOPs or the device's peak are not known. seconds: the least
    time, None where it is unknown. compute, memory, launch: seconds that each of them asks for alone. intensity: FLOPs
    per byte moved; None where either is not known or nothing is moved.
    """

    kind: BoundKind
    seconds: float | None
    compute: float | None
    memory: float
    launch: float
    intensity: float | None

    @property
    def known_seconds(self) -> float:
        """The seconds that it takes for certain, whatever is unknown."""
        return max(self.compute or 0.0, self.memory, self.launch)


def compute_bound(*, flops: int | None, moved: int, kernels: int, dtype: str, ceilings: Ceilings) -> Bound | None:
    """The least time of an operation that does `flops` (2 × MACs; None: not known) in `dtype`, moves so many bytes
    and starts so many kernels. None where it does nothing at all, as a view."""
    if flops == moved == kernels == 0:
        return None
    compute = _compute_seconds(flops, ceilings.peak(dtype))
    memory = moved / ceilings.bandwidth(moved) if moved else 0.0
    launch = kernels * ceilings.launch
    intensity = None if flops is None or not moved else flops / moved
    if compute is None:
        return Bound("unknown", None, None, memory, launch, intensity)
    seconds = max(compute, memory, launch)
    kind: BoundKind = "compute" if compute == seconds else "memory" if memory == seconds else "launch"
    return Bound(kind, seconds, compute, memory, launch, intensity)


def _compute_seconds(flops: int | None, peak: float | None) -> float | None:
    """Seconds of the products; None where they, or what the device can do, are not known."""
    if flops == 0:
        return 0.0
    return None if flops is None or peak is None else flops / peak


# ------------------------------------------------------------ a picture
@dataclass(frozen=True)
class RooflinePoint:
    """An operation in the picture: FLOPs per byte, FLOP/s reached, seconds taken, what holds it.

    What does no FLOPs has intensity 0 and its place by `bytes_per_second`. dtype: whose peak is its roof. rows: how
    many that are alike it stands for; their seconds are summed, their rates and bytes those of one.
    """

    name: str
    intensity: float
    flops_per_second: float
    seconds: float
    bound: BoundKind
    bytes_per_second: float = 0.0
    dtype: str = "float32"
    rows: int = 1

    @property
    def moved(self) -> float:
        """Bytes, of one of its rows."""
        return self.bytes_per_second * self.seconds / self.rows


@dataclass(frozen=True)
class RooflineGroup:
    """Points that are held by the same thing, and their share of the time of all."""

    kind: BoundKind
    points: tuple[RooflinePoint, ...]
    share: float

    @property
    def rows(self) -> int:
        return sum(point.rows for point in self.points)


def group_by_bound(points: Iterable[RooflinePoint]) -> tuple[RooflineGroup, ...]:
    """The points by what holds them; a kind without any is left out."""
    every = tuple(points)
    whole = math.fsum(point.seconds for point in every)
    found = [(kind, tuple(point for point in every if point.bound == kind)) for kind in BOUND_KINDS]
    return tuple(
        RooflineGroup(kind, held, math.fsum(point.seconds for point in held) / whole if whole else 0.0)
        for kind, held in found
        if held
    )
