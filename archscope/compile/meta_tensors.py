"""Nested meta tensors, and numbers of dimensions that depend on sizes.

`squeeze` drops a dimension at some sizes and keeps it at others. A meta tensor whose rank may differ when the net runs
is marked, and so are the results computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from archscope.compile.runtime_numbers import RuntimeList, RuntimeNumber

RANK_FROM_SIZES = frozenset(["squeeze", "cartesian_prod"])
"""Functions whose result rank depends on sizes, or on the length of a list."""
RANK_FROM_NUMBERS = frozenset(["flatten", "tensordot"])
"""Functions whose result rank depends on a number, as on `keepdim` in others."""
RANK_FROM_ARGUMENTS = frozenset(["view", "reshape", "permute", "bmm", "mm"])
"""Functions whose result rank depends on their arguments alone."""
OPEN_RANK_MARK = "rank_is_open"


def flatten_tensors(values: object) -> list[torch.Tensor]:
    """Yield every tensor in a nested value."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = tuple(values.values())
    return [t for v in values for t in flatten_tensors(v)] if isinstance(values, (list, tuple)) else []


def has_open_rank(meta: torch.Tensor) -> bool:
    """Return whether a value may have another number of dimensions when the net runs."""
    return bool(getattr(meta, OPEN_RANK_MARK, False))


def has_any_open_rank(metas: object) -> bool:
    """Return whether one of the tensors in a nested value may have another rank when the net runs."""
    return any(map(has_open_rank, flatten_tensors(metas)))


def has_open_result(name: str, args: tuple, kwargs: Mapping[str, object], metas: object) -> bool:
    """Return whether a function's result may have another rank when the net runs.

    metas: its arguments as meta tensors and numbers.
    """
    given = (*args, *kwargs.values())
    lists = [value for value in given if isinstance(value, RuntimeList)]
    numbers = [value for value in given if isinstance(value, RuntimeNumber)]
    if name in RANK_FROM_SIZES or any(name == "meshgrid" or not flatten_tensors(value.meta_items) for value in lists):
        return True
    if any(name in RANK_FROM_NUMBERS or isinstance(value.value, bool) for value in numbers):
        return True
    return name not in RANK_FROM_ARGUMENTS and has_any_open_rank(metas)


def mark_open_rank(result: object) -> Any:
    """Return a nested result with marked tensors, which are new objects."""
    if isinstance(result, torch.Tensor):
        marked = result.detach()
        setattr(marked, OPEN_RANK_MARK, True)
        return marked
    if isinstance(result, Mapping):
        return {name: mark_open_rank(part) for name, part in result.items()}
    if not isinstance(result, (list, tuple)):
        return result
    return (list if isinstance(result, list) else tuple)(mark_open_rank(part) for part in result)


def have_same_ranks(first: object, second: object) -> bool:
    """Return whether the tensors in two nested values have equal ranks, fixed or dependent on sizes in both."""
    left, right = flatten_tensors(first), flatten_tensors(second)
    return [(t.dim(), has_open_rank(t)) for t in left] == [(t.dim(), has_open_rank(t)) for t in right]
