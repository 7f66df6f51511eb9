"""Products as kernels, from shapes alone: `left @ right`, an einsum's equation, a tensordot's axes; of sparse tensors,
which cost what they store, and of nested ones, which cost the sum of their parts.

"bij,bjk->bik", shapes → [{b, i, j}, {b, j, k}], {b, i, k} → bmm (b, i, j) × (b, j, k)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch

from archscope.record.op_call import is_strided, shape_of, stored_elements
from archscope.trace import Kernel, Kernels, Shape

AxisSizes = Mapping[Hashable, int]
"""The axes of a factor: letter → size."""

ELLIPSIS = "…"
"""The ellipsis of an equation as one character."""


def product_kernel(left: Shape, right: Shape) -> Kernel:
    """Return the kernel of `left @ right`: dot, mv, mm, or bmm with one batch axis (shape rules of torch.matmul)."""
    if len(left) == len(right) == 1:
        return Kernel("aten.dot", (left, right), ((),))
    if len(left) == 1:
        left = (1, *left)
    rows, inner = prod(left[:-1]), left[-1]
    if len(right) == 1:
        return Kernel("aten.mv", ((rows, inner), right), ((rows,),))
    if len(right) == 2:
        return Kernel("aten.mm", ((rows, inner), right), ((rows, right[1]),))
    batch = prod(torch.broadcast_shapes(left[:-2], right[:-2]))
    shapes = (batch, left[-2], inner), (batch, inner, right[-1])
    return Kernel("aten.bmm", shapes, ((batch, left[-2], right[-1]),))


# ------------------------------------------------------------ einsum
def einsum_kernels(args: Sequence[Any]) -> Kernels:
    """Return the products of `torch.einsum(*args)`, pair by pair from left to right."""
    sides, result, factors = parse_equation(args)
    terms = [axis_sizes(side, shape_of(factor)) for side, factor in zip(sides, factors, strict=True)]
    ellipsis_axes = {letter for term in terms for letter in term if isinstance(letter, tuple)}
    result_letters = set(implicit_result(sides) if result is None else result)
    return contract_terms(terms, result_letters - {ELLIPSIS} | (ellipsis_axes if ELLIPSIS in result_letters else set()))


def parse_equation(args: Sequence[Any]) -> tuple[list[list[Hashable]], list[Hashable] | None, list[Any]]:
    """Return the letters of each factor, those of the result (None if implicit), and the factors, for both
    notations."""
    if isinstance(args[0], str):
        sides, arrow, result = args[0].replace(" ", "").replace("...", ELLIPSIS).partition("->")
        factors = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        return [list(side) for side in sides.split(",")], list(result) if arrow else None, list(factors)
    paired = args[: len(args) // 2 * 2]
    last = parse_sublist(args[-1]) if len(args) % 2 else None
    return [parse_sublist(side) for side in paired[1::2]], last, list(paired[::2])


def parse_sublist(sublist: Iterable[Any]) -> list[Hashable]:
    return [ELLIPSIS if item is ... else item for item in sublist]


def implicit_result(sides: Sequence[Sequence[Hashable]]) -> list[Hashable]:
    """Return the letters of an implicit result: those that occur once, and the ellipsis."""
    letters = [letter for side in sides for letter in side]
    return [letter for letter in letters if letter == ELLIPSIS or letters.count(letter) == 1]


def axis_sizes(side: Sequence[Hashable], shape: Shape) -> AxisSizes:
    """Return letter → size; the axes of an ellipsis are numbered from the right. A repeated letter is a diagonal."""
    axes: list[Hashable] = []
    for letter in side:
        hidden = range(len(shape) - len(side) + 1, 0, -1)
        axes.extend([(ELLIPSIS, n) for n in hidden] if letter == ELLIPSIS else [letter])
    return dict(zip(axes, shape, strict=True))


def contract_terms(terms: Sequence[AxisSizes], result: set[Hashable]) -> Kernels:
    """Return the kernels of the terms multiplied from left to right; letters that no later term needs are summed."""
    kernels: list[Kernel] = []
    left = terms[0]
    for index, right in enumerate(terms[1:], 2):
        kept = result.union(*terms[index:])
        kernels.extend(contract_pair(left, right, kept))
        sizes = {letter: max(left.get(letter, 1), right.get(letter, 1)) for letter in (*left, *right)}
        left = {letter: size for letter, size in sizes.items() if letter in kept}
    return tuple(kernels)


def contract_pair(left: AxisSizes, right: AxisSizes, kept: set[Hashable]) -> Kernels:
    """Return the product of two factors: shared letters are batch axes (kept) or inner axes (summed).

    A letter of one factor only that is not kept is summed before. Without an inner axis longer than 1 the factors are
    multiplied element by element, which is no matrix product.
    """
    both = left.keys() & right.keys()
    summed = {letter for letter in both - kept if left[letter] != 1 and right[letter] != 1}
    if not summed:
        return ()
    inner = prod(left[letter] for letter in summed)
    batch = prod(max(left[letter], right[letter]) for letter in both & kept)
    rows = prod(size for letter, size in left.items() if letter in kept - both)
    columns = prod(size for letter, size in right.items() if letter in kept - both)
    return (product_kernel((batch, rows, inner), (batch, inner, columns)),)


# ------------------------------------------------------------ tensordot and vecdot
def tensordot_kernel(left: Shape, right: Shape, dims: Any) -> Kernel:
    """Return the product over `dims`: a number of axes (last of left, first of right), or the axes of both."""
    axes_of_both = dims.tolist() if isinstance(dims, torch.Tensor) else dims
    if isinstance(axes_of_both, int):
        axes_of_both = range(len(left) - axes_of_both, len(left)), range(axes_of_both)
    near, far = ({axis % len(shape) for axis in axes} for axes, shape in zip(axes_of_both, (left, right), strict=True))
    rows = prod(size for axis, size in enumerate(left) if axis not in near)
    inner = prod(left[axis] for axis in near)
    columns = prod(size for axis, size in enumerate(right) if axis not in far)
    return product_kernel((rows, inner), (inner, columns))


def vecdot_kernel(left: Shape, right: Shape, axis: int) -> Kernel:
    """Return one dot product along an axis for each index of the others."""
    both = list(torch.broadcast_shapes(left, right))
    inner = both.pop(axis)
    return product_kernel((prod(both), 1, inner), (prod(both), inner, 1))


# ------------------------------------------------------------ sparse and nested tensors
def linear_kernels(inputs: torch.Tensor, weight: torch.Tensor, outputs: tuple[Shape, ...]) -> Kernels:
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


def matmul_kernels(left: torch.Tensor, right: torch.Tensor, outputs: tuple[Shape, ...]) -> Kernels:
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


def attention_kernels(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Kernels:
    """Return the kernels of attention over nested sequences, one for each sequence."""
    shapes = [tuple(map(shape_of, parts)) for parts in nested_parts(query, key, value)]
    return tuple(Kernel("aten.scaled_dot_product_attention", (q, k, v), ((*q[:-1], v[-1]),)) for q, k, v in shapes)
