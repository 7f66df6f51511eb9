"""Ceilings of a device: FLOP/s of matrix products by dtype, then bytes/s by working set, then launch cost.

A ceiling is the best value ever measured, over several sizes, shapes and functions, and many runs of each.
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

from archscope.devices import Backend, Clock, backend_of
from archscope.profiling.machine_state import describe_machine, start_probe, with_settings
from archscope.profiling.roofline import TF32_DTYPE, Ceilings

Action = Callable[[], object]
OnProgress = Callable[[str], object]
MakeMove = Callable[[torch.Tensor], tuple[Action, int]]

PRODUCT_SHARE, BANDWIDTH_SHARE, LAUNCH_SHARE = 0.55, 0.37, 0.04
"""The share of the time for each of the three; the rest is for making tensors."""

PEAK_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
HALF_DTYPES = (torch.bfloat16, torch.float16)
TOO_SLOW_FACTOR = 40
"""A half-precision dtype this many times slower than float32 is emulated in software: no ceiling of the device."""

LONG_PRODUCT_SECONDS, LARGEST_SIDE = 0.02, 16384
"""Larger products are not tried once one lasts this long; the side of the largest square."""

MIN_WORKING_SET, USUAL_WORKING_SET, MAX_WORKING_SET = 32 * 1024, 256 * 1024**2, 1024**3
CACHE_MULTIPLE, CACHE_MULTIPLE_QUEUED = 2, 16
"""The size of a working set in memory, as a multiple of the last cache; a GPU's cache still serves part of a few."""

CALLS_IN_GRAPH = 50
MIN_RUN_SECONDS = 0.001
"""The least duration of a run, so that reading the clock does not matter."""


def measure_ceilings(device: str, *, on_progress: OnProgress = lambda _: None, seconds: float = 8.0) -> Ceilings:
    """Return the ceilings of a device under its present settings, measured in about `seconds`."""
    bench, probe = DeviceTimer(device), start_probe(device)
    with torch.inference_mode(), bench.backend.as_current():
        peaks = tuple(_peaks(bench, PRODUCT_SHARE * seconds, on_progress))
        on_progress("bytes per second")
        bandwidths = _monotone(_bandwidths(bench, BANDWIDTH_SHARE * seconds))
        on_progress("launch cost")
        launch = bench.launch_seconds(LAUNCH_SHARE * seconds)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Ceilings(describe_machine(device), peaks, bandwidths, launch, now, probe.load_since())


