"""What a device can do at most: matrix products per dtype, then bytes per working set, then launch cost → Ceilings.

A ceiling is the best that was ever seen: of several sizes, shapes and functions, and of many runs of each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import torch

from archscope.backends import Backend, Clock, backend_of
from archscope.measure.machine import load, machine, with_settings
from archscope.roofline import TF32, Ceilings

Call = Callable[[], object]
Tell = Callable[[str], object]
Moving = Callable[[torch.Tensor], tuple[Call, int]]

PRODUCTS, BYTES, LAUNCH = 0.55, 0.37, 0.04
"""What share of the time each of the three is given; the rest is for making tensors."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
HALVES = (torch.bfloat16, torch.float16)
HOPELESS = 40
"""So many times slower than float32, a half type is taken apart in software: no ceiling of the device."""

LONG, LARGEST_SIDE = 0.02, 16384
"""Seconds that a product lasts before larger ones are not tried; the side of the largest square."""

SMALLEST, LARGEST, MOST = 32 * 1024, 256 * 1024**2, 1024**3
BEYOND, BEYOND_QUEUED = 2, 16
"""How many times the last cache a working set is that lies in memory; a GPU's cache still serves a part of a few."""

IN_GRAPH = 50
RUN = 0.001
"""Seconds that a run must last, so that the clock's own cost is nothing."""


def measure_ceilings(device: str, *, tell: Tell = lambda _: None, seconds: float = 8.0) -> Ceilings:
    """The ceilings of a device under the settings of now, in about so many seconds."""
    bench, probe = Bench(device), load(device)
    with torch.inference_mode(), bench.backend.current():
        peaks = tuple(_peaks(bench, PRODUCTS * seconds, tell))
        tell("bytes per second")
        bandwidths = _falling(_bandwidths(bench, BYTES * seconds))
        tell("launch cost")
        launch = bench.launch(LAUNCH * seconds)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Ceilings(machine(device), peaks, bandwidths, launch, now, probe.seen())


