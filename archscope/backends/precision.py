"""How exactly float32 products are computed: torch's two interfaces to that, read, set and given back.

    allow_tf32, float32_matmul_precision        two flags, of old
    fp32_precision                              a tree, from torch 2.9 on; "none": as the place above

A flag of old raises when it is read, as soon as the tree says something that the flags cannot. So no flag is read where
a tree is that says the same, and a flag that cannot be read is read where the tree is cleared for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch

PrecisionKey = tuple[str, str]

HAS_FP32_PRECISION = hasattr(torch._C, "_get_fp32_precision_getter")
"""Whether this torch has `fp32_precision`."""

UNSET = "none"
GENERIC_KEY: PrecisionKey = ("generic", "all")
PARENT_KEYS: tuple[PrecisionKey, ...] = (("cuda", "all"), ("mkldnn", "all"))
MATMUL_KEY, CONV_KEY, RNN_KEY = (("cuda", kind) for kind in ("matmul", "conv", "rnn"))
CPU_KEYS: tuple[PrecisionKey, ...] = tuple(("mkldnn", kind) for kind in ("matmul", "conv", "rnn"))
LEAF_KEYS: tuple[PrecisionKey, ...] = (MATMUL_KEY, CONV_KEY, RNN_KEY, *CPU_KEYS)
ALL_KEYS: tuple[PrecisionKey, ...] = (GENERIC_KEY, *PARENT_KEYS, *LEAF_KEYS)
"""Parents first."""


class Precision(NamedTuple):
    """What is set. by_key: of each place what it says itself; empty where torch has none. products, convolutions: the
    flags of old, `float32_matmul_precision` and cuDNN's `allow_tf32`."""

    by_key: tuple[str, ...]
    products: str
    convolutions: bool


def effective_precision(place: PrecisionKey) -> str:
    """What a place does, in itself or as the one above it."""
    return str(torch._C._get_fp32_precision_getter(*place))


def set_precision(place: PrecisionKey, value: str) -> None:
    torch._C._set_fp32_precision_setter(*place, value)


def tf32_allowed() -> tuple[bool, bool]:
    """Whether a GPU may compute float32 products, and convolutions, in TF32."""
    if HAS_FP32_PRECISION:
        return effective_precision(MATMUL_KEY) == "tf32", effective_precision(CONV_KEY) == "tf32"
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def current_precision() -> Precision:
    """What is set now."""
    if not HAS_FP32_PRECISION:
        return Precision((), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    named = tuple(_own_values())
    try:
        return Precision(named, torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return _read_flags_cleared(named)


def restore_precision(before: Precision) -> None:
    """Sets all as it was; nothing where nothing has changed."""
    if current_precision() != before:
        _apply(before)


def _apply(precision: Precision) -> None:
    torch.set_float32_matmul_precision(precision.products)
    torch.backends.cudnn.allow_tf32 = precision.convolutions
    for place, value in zip(ALL_KEYS, precision.by_key, strict=False):
        set_precision(place, value)


def _own_values() -> Iterator[str]:
    """What each place says itself. Where all parents say nothing, that is what they do."""
    above = {place: effective_precision(place) for place in (GENERIC_KEY, *PARENT_KEYS)}
    if set(above.values()) == {UNSET}:
        yield from map(effective_precision, ALL_KEYS)
        return
    own: dict[PrecisionKey, str] = {GENERIC_KEY: above[GENERIC_KEY]}
    try:
        set_precision(GENERIC_KEY, UNSET)
        own |= {place: effective_precision(place) for place in PARENT_KEYS}
        for place in PARENT_KEYS:
            set_precision(place, UNSET)
        own |= {place: effective_precision(place) for place in LEAF_KEYS}
    finally:
        for place, value in own.items():
            set_precision(place, value)
    yield from map(own.__getitem__, ALL_KEYS)


def _read_flags_cleared(named: tuple[str, ...]) -> Precision:
    """The flags of old, read where the tree says what they may be."""
    try:
        for place in ALL_KEYS:
            set_precision(place, UNSET)
        products = _read_with_retries(
            torch.get_float32_matmul_precision,
            lambda: _set_all((MATMUL_KEY, CPU_KEYS[0]), "tf32"),
            lambda: set_precision(CPU_KEYS[0], "bf16"),
        )
        convolutions = _read_with_retries(
            lambda: torch.backends.cudnn.allow_tf32, lambda: _set_all((CONV_KEY, RNN_KEY), "tf32")
        )
    finally:
        for place, value in zip(ALL_KEYS, named, strict=True):
            set_precision(place, value)
    return Precision(named, products, convolutions)


def _set_all(places: tuple[PrecisionKey, ...], value: str) -> None:
    for place in places:
        set_precision(place, value)


def _read_with_retries(read: Callable[[], Any], *tries: Callable[[], None]) -> Any:
    """What a flag says, in the first of several settings in which torch reads it."""
    for attempt in tries:
        with suppress(RuntimeError):
            return read()
        attempt()
    return read()


@contextmanager
def tf32_set(on: bool) -> Iterator[None]:
    """Inside, a GPU computes float32 products, convolutions and recurrent layers in TF32 or not. By the flags of old,
    so that code inside may read them, and by name, since a place without a name does as the one above it."""
    before = current_precision()
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
        if HAS_FP32_PRECISION:
            _set_all((MATMUL_KEY, CONV_KEY, RNN_KEY), "tf32" if on else "ieee")
        yield
    finally:
        _apply(before)


PRECISION_ACCESSORS = (current_precision, restore_precision)
"""As a pair: what takes it, and what gives it back."""
