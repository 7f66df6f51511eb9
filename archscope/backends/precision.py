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

Place = tuple[str, str]

NAMED = hasattr(torch._C, "_get_fp32_precision_getter")
"""Whether this torch has `fp32_precision`."""

UNSET = "none"
GENERIC: Place = ("generic", "all")
PARENTS: tuple[Place, ...] = (("cuda", "all"), ("mkldnn", "all"))
PRODUCTS, CONVOLUTIONS, RECURRENT = (("cuda", kind) for kind in ("matmul", "conv", "rnn"))
ON_CPU: tuple[Place, ...] = tuple(("mkldnn", kind) for kind in ("matmul", "conv", "rnn"))
LEAVES: tuple[Place, ...] = (PRODUCTS, CONVOLUTIONS, RECURRENT, *ON_CPU)
PLACES: tuple[Place, ...] = (GENERIC, *PARENTS, *LEAVES)
"""Parents first."""


class Precision(NamedTuple):
    """What is set. named: of each place what it says itself; empty where torch has none. products, convolutions: the
    flags of old, `float32_matmul_precision` and cuDNN's `allow_tf32`."""

    named: tuple[str, ...]
    products: str
    convolutions: bool


def effective(place: Place) -> str:
    """What a place does, in itself or as the one above it."""
    return str(torch._C._get_fp32_precision_getter(*place))


def put(place: Place, value: str) -> None:
    torch._C._set_fp32_precision_setter(*place, value)


def tf32() -> tuple[bool, bool]:
    """Whether a GPU may compute float32 products, and convolutions, in TF32."""
    if NAMED:
        return effective(PRODUCTS) == "tf32", effective(CONVOLUTIONS) == "tf32"
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def held() -> Precision:
    """What is set now."""
    if not NAMED:
        return Precision((), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    named = tuple(_own())
    try:
        return Precision(named, torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return _read_aside(named)


def give_back(before: Precision) -> None:
    """Sets all as it was; nothing where nothing has changed."""
    if held() != before:
        _set(before)


def _set(precision: Precision) -> None:
    torch.set_float32_matmul_precision(precision.products)
    torch.backends.cudnn.allow_tf32 = precision.convolutions
    for place, value in zip(PLACES, precision.named, strict=False):
        put(place, value)


def _own() -> Iterator[str]:
    """What each place says itself. Where all parents say nothing, that is what they do."""
    above = {place: effective(place) for place in (GENERIC, *PARENTS)}
    if set(above.values()) == {UNSET}:
        yield from map(effective, PLACES)
        return
    own: dict[Place, str] = {GENERIC: above[GENERIC]}
    try:
        put(GENERIC, UNSET)
        own |= {place: effective(place) for place in PARENTS}
        for place in PARENTS:
            put(place, UNSET)
        own |= {place: effective(place) for place in LEAVES}
    finally:
        for place, value in own.items():
            put(place, value)
    yield from map(own.__getitem__, PLACES)


def _read_aside(named: tuple[str, ...]) -> Precision:
    """The flags of old, read where the tree says what they may be."""
    try:
        for place in PLACES:
            put(place, UNSET)
        products = _agreed(
            torch.get_float32_matmul_precision,
            lambda: _put_all((PRODUCTS, ON_CPU[0]), "tf32"),
            lambda: put(ON_CPU[0], "bf16"),
        )
        convolutions = _agreed(
            lambda: torch.backends.cudnn.allow_tf32, lambda: _put_all((CONVOLUTIONS, RECURRENT), "tf32")
        )
    finally:
        for place, value in zip(PLACES, named, strict=True):
            put(place, value)
    return Precision(named, products, convolutions)


def _put_all(places: tuple[Place, ...], value: str) -> None:
    for place in places:
        put(place, value)


def _agreed(read: Callable[[], Any], *tries: Callable[[], None]) -> Any:
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
    before = held()
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
        if NAMED:
            _put_all((PRODUCTS, CONVOLUTIONS, RECURRENT), "tf32" if on else "ieee")
        yield
    finally:
        _set(before)


PRECISION = (held, give_back)
"""As a pair: what takes it, and what gives it back."""
