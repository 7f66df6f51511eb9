"""Ceilings: sizes, curves and shapes with known values, a quick measurement, and a measurement on a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from archscope.profiling import ceilings
from archscope.profiling.ceilings import measure_ceilings
from archscope.profiling.roofline import TF32_DTYPE, parse_ceilings

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cache", "memory", "largest"),
    [
        (None, 64 * GIB, 256 * MIB),
        (32 * MIB, 64 * GIB, 256 * MIB),
        (200 * MIB, 64 * GIB, 512 * MIB),
        (1152 * MIB, 64 * GIB, GIB),
        (32 * MIB, GIB, 64 * MIB),
    ],
)
def test_working_sets_double_until_no_cache_holds_them(cache: int | None, memory: int, largest: int) -> None:
    sizes = ceilings._sizes(cache, memory)
    assert (sizes[0], sizes[-1]) == (32 * KIB, largest)
    assert all(after == 2 * before for before, after in pairwise(sizes))


def test_a_gpus_cache_serves_no_part_of_the_largest_set() -> None:
    assert ceilings._sizes(60 * MIB, 140 * GIB, ceilings.CACHE_MULTIPLE_QUEUED)[-1] == GIB


def test_a_slow_first_call_does_not_decide_how_many_calls_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def clock(self: ceilings.DeviceTimer, call: ceilings.Action, times: int) -> float:
        counts.append(times)
        return 1.0 if len(counts) == 1 else times * 1e-6

    monkeypatch.setattr(ceilings.DeviceTimer, "time_calls", clock)
    assert ceilings.DeviceTimer("cpu").best_time(lambda: None, 0.0) == pytest.approx(1e-6)
    assert max(counts) * 1e-6 >= ceilings.MIN_RUN_SECONDS


def test_no_set_is_slower_than_a_larger_one() -> None:
    assert ceilings._monotone([(8, 10.0), (4, 30.0), (2, 20.0), (1, 50.0)]) == (
        (1, 50.0),
        (2, 30.0),
        (4, 30.0),
        (8, 10.0),
    )


def test_other_shapes_are_as_heavy_as_the_square() -> None:
    products = list(ceilings._similar_products(64))
    assert {one.rows * one.inner * one.columns for one in products} == {64**3}
    assert len(set(products)) == len(products) == 5


@pytest.mark.parametrize("moving", ceilings.MEMORY_MOVES, ids=lambda moving: moving.__name__)
def test_what_is_moved_is_what_is_read_and_written(moving: ceilings.MakeMove) -> None:
    memory = torch.arange(12, dtype=torch.float32)
    call, moved = moving(memory)
    before = memory.clone()
    call()
    changed = int((memory != before).sum())
    bytes_moved = {"_copy": 12 * 4, "_add": 12 * 4, "_negate": 24 * 4, "_sum": 12 * 4}
    elements_changed = {"_copy": 6, "_add": 4, "_negate": 11, "_sum": 0}  # −0 is 0
    assert (moved, changed) == (bytes_moved[moving.__name__], elements_changed[moving.__name__])


def test_the_best_of_runs_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([0.1, 5.0, 3.0, 1.0, 4.0])  # the first call does not count
    monkeypatch.setattr(ceilings.DeviceTimer, "time_calls", lambda self, call, times: next(took))
    monkeypatch.setattr(time, "perf_counter", lambda: moments.pop(0))
    moments = [0.0, 0.5, 0.9, 2.0]
    assert ceilings.DeviceTimer("cpu").best_time(lambda: None, 1.0) == 1.0


def test_short_calls_are_timed_in_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings.DeviceTimer, "time_calls", lambda self, call, times: times * 1e-5)
    assert ceilings.DeviceTimer("cpu").best_time(lambda: None, 0.0) == pytest.approx(1e-5)


@pytest.mark.parametrize("slower", [10, 1000])
def test_a_half_type_that_is_taken_apart_in_software_is_no_ceiling(
    slower: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(bench: ceilings.DeviceTimer, product: ceilings.MatrixProduct, dtype: torch.dtype, seconds: float) -> float:
        return 1e12 / (1 if dtype in (torch.float32, torch.float64) else slower)

    monkeypatch.setattr(ceilings, "_rate", rate)
    peaks = dict(ceilings._peaks(ceilings.DeviceTimer("cpu"), 0.1, lambda what: None))
    half = 1e11 if slower == 10 else None
    assert peaks == {"float32": 1e12, "bfloat16": half, "float16": half, "float64": 1e12}


def test_a_dtype_without_products_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(bench: ceilings.DeviceTimer, product: ceilings.MatrixProduct, dtype: torch.dtype, seconds: float) -> float:
        raise RuntimeError('"addmm_impl_cpu_" not implemented')

    monkeypatch.setattr(ceilings, "_rate", rate)
    assert ceilings._peak(ceilings.DeviceTimer("cpu"), torch.float16, 0.1, 1e12) is None


@pytest.mark.usefixtures("one_thread")
def test_a_quick_measurement_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "USUAL_WORKING_SET", MIB)
    monkeypatch.setattr(ceilings, "MAX_WORKING_SET", MIB)
    messages: list[str] = []
    found = measure_ceilings("cpu", on_progress=messages.append, seconds=0.5)
    assert found.machine.setting("threads") == 1
    assert [dtype for dtype, _ in found.peaks] == ["float32", "bfloat16", "float16", "float64"]
    assert 1e8 < (found.peak("float32") or 0) < 1e13
    assert 1e8 < found.memory < 1e12
    assert 1e-8 < found.launch < 1e-3
    assert parse_ceilings(found.to_dict()) == found
    assert {"launch cost", "products in float32", "bytes per second"} <= set(messages)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_ceilings_of_a_gpu() -> None:
    """Measured twice: equal; TF32 and halves faster than float32 where there are tensor cores; settings as before."""
    precision = torch.get_float32_matmul_precision()
    first, second = (measure_ceilings("cuda", seconds=4.0) for _ in range(2))
    assert torch.get_float32_matmul_precision() == precision
    assert first.memory == pytest.approx(second.memory, rel=0.1)
    single = first.peak("float32")
    assert single is not None
    assert single == pytest.approx(second.peak("float32"), rel=0.1)
    assert 1e-7 < first.launch < 1e-4
    assert first.bandwidths[0][1] >= first.memory > 1e10
    if torch.cuda.get_device_capability() >= (8, 0):
        assert (first.peak(TF32_DTYPE) or 0) > 1.5 * single
        assert (first.peak("bfloat16") or 0) > 1.5 * single
