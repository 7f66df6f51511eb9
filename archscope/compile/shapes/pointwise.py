# ruff: noqa: ARG001  (a rule has all the parameters of its torch function, used or not)
"""Shape rules of elementwise functions: activations, conversions, arithmetic of two operands."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from archscope.compile.shapes.guards import (
    axis_index,
    broadcast_shapes,
    empty_contiguous,
    empty_like,
    floating_dtype,
    guard,
    is_dense,
    is_finite_number,
    is_int,
)

ShapeRule = Callable[..., Tensor]


def unary(input: Tensor) -> Tensor:
    """Return the result of a function of one floating tensor with the same shape, dtype and memory format."""
    floating_dtype(input)
    return empty_like(input)


def activation_rule(number: str = "") -> ShapeRule:
    """Return the rule of an activation with one optional number (`negative_slope`, `alpha`)."""

    def rule(input: Tensor, *args: object, inplace: bool = False, **named: object) -> Tensor:
        guard(isinstance(inplace, bool) and set(named) <= {number} and len(args) + len(named) <= bool(number))
        guard(all(map(is_finite_number, (*args, *named.values()))))
        return unary(input)

    return rule


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    guard(approximate in ("none", "tanh"))
    return unary(input)


def clamp(input: Tensor, min: object = None, max: object = None) -> Tensor:
    guard((min, max) != (None, None) and all(bound is None or is_finite_number(bound) for bound in (min, max)))
    return unary(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    guard(is_finite_number(min_val) and is_finite_number(max_val) and min_val < max_val)
    return unary(input)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    guard(is_finite_number(p) and 0 <= p <= 1)
    return unary(input)


def softmax(input: Tensor, dim: object, dtype: object = None) -> Tensor:
    floating_dtype(input)
    guard(dtype is None)
    axis_index(dim, max(input.dim(), 1))
    return empty_contiguous(input, input.shape)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    floating_dtype(input)
    place = axis_index(dim, input.dim())
    guard(input.shape[place] % 2 == 0 and input.is_contiguous())
    return empty_contiguous(input, (*input.shape[:place], input.shape[place] // 2, *input.shape[place + 1 :]))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    floating_dtype(input, weight)
    guard(weight.dim() == 1 and (weight.numel() == 1 or (input.dim() > 1 and weight.numel() == input.shape[1])))
    return empty_like(input)


def normalize(input: Tensor, p: float = 2.0, dim: object = 1, eps: float = 1e-12) -> Tensor:
    floating_dtype(input)
    guard(is_finite_number(p) and p > 0 and is_finite_number(eps))
    axis_index(dim, input.dim())
    return empty_like(input)


def cast_rule(dtype: torch.dtype) -> ShapeRule:
    """Return the rule of a conversion such as `x.float()`."""

    def rule(input: Tensor) -> Tensor:
        return input if input.dtype is dtype else empty_like(input, dtype)

    return rule


def to(input: Tensor, dtype: torch.dtype) -> Tensor:
    guard(isinstance(dtype, torch.dtype) and not dtype.is_complex)
    return cast_rule(dtype)(input)


# ------------------------------------------------------------ two operands
def arithmetic(input: object, other: object) -> Tensor:
    """Return the result of `+ - *`: two tensors of one dtype, or a floating tensor (int64 and int) with a number."""
    first, second = _check_operands(input, other)
    return _broadcast_result(first, second)


def division(input: object, other: object) -> Tensor:
    """Return the result of `/`: integers divided give torch's default dtype."""
    first, second = _check_operands(input, other)
    out = _broadcast_result(first, second)
    return out if out.dtype.is_floating_point else empty_like(out, torch.get_default_dtype())


def power(input: object, exponent: object) -> Tensor:
    """Return the result of `**` if it is floating."""
    first, second = _check_operands(input, exponent)
    floating_dtype(*(operand for operand in (first, second) if isinstance(operand, Tensor)))
    return _broadcast_result(first, second)


def _check_operands(first: object, second: object) -> tuple[object, object]:
    tensors = [value for value in (first, second) if isinstance(value, Tensor)]
    numbers = [value for value in (first, second) if is_finite_number(value)]
    guard(tensors and len(tensors) + len(numbers) == 2)
    dtypes = {tensor.dtype for tensor in tensors}
    guard(len(dtypes) == 1 and (all(d.is_floating_point for d in dtypes) or dtypes == {torch.int64}))
    guard(tensors[0].dtype.is_floating_point or all(map(is_int, numbers)))
    return first, second


def _broadcast_result(first: object, second: object) -> Tensor:
    """Return the result in the memory format of the first operand that has its shape."""
    tensors = [value for value in (first, second) if isinstance(value, Tensor)]
    shape = broadcast_shapes(*(tensor.shape for tensor in tensors))
    whole = [tensor for tensor in tensors if tuple(tensor.shape) == shape and is_dense(tensor)]
    return empty_like(whole[0]) if whole else empty_contiguous(tensors[0], shape)