# ------------------------------------------------------------ clocks
@dataclass(frozen=True)
class DeviceTimer:
    """A device with its clock, and functions that time calls on it."""

    device: str

    @cached_property
    def backend(self) -> Backend:
        return backend_of(self.device)

    @cached_property
    def _clock(self) -> Clock:
        return self.backend.clock()

    def random_tensor(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return random numbers from 0 to 1 (zeros would let a GPU run faster), without using torch's own generator."""
        source = torch.Generator(self.device).manual_seed(0)
        return torch.rand(*shape, dtype=dtype, device=self.device, generator=source)

    def time_calls(self, call: Action, times: int) -> float:
        """Return the seconds of `times` calls."""
        start = self._clock.mark()
        for _ in range(times):
            call()
        end = self._clock.mark()
        self._clock.synchronize()
        return self._clock.seconds_between(start, end)

    def best_time(self, call: Action, seconds: float) -> float:
        """Return the least seconds of one call, of all runs that fit in `seconds`, at least two. The first call, in
        which libraries initialize, does not count."""
        self.time_calls(call, 1)
        end = time.perf_counter() + seconds
        times, best = 1, self.time_calls(call, 1)
        while best < MIN_RUN_SECONDS:
            times *= 4
            best = self.time_calls(call, times)
        best = min(best, self.time_calls(call, times))
        while time.perf_counter() < end:
            best = min(best, self.time_calls(call, times))
        return best / times

    def best_short_time(self, call: Action, seconds: float) -> float:
        """Return the least seconds of a short call; many calls are one launch if launching each would take longer than
        it runs."""
        repeated = self.backend.repeat_call(call, CALLS_IN_GRAPH)
        return self.best_time(call, seconds) if repeated is None else self.best_time(repeated, seconds) / CALLS_IN_GRAPH

    def launch_seconds(self, seconds: float) -> float:
        """Return the seconds of one kernel, on CPU of one function, on three numbers."""
        return self.best_short_time(_add_call(self.random_tensor(3)), seconds)


# ------------------------------------------------------------ matrix products
def _peaks(bench: DeviceTimer, seconds: float, on_progress: OnProgress) -> Iterator[tuple[str, float | None]]:
    """Yield FLOP/s by dtype, float32 first, since the others are compared with it."""
    each = seconds / (len(PEAK_DTYPES) + bench.backend.traits.tf32)
    reference: float | None = None
    for dtype in PEAK_DTYPES:
        name = str(dtype).removeprefix("torch.")
        on_progress(f"products in {name}")
        with with_settings(bench.device, tf32=False):
            peak = _peak(bench, dtype, each, reference)
        reference = reference or peak
        yield name, peak
        if bench.backend.traits.tf32 and dtype == torch.float32:
            on_progress(f"products in {TF32_DTYPE}")
            with with_settings(bench.device, tf32=True):
                yield TF32_DTYPE, _peak(bench, dtype, each, None) if bench.backend.has_tf32() else None


def _peak(bench: DeviceTimer, dtype: torch.dtype, seconds: float, reference: float | None) -> float | None:
    """Return FLOP/s of the best product; None if the device lacks the dtype, or emulates it (see TOO_SLOW_FACTOR)."""
    if bench.backend.traits.tf32 and dtype == torch.bfloat16 and not bench.backend.has_tf32():
        return None
    best: float | None = None
    with suppress(RuntimeError):  # no such product, or no memory for a larger one: the best so far counts
        for rate in _rates(bench, dtype, seconds):
            if best is None and dtype in HALF_DTYPES and reference is not None and TOO_SLOW_FACTOR * rate < reference:
                return None
            best = max(rate, best or 0.0)
    return best


def _rates(bench: DeviceTimer, dtype: torch.dtype, seconds: float) -> Iterator[float]:
    """Yield FLOP/s: of growing squares until one lasts long enough, of other shapes as large, of the best one again."""
    end = time.perf_counter() + seconds
    found: dict[MatrixProduct, float] = {}

    def tried(product: MatrixProduct, duration: float) -> float:
        found[product] = max(_rate(bench, product, dtype, duration), found.get(product, 0.0))
        return found[product]

    size, rate = 128, math.inf
    while size < LARGEST_SIDE and 2 * size**3 / rate < LONG_PRODUCT_SECONDS:
        size *= 2
        yield (rate := tried(MatrixProduct(size, size, size), seconds / 20))
    for product in _similar_products(max(found, key=lambda product: found[product]).rows):
        if time.perf_counter() < end:
            yield tried(product, seconds / 20)
    yield tried(max(found, key=lambda product: found[product]), end - time.perf_counter())


@dataclass(frozen=True)
class MatrixProduct:
    """(rows × inner) @ (inner × columns); transposed: the second factor is stored like the weight of a Linear layer."""

    rows: int
    inner: int
    columns: int
    transposed: bool = False


def _similar_products(size: int) -> Iterator[MatrixProduct]:
    """Yield products with as many MACs as a square of that size."""
    yield MatrixProduct(size, size, size, True)
    for rows, inner in ((size // 2, 4 * size), (2 * size, size // 4)):
        yield from (MatrixProduct(rows, inner, rows, transposed) for transposed in (False, True))


def _rate(bench: DeviceTimer, product: MatrixProduct, dtype: torch.dtype, seconds: float) -> float:
    left = bench.random_tensor(product.rows, product.inner, dtype=dtype)
    right = bench.random_tensor(product.inner, product.columns, dtype=dtype)
    right = right.t().contiguous().t() if product.transposed else right
    out = left.new_empty(product.rows, product.columns)
    took = bench.best_time(lambda: torch.mm(left, right, out=out), seconds)
    return 2 * product.rows * product.inner * product.columns / took


# ------------------------------------------------------------ bytes
def _bandwidths(bench: DeviceTimer, seconds: float) -> Iterator[tuple[int, float]]:
    """Yield (working set, bytes per second), large sets first; small ones are left out if that takes far too long."""
    machine = describe_machine(bench.device)
    beyond = CACHE_MULTIPLE_QUEUED if bench.backend.traits.is_async else CACHE_MULTIPLE
    sizes, end = _sizes(machine.cache, machine.memory, beyond), time.perf_counter() + 2 * seconds
    memory = bench.random_tensor(MIN_WORKING_SET // 4).repeat(sizes[-1] // MIN_WORKING_SET)
    each = seconds / len(sizes) / len(MEMORY_MOVES)
    idle = [bench.best_short_time(moving(memory[:48])[0], each) for moving in MEMORY_MOVES]
    for size in reversed(sizes):
        yield (
            size,
            max(_move_rate(bench, memory[: size // 4], *pair, each) for pair in zip(MEMORY_MOVES, idle, strict=True)),
        )
        if time.perf_counter() > end:
            return


def _move_rate(bench: DeviceTimer, memory: torch.Tensor, moving: MakeMove, idle: float, seconds: float) -> float:
    """Return bytes per second of one function; the time of a call on almost no data is subtracted."""
    call, moved = moving(memory)
    took = bench.best_short_time(call, seconds)
    return moved / max(took - idle, took / 3)


def _sizes(cache: int | None, memory: int, beyond: int = CACHE_MULTIPLE) -> list[int]:
    """Return working sets in bytes, doubling from 32 KiB to 256 MiB or beyond the cache, as far as memory allows."""
    largest = USUAL_WORKING_SET
    while largest < min(beyond * (cache or 0), MAX_WORKING_SET):
        largest *= 2
    sizes = [MIN_WORKING_SET]
    while sizes[-1] < min(largest, memory // 16):
        sizes.append(2 * sizes[-1])
    return sizes


def _add_call(memory: torch.Tensor) -> Action:
    first, second, third = _parts(memory, 3)
    return lambda: torch.add(first, second, out=third)


def _add(memory: torch.Tensor) -> tuple[Action, int]:
    return _add_call(memory), 3 * (memory.numel() // 3) * 4


def _copy(memory: torch.Tensor) -> tuple[Action, int]:
    """Return a call that copies one half of the memory to the other, and the bytes that it moves."""
    source, target = _parts(memory, 2)
    return lambda: target.copy_(source), 2 * source.numel() * 4


def _negate(memory: torch.Tensor) -> tuple[Action, int]:
    """Return an in-place call and the bytes that it moves; a CPU need not fetch first what it overwrites here."""
    return memory.neg_, 2 * memory.numel() * 4


def _sum(memory: torch.Tensor) -> tuple[Action, int]:
    out = memory.new_empty(())
    return lambda: torch.sum(memory, 0, out=out), memory.numel() * 4


def _parts(memory: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Return `count` equal parts; what is left over is in none."""
    length = memory.numel() // count
    return [memory[at * length : (at + 1) * length] for at in range(count)]


MEMORY_MOVES = (_copy, _add, _negate, _sum)


def _monotone(curve: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Return the curve with small sets first. No set is slower than a larger one, since a part of that is as fast."""
    best, curve_points = 0.0, []
    for size, rate in curve:
        best = max(best, rate)
        curve_points.append((size, best))
    return tuple(reversed(curve_points))
