"""The independent count: torch's own FlopCounterMode, halved, where it sees everything that is done.

Attention is taken apart into its two products, torch's fused encoder and its fused CPU kernels of recurrent layers are
switched off, and the products that FlopCounterMode has no formula for are given one by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]
aten = torch.ops.aten


def by_first(left: Shape, _right: Shape, **_rest: Any) -> int:
    """(m, k) × (k) or (k) · (k)."""
    return 2 * prod(left)


def by_second(_added: Shape, left: Shape, _right: Shape, **_rest: Any) -> int:
    """Something plus (m, k) × (k)."""
    return 2 * prod(left)


def summed_batches(_added: Shape, left: Shape, right: Shape, **_rest: Any) -> int:
    """Something plus the sum of (b, m, k) × (b, k, n)."""
    return 2 * prod(left) * right[-1]


def grouped(left: Shape, right: Shape, *_rest: Any, **_named: Any) -> int:
    """(m, k) × (g, k, n), every row with the matrix of its group; (g, m, k) × (k, n), every column so."""
    columns = prod(left[-2:]) if len(right) == 2 else prod(left)
    return 2 * columns * right[-1]


def distances(left: Shape, right: Shape, **_rest: Any) -> int:
    """All distances of (m, k) and (n, k) as one product, which has the squares of both as two more columns."""
    return 2 * prod(left[:-1]) * right[-2] * (left[-1] + 2)


def triangular(matrix: Shape, _right: Shape, *, unitriangular: bool = False, out_shape: Shape, **_rest: Any) -> int:
    """Substitution in a system of (n, n): n(n − 1)/2 for each column, and n divisions if the diagonal is not one."""
    n = matrix[-1]
    return 2 * (prod(out_shape) // n) * (n * (n - 1) // 2 + (0 if unitriangular else n))


BY_HAND: Mapping[Any, Callable[..., int]] = {
    aten.mv: by_first,
    aten.dot: by_first,
    aten.vdot: by_first,
    aten.addmv: by_second,
    aten.addbmm: summed_batches,
    aten._grouped_mm: grouped,
    aten._euclidean_dist: distances,
    aten.linalg_solve_triangular: triangular,
}
"""Products without a formula in FlopCounterMode → FLOPs from shapes."""


@contextmanager
def unfused() -> Iterator[None]:
    """No fused kernel hides a product; the switches are as before afterwards."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            for switch in (torch.no_grad(), sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False)):
                stack.enter_context(switch)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class Everywhere:
    """Stands for FlopCounterMode's tracker of modules, which stumbles over parameters that are handed to a module."""

    parents = frozenset(["Global"])

    def __enter__(self) -> None: ...

    def __exit__(self, *_raised: object) -> None: ...


def counted(model: nn.Module, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> int:
    """The multiply-adds of one forward pass."""
    counter: Any = FlopCounterMode(display=False, custom_mapping=dict(BY_HAND))
    counter.mod_tracker = Everywhere()
    with unfused(), torch.random.fork_rng(), counter:
        model(*args, **(kwargs or {}))
    flops, odd = divmod(counter.get_total_flops(), 2)
    assert not odd, "a multiply-add is two FLOPs"
    return flops


def parameters(model: nn.Module) -> int:
    """Elements of the distinct parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
