"""Trees of results: whatever a module takes or gives → its tensors, each under a name.

    tensor | list, tuple, dict | named tuple, dataclass, attrs | mapping | object with tensors in its attributes

Plain trees come first and cost a type check. An object is gone into once, and no module, class, function or random
generator is: what they hold is no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import ModuleType
from typing import Any

import torch

LEAF_TYPES = frozenset([type(None), bool, int, float, complex, str, bytes, bytearray, range, slice, type(...)])
"""Types that hold no tensor, and end the way at once."""

OPAQUE_TYPES = (type, ModuleType, torch.nn.Module, torch.dtype, torch.device, torch.Generator, torch.Size)
MAX_TREE_DEPTH = 30
"""How far down a tree is followed: results are shallow, and a list may hold itself."""


def named_tensors(tree: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors from left to right, named by keys, fields, attributes and positions joined by dots; `0` if alone."""
    if isinstance(tree, torch.Tensor):
        yield name or "0", tree
    elif type(tree) not in LEAF_TYPES:
        yield from _below(tree, name, set(), MAX_TREE_DEPTH)


def _below(tree: Any, name: str, seen: set[int], left: int) -> Iterator[tuple[str, torch.Tensor]]:
    for key, item in tree_items(tree, seen):
        path = f"{name}.{key}" if name else str(key)
        if isinstance(item, torch.Tensor):
            yield path, item
        elif type(item) not in LEAF_TYPES and left:
            yield from _below(item, path, seen, left - 1)


def tree_items(tree: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """What lies directly in a tree, with its names. seen: objects that were gone into, by identity."""
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
    """The attributes of an object; of a table in one of them, that the object gives as attributes of its own, these."""
    gives = hasattr(type(value), "__getattr__")
    for name, held in own_attributes(value):
        if (
            gives
            and isinstance(held, Mapping)
            and all(attribute_or_none(value, key) is item for key, item in held.items())
        ):
            yield from held.items()
        else:
            yield name, held


def attribute_or_none(value: Any, key: Any) -> Any:
    """An attribute of an object; None where it has none of that name."""
    try:
        return getattr(value, key)
    except Exception:  # noqa: BLE001 — somebody else's `__getattr__` raises what it likes
        return None


def own_attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object itself, also those in slots; never of its class."""
    for kind in reversed(type(value).__mro__):
        slots = vars(kind).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            held = getattr(value, slot, None) if slot not in ("__dict__", "__weakref__") else None
            if held is not None:
                yield slot, held
    yield from getattr(value, "__dict__", {}).items()
