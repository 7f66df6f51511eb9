"""Roofline model: the measured ceilings of a device, and the least time of an operation. Plain data, no torch.

    Ceilings (a machine: FLOP/s per dtype, bytes per second per working set, seconds per kernel launch)
        + the work of an operation (FLOPs, bytes moved, kernels) → Bound (its least time, and what limits it)
        + its measured time → RooflinePoint (a point of the plot)

FLOPs are 2 × MACs. An unknown figure is None, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from archscope.machine import Machine, MachineLoad

DEVICE_SCHEMA = "archscope.device/1"
TF32_DTYPE = "float32 (TF32)"
BoundKind = Literal["compute", "memory", "launch", "unknown"]
BOUND_KINDS: tuple[BoundKind, ...] = get_args(BoundKind)


@dataclass(frozen=True)
class Ceilings:
    """The measured maximum rates of a machine.

    peaks: FLOP/s of matrix products by dtype (torch's name), and `float32 (TF32)`; None if the device does not support
    the dtype or emulates it slowly. bandwidths: (working set in bytes, bytes per second), by growing working set, never
    rising: small working sets stay in caches. launch: seconds of one empty kernel (on CPU one function). measured: date
    and time, ISO 8601. load: the load of the machine by other processes. text: the function that formats it.
    """

    machine: Machine
    peaks: tuple[tuple[str, float | None], ...]
    bandwidths: tuple[tuple[int, float], ...]
    launch: float
    measured: str
    load: MachineLoad
    text: Callable[[Ceilings], str] = field(default=repr, compare=False, repr=False)

    def peak(self, dtype: str) -> float | None:
        """Return the maximum FLOP/s of a dtype; None if it is not known."""
        return dict(self.peaks).get(dtype)

    @property
    def memory(self) -> float:
        """The bytes per second of the largest working set: the bandwidth of the memory itself."""
        return self.bandwidths[-1][1]

    @property
    def disturbed(self) -> bool:
        """True if other processes may have slowed the measurement: they left fewer cores than there are threads, or
        used the device."""
        return self.load.disturbs(self.machine) or bool(self.load.bytes)

    def bandwidth(self, moved: int) -> float:
        """Return the bytes per second for `moved` bytes: interpolated linearly over the logarithm of the working set
        between two measured ones, and constant beyond them."""
        sets = self.bandwidths
        above = next((at for at, (size, _) in enumerate(sets) if size >= moved), len(sets) - 1)
        (small, fast), (large, slow) = sets[max(above - 1, 0)], sets[above]
        if not small < moved < large:
            return slow
        return fast + (slow - fast) * math.log(moved / small) / math.log(large / small)

    def ridge(self, dtype: str) -> float | None:
        """Return the arithmetic intensity (FLOPs per byte) of the ridge point: where products of this dtype take as
        long as their memory traffic."""
        peak = self.peak(dtype)
        return None if peak is None else peak / self.memory

    def merge_best(self, other: Ceilings) -> Ceilings:
        """Return the better rates of two measurements of one machine."""
        seen, rates = dict(other.peaks), dict(other.bandwidths)
        peaks = tuple((dtype, max(filter(None, (peak, seen.get(dtype))), default=None)) for dtype, peak in self.peaks)
        bandwidths = tuple((size, max(rate, rates.get(size, rate))) for size, rate in self.bandwidths)
        return replace(self, peaks=peaks, bandwidths=bandwidths, launch=min(self.launch, other.launch))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document `archscope.device/1`; unknown figures are None."""
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


# ------------------------------------------------------------ reading the JSON document
def parse_ceilings(data: Any) -> Ceilings:
    """Return the ceilings of a JSON document. Raises ValueError if it is not such a document."""
    try:
        ceilings = _parse_fields(data)
        _check_plausible(ceilings)
        whole = ceilings.to_dict() == data
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"this is not a document {DEVICE_SCHEMA}: {error!r}") from None
    if not whole:
        raise ValueError(f"this is not a document {DEVICE_SCHEMA}: it has more or other entries")
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
    """Raise ValueError for values that no measurement gives."""
    machine = ceilings.machine
    words = (machine.device, machine.name, machine.driver, ceilings.measured, *dict(ceilings.peaks))
    rates = [rate for _, rate in ceilings.bandwidths]
    figures = [
        *(machine.cores, machine.memory, ceilings.launch, *rates),
        *(peak for _, peak in ceilings.peaks if peak is not None),
    ]
    sizes = [size for size, _ in ceilings.bandwidths]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("a name is not a string")
    if not all(_is_number(figure) and figure > 0 for figure in figures):
        raise ValueError("a figure is not a positive number")
    if not all(isinstance(size, int) for size in sizes) or sizes != sorted(set(sizes)):
        raise ValueError("the working sets are not in growing order")


def _is_number(figure: object) -> bool:
    return isinstance(figure, int | float) and not isinstance(figure, bool) and math.isfinite(figure)


# ------------------------------------------------------------ an operation
@dataclass(frozen=True)
class Bound:
    """The least time of an operation on a device, and what limits it.

    kind: the longest of compute, memory and launch; `unknown` if the FLOPs or the device's peak are not known. seconds:
    the least time, None if it is unknown. compute, memory, launch: the seconds of each of them alone. intensity: FLOPs
    per byte moved; None if either is not known or no bytes are moved.
    """

    kind: BoundKind
    seconds: float | None
    compute: float | None
    memory: float
    launch: float
    intensity: float | None

    @property
    def known_seconds(self) -> float:
        """The largest of the known lower bounds."""
        return max(self.compute or 0.0, self.memory, self.launch)


def compute_bound(*, flops: int | None, moved: int, kernels: int, dtype: str, ceilings: Ceilings) -> Bound | None:
    """Return the least time of an operation; None if it does no work at all, as a view.

    flops: 2 × MACs in `dtype`, None if not known. moved: bytes read and written. kernels: the number of kernel
    launches.
    """
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
    """Return the seconds of the products; None if the FLOPs or the device's peak are not known."""
    if flops == 0:
        return 0.0
    return None if flops is None or peak is None else flops / peak


# ------------------------------------------------------------ the plot
@dataclass(frozen=True)
class RooflinePoint:
    """A point of the roofline plot: FLOPs per byte, FLOP/s reached, seconds taken, and the limiting bound.

    An operation without FLOPs has intensity 0 and is placed by `bytes_per_second`. dtype: whose peak is its roof. rows:
    the number of equal rows that it stands for; `seconds` is their sum, rates and bytes are those of one.
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
        """The bytes moved by one of its rows."""
        return self.bytes_per_second * self.seconds / self.rows


@dataclass(frozen=True)
class RooflineGroup:
    """The points with the same bound, and their share of the total time."""

    kind: BoundKind
    points: tuple[RooflinePoint, ...]
    share: float

    @property
    def rows(self) -> int:
        return sum(point.rows for point in self.points)


def group_by_bound(points: Iterable[RooflinePoint]) -> tuple[RooflineGroup, ...]:
    """Return the points grouped by their bound; bounds without points are left out."""
    every = tuple(points)
    whole = math.fsum(point.seconds for point in every)
    found = [(kind, tuple(point for point in every if point.bound == kind)) for kind in BOUND_KINDS]
    return tuple(
        RooflineGroup(kind, group, math.fsum(point.seconds for point in group) / whole if whole else 0.0)
        for kind, group in found
        if group
    )
