"""Tests of ceilings and bounds with known results, and of reading valid and invalid documents."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.machine import Machine, MachineLoad
from archscope.profiling.roofline import (
    TF32_DTYPE,
    BoundKind,
    Ceilings,
    RooflinePoint,
    compute_bound,
    group_by_bound,
    parse_ceilings,
)

KIB, MIB = 1024, 1024**2
MACHINE = Machine("cpu", "Test 9000", 4, 2**33, 2**23, "", (("python", "3.11"), ("torch", "2.9")), (("threads", 4),))
CEILINGS = Ceilings(
    machine=MACHINE,
    peaks=(("float32", 1e12), ("bfloat16", 4e12), ("float16", None)),
    bandwidths=((32 * KIB, 400e9), (MIB, 200e9), (32 * MIB, 100e9)),
    launch=1e-6,
    measured="2026-01-02T03:04:05+00:00",
    load=MachineLoad(cores=0.0),
)


@pytest.mark.parametrize(
    ("moved", "bandwidth"),
    [
        (1, 400e9),
        (32 * KIB, 400e9),
        (MIB, 200e9),
        (math.isqrt(32) * MIB, 200e9 - 100e9 * math.log(5) / math.log(32)),
        (32 * MIB, 100e9),
        (10**12, 100e9),
    ],
)
def test_bandwidth_is_linear_over_the_logarithm_and_stays_within_its_ends(moved: int, bandwidth: float) -> None:
    assert CEILINGS.bandwidth(moved) == pytest.approx(bandwidth, rel=1e-12)


def test_one_working_set_is_a_curve_too() -> None:
    assert replace(CEILINGS, bandwidths=((MIB, 7e9),)).bandwidth(12) == 7e9


@pytest.mark.law
@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_more_bytes_never_take_less_time(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert CEILINGS.bandwidth(small) >= CEILINGS.bandwidth(large)


@pytest.mark.parametrize(
    ("flops", "moved", "kernels", "dtype", "kind", "seconds", "intensity"),
    [
        (10**9, 32 * KIB, 1, "float32", "compute", 1e-3, 10**9 / (32 * KIB)),
        (10**9, 32 * KIB, 1, "bfloat16", "compute", 0.25e-3, 10**9 / (32 * KIB)),
        (0, 10**9, 1, "float32", "memory", 1e-2, 0.0),
        (0, 10**9, 1, "int64", "memory", 1e-2, 0.0),
        (10**6, 10**9, 1, "float32", "memory", 1e-2, 1e-3),
        (10, 40, 1, "float32", "launch", 1e-6, 0.25),
        (0, 40, 3, "float32", "launch", 3e-6, 0.0),
        (10**9, 0, 0, "float32", "compute", 1e-3, None),
        (None, 10**9, 1, "float32", "unknown", None, None),
        (10**9, 10**9, 1, "float16", "unknown", None, 1.0),
        (10**9, 10**9, 1, "int64", "unknown", None, 1.0),
    ],
)
def test_bound(
    flops: int | None,
    moved: int,
    kernels: int,
    dtype: str,
    kind: str,
    seconds: float | None,
    intensity: float | None,
) -> None:
    found = compute_bound(flops=flops, moved=moved, kernels=kernels, dtype=dtype, ceilings=CEILINGS)
    assert found is not None
    assert (found.kind, found.intensity) == (kind, intensity)
    assert found.seconds == (None if seconds is None else pytest.approx(seconds))


def test_an_operation_without_work_has_no_bound() -> None:
    assert compute_bound(flops=0, moved=0, kernels=0, dtype="float32", ceilings=CEILINGS) is None


def test_an_unknown_bound_has_the_known_seconds_as_minimum() -> None:
    found = compute_bound(flops=None, moved=10**9, kernels=1, dtype="float32", ceilings=CEILINGS)
    assert found is not None
    assert (found.compute, found.known_seconds) == (None, pytest.approx(1e-2))


@pytest.mark.parametrize(
    ("device", "threads", "others", "disturbed"),
    [
        ("cpu", 4, None, False),
        ("cpu", 4, 0.1, False),
        ("cpu", 4, 0.2, True),
        ("cpu", 2, 1.9, False),
        ("cpu", 2, 2.5, True),
        ("cpu", 9, 0.1, False),
        ("cuda:0", 4, 4.0, False),
    ],
)
def test_a_measurement_without_enough_free_cores_is_disturbed(
    device: str, threads: int, others: float | None, disturbed: bool
) -> None:
    machine = replace(MACHINE, device=device, settings=(("threads", threads),))
    assert replace(CEILINGS, machine=machine, load=MachineLoad(others)).disturbed is disturbed


# ------------------------------------------------------------ the document
def test_a_document_is_read_back() -> None:
    gpu = replace(MACHINE, device="cuda:0", cache=None, driver="580.1", settings=(("threads", 1), ("tf32", False)))
    for ceilings in (CEILINGS, replace(CEILINGS, machine=gpu, load=MachineLoad(None, 2**33))):
        assert parse_ceilings(json.loads(json.dumps(ceilings.to_dict()))) == ceilings


DOCUMENT: dict[str, Any] = CEILINGS.to_dict()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "archscope.device/2"),
        (("schema",), None),
        (("name",), 7),
        (("cores",), "4"),
        (("memory_bytes",), -1),
        (("versions",), []),
        (("peaks",), 3),
        (("peaks", 0, "flops_per_second"), float("nan")),
        (("peaks", 0, "flops_per_second"), "1e12"),
        (("peaks", 0, "ridge"), 11.0),
        (("peaks", 0, "dtype"), None),
        (("bandwidths",), []),
        (("bandwidths", 1, "working_set_bytes"), 5),
        (("bandwidths", 1, "bytes_per_second"), 0),
        (("launch_seconds",), None),
        (("launch_seconds",), True),
        (("measured",), 2026),
        (("load",), None),
        (("more",), 1),
    ],
)
def test_invalid_values_are_rejected(path: tuple[Any, ...], value: object) -> None:
    data = copy.deepcopy(DOCUMENT)
    held: Any = data
    for step in path[:-1]:
        held = held[step]
    held[path[-1]] = value
    with pytest.raises(ValueError):
        parse_ceilings(data)


@pytest.mark.parametrize("data", [None, [], "text", 3, {}, {"schema": "archscope.device/1"}])
def test_other_documents_are_rejected(data: object) -> None:
    with pytest.raises(ValueError, match="document"):
        parse_ceilings(data)


@pytest.mark.parametrize("key", DOCUMENT)
def test_every_key_is_required(key: str) -> None:
    with pytest.raises(ValueError):
        parse_ceilings({name: value for name, value in DOCUMENT.items() if name != key})


# ------------------------------------------------------------ points
def point(seconds: float, kind: BoundKind) -> RooflinePoint:
    return RooflinePoint("row", 1.0, 1.0, seconds, kind, bytes_per_second=100.0)


def test_groups_share_the_time_of_all() -> None:
    found = group_by_bound([point(1.0, "launch"), point(6.0, "memory"), point(1.0, "launch")])
    assert [(group.kind, len(group.points), group.share) for group in found] == [
        ("memory", 1, 0.75),
        ("launch", 2, 0.25),
    ]
    assert group_by_bound([]) == ()


def test_the_moved_bytes_of_a_point() -> None:
    assert point(2.0, "memory").moved == 200.0


def test_ridge() -> None:
    assert (CEILINGS.ridge("float32"), CEILINGS.ridge("float16"), CEILINGS.ridge(TF32_DTYPE)) == (10.0, None, None)
