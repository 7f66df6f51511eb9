"""Products of sparse tensors, which cost what they store, and of nested tensors, which cost the sum of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from archscope.record.op_call import is_strided
from archscope.record.product_kernels import product_kernel
from archscope.record.tensor_trees import shape_of, stored_elements
from archscope.trace import Kernel, Kernels, Shape


def linear(inputs: torch.Tensor, weight: torch.Tensor, outputs: tuple[Shape, ...]) -> Kernels:
    """Return the kernels of `inputs @ weight.T`, whatever their layouts."""
    transposed = shape_of(weight)[::-1]
    if inputs.is_nested:
        return tuple(product_kernel(shape_of(part), transposed) for part in inputs.unbind())
    if is_strided(inputs) and is_strided(weight):
        return (product_kernel(shape_of(inputs), transposed),)
    attributes = (("stored", (stored_elements(inputs), stored_elements(weight))),)
    return (Kernel("aten._sparse_mm", (shape_of(inputs), transposed), outputs, attributes),)


def sparse_kernel(name: str, factors: Sequence[torch.Tensor], outputs: tuple[Shape, ...]) -> Kernel:
    """Return a kernel with the number of elements that each factor stores."""
    return Kernel(name, tuple(map(shape_of, factors)), outputs, (("stored", tuple(map(stored_elements, factors))),))


def matmul(left: torch.Tensor, right: torch.Tensor, outputs: tuple[Shape, ...]) -> Kernels:
    """Return the kernels of `left @ right`, whatever their layouts."""
    if left.is_nested or right.is_nested:
        return tuple(product_kernel(*map(shape_of, pair)) for pair in nested_parts(left, right))
    if is_strided(left) and is_strided(right):
        return (product_kernel(shape_of(left), shape_of(right)),)
    return (sparse_kernel("aten._sparse_mm", (left, right), outputs),)


def nested_parts(*operands: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Return the tensors that nested operands consist of, side by side; a matrix is repeated for all of them."""
    count = next(operand.size(0) for operand in operands if operand.is_nested)
    parts: list[Any] = [
        operand.unbind() if operand.is_nested or operand.dim() > 2 else [operand] * count for operand in operands
    ]
    return list(zip(*parts, strict=True))


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Kernels:
    """Return the kernels of attention over nested sequences, one for each sequence."""
    shapes = [tuple(map(shape_of, parts)) for parts in nested_parts(query, key, value)]
    return tuple(Kernel("aten.scaled_dot_product_attention", (q, k, v), ((*q[:-1], v[-1]),)) for q, k, v in shapes)