# ------------------------------------------------------------ clocks
@dataclass(frozen=True)
class Bench:
    """A device with its clock."""

    place: str

    @cached_property
    def backend(self) -> Backend:
        return backend_of(self.place)

    @cached_property
    def _clock(self) -> Clock:
        return self.backend.clock()

    def filled(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Random numbers from 0 to 1 (zeros would let a GPU run faster), not from torch's own generator."""
        source = torch.Generator(self.place).manual_seed(0)
        return torch.rand(*shape, dtype=dtype, device=self.place, generator=source)

    def clock(self, call: Call, times: int) -> float:
        """Seconds of so many calls."""
        start = self._clock.mark()
        for _ in range(times):
            call()
        end = self._clock.mark()
        self._clock.wait()
        return self._clock.between(start, end)

    def best(self, call: Call, seconds: float) -> float:
        """The least seconds of one call, of all runs that fit in `seconds`, but at least two. The first call, in which
        libraries get ready, does not count."""
        self.clock(call, 1)
        end = time.perf_counter() + seconds
        times, best = 1, self.clock(call, 1)
        while best < RUN:
            times *= 4
            best = self.clock(call, times)
        best = min(best, self.clock(call, times))
        while time.perf_counter() < end:
            best = min(best, self.clock(call, times))
        return best / times

    def best_small(self, call: Call, seconds: float) -> float:
        """The same of a short call; many at one launch, where starting each of them by hand would take longer than it
        lasts."""
        several = self.backend.repeated(call, IN_GRAPH)
        return self.best(call, seconds) if several is None else self.best(several, seconds) / IN_GRAPH

    def launch(self, seconds: float) -> float:
        """Seconds of one kernel, on CPU of one function, on a single number."""
        return self.best_small(_adding(self.filled(3)), seconds)


# ------------------------------------------------------------ matrix products
def _peaks(bench: Bench, seconds: float, tell: Tell) -> Iterator[tuple[str, float | None]]:
    """FLOP/s by dtype, float32 first, since others are held against it."""
    each = seconds / (len(DTYPES) + bench.backend.traits.tf32)
    first: float | None = None
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        tell(f"products in {name}")
        with with_settings(bench.place, tf32=False):
            peak = _peak(bench, dtype, each, first)
        first = first or peak
        yield name, peak
        if bench.backend.traits.tf32 and dtype == torch.float32:
            tell(f"products in {TF32}")
            with with_settings(bench.place, tf32=True):
                yield TF32, _peak(bench, dtype, each, None) if bench.backend.has_tf32() else None


def _peak(bench: Bench, dtype: torch.dtype, seconds: float, against: float | None) -> float | None:
    """FLOP/s of the best product found; None where the device lacks the dtype, or is hopeless beside `against`."""
    if bench.backend.traits.tf32 and dtype == torch.bfloat16 and not bench.backend.has_tf32():
        return None
    best: float | None = None
    with suppress(RuntimeError):  # no such product, or no memory for a larger one: what was seen before stays
        for rate in _rates(bench, dtype, seconds):
            if best is None and dtype in HALVES and against is not None and HOPELESS * rate < against:
                return None
            best = max(rate, best or 0.0)
    return best


def _rates(bench: Bench, dtype: torch.dtype, seconds: float) -> Iterator[float]:
    """FLOP/s: squares that grow until one lasts long enough, then other shapes as heavy, then the best again."""
    end = time.perf_counter() + seconds
    found: dict[Product, float] = {}

    def tried(product: Product, given: float) -> float:
        found[product] = max(_rate(bench, product, dtype, given), found.get(product, 0.0))
        return found[product]

    size, rate = 128, math.inf
    while size < LARGEST_SIDE and 2 * size**3 / rate < LONG:
        size *= 2
        yield (rate := tried(Product(size, size, size), seconds / 20))
    for product in _variants(max(found, key=lambda product: found[product]).rows):
        if time.perf_counter() < end:
            yield tried(product, seconds / 20)
    yield tried(max(found, key=lambda product: found[product]), end - time.perf_counter())


@dataclass(frozen=True)
class Product:
    """(rows × inner) @ (inner × columns); turned: with the second factor laid out as a Linear's weight is."""

    rows: int
    inner: int
    columns: int
    turned: bool = False


def _variants(size: int) -> Iterator[Product]:
    """What is as heavy as a square of that size."""
    yield Product(size, size, size, True)
    for rows, inner in ((size // 2, 4 * size), (2 * size, size // 4)):
        yield from (Product(rows, inner, rows, turned) for turned in (False, True))


def _rate(bench: Bench, product: Product, dtype: torch.dtype, seconds: float) -> float:
    left = bench.filled(product.rows, product.inner, dtype=dtype)
    right = bench.filled(product.inner, product.columns, dtype=dtype)
    right = right.t().contiguous().t() if product.turned else right
    out = left.new_empty(product.rows, product.columns)
    took = bench.best(lambda: torch.mm(left, right, out=out), seconds)
    return 2 * product.rows * product.inner * product.columns / took


# ------------------------------------------------------------ bytes
def _bandwidths(bench: Bench, seconds: float) -> Iterator[tuple[int, float]]:
    """(working set, bytes per second), large sets first; small ones are left out where that took far too long."""
    here = machine(bench.place)
    beyond = BEYOND_QUEUED if bench.backend.traits.queued else BEYOND
    sizes, end = _sizes(here.cache, here.memory, beyond), time.perf_counter() + 2 * seconds
    memory = bench.filled(SMALLEST // 4).repeat(sizes[-1] // SMALLEST)
    each = seconds / len(sizes) / len(MOVING)
    idle = [bench.best_small(moving(memory[:48])[0], each) for moving in MOVING]
    for size in reversed(sizes):
        yield size, max(_moved(bench, memory[: size // 4], *pair, each) for pair in zip(MOVING, idle, strict=True))
        if time.perf_counter() > end:
            return


def _moved(bench: Bench, memory: torch.Tensor, moving: Moving, idle: float, seconds: float) -> float:
    """Bytes per second of one function, without the time that it takes to move nothing."""
    call, moved = moving(memory)
    took = bench.best_small(call, seconds)
    return moved / max(took - idle, took / 3)


def _sizes(cache: int | None, memory: int, beyond: int = BEYOND) -> list[int]:
    """Working sets in bytes, doubling from 32 KiB to 256 MiB or what no cache holds, as far as memory allows."""
    largest = LARGEST
    while largest < min(beyond * (cache or 0), MOST):
        largest *= 2
    sizes = [SMALLEST]
    while sizes[-1] < min(largest, memory // 16):
        sizes.append(2 * sizes[-1])
    return sizes


def _adding(memory: torch.Tensor) -> Call:
    first, second, third = _parts(memory, 3)
    return lambda: torch.add(first, second, out=third)


def _add(memory: torch.Tensor) -> tuple[Call, int]:
    return _adding(memory), 3 * (memory.numel() // 3) * 4


def _copy(memory: torch.Tensor) -> tuple[Call, int]:
    """Half of it into the other half."""
    here, there = _parts(memory, 2)
    return lambda: there.copy_(here), 2 * here.numel() * 4


def _in_place(memory: torch.Tensor) -> tuple[Call, int]:
    """Reads and writes it where it is; unlike the others, a processor need not fetch what is overwritten."""
    return memory.neg_, 2 * memory.numel() * 4


def _read(memory: torch.Tensor) -> tuple[Call, int]:
    out = memory.new_empty(())
    return lambda: torch.sum(memory, 0, out=out), memory.numel() * 4


def _parts(memory: torch.Tensor, count: int) -> list[torch.Tensor]:
    """So many equal parts; what is left over is in none."""
    length = memory.numel() // count
    return [memory[at * length : (at + 1) * length] for at in range(count)]


MOVING = (_copy, _add, _in_place, _read)


def _falling(curve: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """From large sets first to small ones first. No set is slower than a larger one: a part of that moves as fast."""
    best, kept = 0.0, []
    for size, rate in curve:
        best = max(best, rate)
        kept.append((size, best))
    return tuple(reversed(kept))
