"""The tensors in arguments or results of a module, each with a name.

    tensor | list, tuple, dict | named tuple, dataclass, attrs | mapping | object with tensors in its attributes

Plain containers come first and cost a type check. An object is entered once; modules, classes, functions and random
generators are not entered, since what they hold is not a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import ModuleType
from typing import Any

import torch

LEAF_TYPES = frozenset([type(None), bool, int, float, complex, str, bytes, bytearray, range, slice, type(...)])
"""Types that hold no tensor."""

OPAQUE_TYPES = (type, ModuleType, torch.nn.Module, torch.dtype, torch.device, torch.Generator, torch.Size)
MAX_TREE_DEPTH = 30
"""The greatest depth at which tensors are found: results are shallow, and a list may hold itself."""


def named_tensors(tree: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors left to right, named by keys, fields, attributes and positions joined by dots; `0` if alone."""
    if isinstance(tree, torch.Tensor):
        yield name or "0", tree
    elif type(tree) not in LEAF_TYPES:
        yield from _below(tree, name, set(), MAX_TREE_DEPTH)


def _below(tree: Any, name: str, seen: set[int], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    for key, item in tree_items(tree, seen):
        path = f"{name}.{key}" if name else str(key)
        if isinstance(item, torch.Tensor):
            yield path, item
        elif type(item) not in LEAF_TYPES and depth:
            yield from _below(item, path, seen, depth - 1)


def tree_items(tree: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """Yield the direct items of a tree, with their names. seen: ids of the objects that were entered."""
    kind = type(tree)
    if kind is list or kind is tuple:
        yield from enumerate(tree)
    elif isinstance(tree, Mapping):
        yield from tree.items()
    elif isinstance(tree, tuple):
        yield from zip(getattr(tree, "_fields", range(len(tree))), tree, strict=False)
    elif isinstance(tree, (Sequence, AbstractSet)) and kind not in LEAF_TYPES:
        yield from () if isinstance(tree, OPAQUE_TYPES) else enumerate(tree)
    elif not isinstance(tree, OPAQUE_TYPES) and not callable(tree) and id(tree) not in seen:
        seen.add(id(tree))
        yield from object_items(tree)


def object_items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the attributes of an object, and instead of a mapping whose items are also attributes, its items."""
    has_getattr = hasattr(type(value), "__getattr__")
    for name, attribute in own_attributes(value):
        if (
            has_getattr
            and isinstance(attribute, Mapping)
            and all(attribute_or_none(value, key) is item for key, item in attribute.items())
        ):
            yield from attribute.items()
        else:
            yield name, attribute


def attribute_or_none(value: Any, key: Any) -> Any:
    """Return an attribute of an object; None if it has none of that name, or reading it raises."""
    try:
        return getattr(value, key)
    except Exception:  # noqa: BLE001 — an author's `__getattr__` may raise anything
        return None


def own_attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object itself, also those in slots, but none of its class."""
    for kind in reversed(type(value).__mro__):
        slots = vars(kind).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            value_in_slot = getattr(value, slot, None) if slot not in ("__dict__", "__weakref__") else None
            if value_in_slot is not None:
                yield slot, value_in_slot
    yield from getattr(value, "__dict__", {}).items()
