"""TF32 and other precision settings: every way to set them is read and restored, in any combination."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import permutations

import pytest
import torch
from torch import nn

import archscope
from archscope.devices import precision
from archscope.record.state.process import preserved_settings

BACKENDS = torch.backends
needs_names = pytest.mark.skipif(not precision.HAS_FP32_PRECISION, reason="this torch has no fp32_precision")


def by_name(place: precision.PrecisionKey, value: str) -> Callable[[], None]:
    return lambda: precision.set_precision(place, value)


def by_flags(products: bool, convolutions: bool) -> Callable[[], None]:
    def given() -> None:
        BACKENDS.cuda.matmul.allow_tf32 = products
        BACKENDS.cudnn.allow_tf32 = convolutions

    return given


WAYS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    **{f"flags {one} {two}": by_flags(one, two) for one in (True, False) for two in (True, False)},
    "products high": lambda: torch.set_float32_matmul_precision("high"),
    "products medium": lambda: torch.set_float32_matmul_precision("medium"),
}
if precision.HAS_FP32_PRECISION:
    WAYS |= {f"{place} {value}": by_name(place, value) for place in precision.ALL_KEYS for value in ("tf32", "ieee")}
    WAYS |= {f"{place} bf16": by_name(place, "bf16") for place in precision.CPU_KEYS}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = precision.current_precision()
    yield
    precision.restore_precision(before)
    assert precision.current_precision() == before


def effects() -> list[str]:
    """The effective precision of each key."""
    return (
        [precision.effective_precision(place) for place in precision.ALL_KEYS] if precision.HAS_FP32_PRECISION else []
    )


@pytest.mark.law(keep=24)
@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_settings_are_restored(first: str, second: str) -> None:
    WAYS[first]()
    WAYS[second]()
    before, seen = precision.current_precision(), effects()
    for on in (True, False):
        with suppress(KeyboardInterrupt), precision.tf32_set(on):
            assert precision.tf32_allowed() == (on, on)
            assert BACKENDS.cuda.matmul.allow_tf32 is on
            assert BACKENDS.cudnn.allow_tf32 is on
            raise KeyboardInterrupt
        assert (precision.current_precision(), effects()) == (before, seen)
    for way in WAYS.values():
        way()
        precision.restore_precision(before)
        assert (precision.current_precision(), effects()) == (before, seen)


@needs_names
def test_a_place_that_says_nothing_is_told_from_one_that_says_the_same() -> None:
    precision.set_precision(precision.GENERIC_KEY, "tf32")
    silent = precision.current_precision()
    precision.set_precision(precision.MATMUL_KEY, "tf32")
    assert precision.current_precision() != silent
    precision.restore_precision(silent)
    precision.set_precision(precision.GENERIC_KEY, "none")
    assert precision.effective_precision(precision.MATMUL_KEY) == "none"


NEW = {
    "products": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "everything": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
    "a processor's products": lambda: setattr(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    "convolutions": lambda: setattr(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
}


@needs_names
@pytest.mark.moves_rng
@pytest.mark.parametrize("way", NEW)
def test_a_model_is_analysed_under_the_switches_of_torch_2_9(way: str) -> None:
    """The older flags, which raise when they are read then, are not read."""
    NEW[way]()
    before, model = precision.current_precision(), nn.Linear(4, 4)
    assert archscope.summarize(model, input=(2, 4)).total.macs == 32
    timing = archscope.time(model, input=(2, 4), seconds=0.02, roofline=False, fit=False)
    assert timing.total is not None
    assert precision.current_precision() == before


@pytest.mark.parametrize("way", WAYS)
def test_settings_of_a_run_are_restored(way: str) -> None:
    before = precision.current_precision()
    with preserved_settings():
        WAYS[way]()
    assert precision.current_precision() == before


def test_settings_are_distinguished() -> None:
    """The tests above would pass if nothing were read at all."""
    found = []
    start = precision.current_precision()
    for way in WAYS.values():
        way()
        found.append(precision.current_precision())
        precision.restore_precision(start)
    assert all(one != other for one, other in permutations(set(found), 2))
    assert len(set(found)) > len(WAYS) // 2
