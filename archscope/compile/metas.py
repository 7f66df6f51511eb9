"""Meta tensors in nested values, and numbers of dimensions that sizes decide.

`squeeze` drops a dimension at some sizes and keeps it at others. A meta tensor whose
rank may be another one when the net runs carries a mark, and so does what is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from archscope.compile.numbers import RuntimeList, RuntimeNumber

DECIDED = frozenset(["squeeze", "cartesian_prod"])
"""Functions whose result has as many dimensions as sizes, or the length of a list, say."""
COUNTED = frozenset(["flatten", "tensordot"])
"""Functions whose result has as many dimensions as a number says, as `keepdim` does of others."""
CERTAIN = frozenset(["view", "reshape", "permute", "bmm", "mm"])
"""Functions whose result has as many dimensions as their arguments say, whatever comes in."""
MARK = "rank_is_open"


def flat(values: object) -> list[torch.Tensor]:
    """Every tensor in a nested value."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = tuple(values.values())
    return [t for v in values for t in flat(v)] if isinstance(values, (list, tuple)) else []


def is_open(meta: torch.Tensor) -> bool:
    """Whether a value may have another number of dimensions when the net runs."""
    return bool(getattr(meta, MARK, False))


def any_open(metas: object) -> bool:
    """Whether one of the tensors in a nested value is such a value."""
    return any(map(is_open, flat(metas)))


def leaves_open(name: str, args: tuple, kwargs: Mapping[str, object], metas: object) -> bool:
    """Whether a function's result is such a value. metas: its arguments as meta tensors and numbers."""
    given = (*args, *kwargs.values())
    lists = [value for value in given if isinstance(value, RuntimeList)]
    numbers = [value for value in given if isinstance(value, RuntimeNumber)]
    if name in DECIDED or any(name == "meshgrid" or not flat(value.metas) for value in lists):
        return True
    if any(name in COUNTED or isinstance(value.value, bool) for value in numbers):
        return True
    return name not in CERTAIN and any_open(metas)


def opened(result: object) -> Any:
    """A nested result with the mark on its tensors, which are others than those that came in."""
    if isinstance(result, torch.Tensor):
        marked = result.detach()
        setattr(marked, MARK, True)
        return marked
    if isinstance(result, Mapping):
        return {name: opened(part) for name, part in result.items()}
    if not isinstance(result, (list, tuple)):
        return result
    return (list if isinstance(result, list) else tuple)(opened(part) for part in result)


def same_ranks(one: object, other: object) -> bool:
    """Whether the tensors in two nested values have as many dimensions, and sizes decide it of both or of none."""
    left, right = flat(one), flat(other)
    return [(t.dim(), is_open(t)) for t in left] == [(t.dim(), is_open(t)) for t in right]
