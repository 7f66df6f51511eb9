"""The precision of float32 products: read, set and restore it through both of torch's interfaces.

    allow_tf32, float32_matmul_precision        two older flags
    fp32_precision                              a tree of settings, from torch 2.9 on; "none" inherits from the parent

Reading an older flag raises as soon as the tree holds something that the flags cannot express. So a flag is not read
where the tree says the same, and a flag that cannot be read is read while the tree is cleared for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch

PrecisionKey = tuple[str, str]

HAS_FP32_PRECISION = hasattr(torch._C, "_get_fp32_precision_getter")
"""True if this torch has `fp32_precision`."""

UNSET = "none"
GENERIC_KEY: PrecisionKey = ("generic", "all")
PARENT_KEYS: tuple[PrecisionKey, ...] = (("cuda", "all"), ("mkldnn", "all"))
MATMUL_KEY, CONV_KEY, RNN_KEY = (("cuda", kind) for kind in ("matmul", "conv", "rnn"))
CPU_KEYS: tuple[PrecisionKey, ...] = tuple(("mkldnn", kind) for kind in ("matmul", "conv", "rnn"))
LEAF_KEYS: tuple[PrecisionKey, ...] = (MATMUL_KEY, CONV_KEY, RNN_KEY, *CPU_KEYS)
ALL_KEYS: tuple[PrecisionKey, ...] = (GENERIC_KEY, *PARENT_KEYS, *LEAF_KEYS)
"""All keys, parents first."""


class Precision(NamedTuple):
    """The precision settings of the process.

    by_key: each key's own value; empty if torch has no tree. products, convolutions: the older flags,
    `float32_matmul_precision` and cuDNN's `allow_tf32`.
    """

    by_key: tuple[str, ...]
    products: str
    convolutions: bool


def effective_precision(key: PrecisionKey) -> str:
    """Return the precision that a key has, its own or its parent's."""
    return str(torch._C._get_fp32_precision_getter(*key))


def set_precision(key: PrecisionKey, value: str) -> None:
    torch._C._set_fp32_precision_setter(*key, value)


def tf32_allowed() -> tuple[bool, bool]:
    """Return whether a GPU may compute float32 products, and whether convolutions, in TF32."""
    if HAS_FP32_PRECISION:
        return effective_precision(MATMUL_KEY) == "tf32", effective_precision(CONV_KEY) == "tf32"
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def current_precision() -> Precision:
    """Return the settings of now."""
    if not HAS_FP32_PRECISION:
        return Precision((), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    own_values = tuple(_own_values())
    try:
        return Precision(own_values, torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return _read_flags_cleared(own_values)


def restore_precision(before: Precision) -> None:
    """Set everything as it was; do nothing if nothing has changed."""
    if current_precision() != before:
        _apply(before)


def _apply(precision: Precision) -> None:
    torch.set_float32_matmul_precision(precision.products)
    torch.backends.cudnn.allow_tf32 = precision.convolutions
    for key, value in zip(ALL_KEYS, precision.by_key, strict=False):
        set_precision(key, value)


def _own_values() -> Iterator[str]:
    """Yield the own value of each key. If no parent has one, the effective values are the own values."""
    parents = {key: effective_precision(key) for key in (GENERIC_KEY, *PARENT_KEYS)}
    if set(parents.values()) == {UNSET}:
        yield from map(effective_precision, ALL_KEYS)
        return
    own: dict[PrecisionKey, str] = {GENERIC_KEY: parents[GENERIC_KEY]}
    try:
        set_precision(GENERIC_KEY, UNSET)
        own |= {key: effective_precision(key) for key in PARENT_KEYS}
        for key in PARENT_KEYS:
            set_precision(key, UNSET)
        own |= {key: effective_precision(key) for key in LEAF_KEYS}
    finally:
        for key, value in own.items():
            set_precision(key, value)
    yield from map(own.__getitem__, ALL_KEYS)


def _read_flags_cleared(own_values: tuple[str, ...]) -> Precision:
    """Read the older flags while the tree is set to values with which torch allows that."""
    try:
        for key in ALL_KEYS:
            set_precision(key, UNSET)
        products = _read_with_retries(
            torch.get_float32_matmul_precision,
            lambda: _set_all((MATMUL_KEY, CPU_KEYS[0]), "tf32"),
            lambda: set_precision(CPU_KEYS[0], "bf16"),
        )
        convolutions = _read_with_retries(
            lambda: torch.backends.cudnn.allow_tf32, lambda: _set_all((CONV_KEY, RNN_KEY), "tf32")
        )
    finally:
        for key, value in zip(ALL_KEYS, own_values, strict=True):
            set_precision(key, value)
    return Precision(own_values, products, convolutions)


def _set_all(keys: tuple[PrecisionKey, ...], value: str) -> None:
    for key in keys:
        set_precision(key, value)


def _read_with_retries(read: Callable[[], Any], *tries: Callable[[], None]) -> Any:
    """Return the value of a flag, read after the first of several changes with which torch allows reading it."""
    for attempt in tries:
        with suppress(RuntimeError):
            return read()
        attempt()
    return read()


@contextmanager
def tf32_set(on: bool) -> Iterator[None]:
    """Inside, a GPU computes float32 products, convolutions and recurrent layers in TF32 (`on`) or does not.

    Sets the older flags, so that code inside may read them, and each key, since a key without a value inherits its
    parent's.
    """
    before = current_precision()
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
        if HAS_FP32_PRECISION:
            _set_all((MATMUL_KEY, CONV_KEY, RNN_KEY), "tf32" if on else "ieee")
        yield
    finally:
        _apply(before)


PRECISION_ACCESSORS = (current_precision, restore_precision)
"""The getter and setter of all precision settings."""
