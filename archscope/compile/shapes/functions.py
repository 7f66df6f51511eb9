"""Rules of functions: each is written with the parameters of the torch function of its name and gives its result's shape.

RULES: short name → rule(*args, **kwargs) → tensor or tuple; raises Unsure (or TypeError, for other parameters)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from archscope.compile.shapes import windows
from archscope.compile.shapes.certain import (
    axes,
    axis,
    broadcast,
    dense,
    floating,
    following,
    ints,
    is_int,
    is_number,
    made,
    same,
    sure,
)

Rule = Callable[..., object]
Shape = tuple[int, ...]


# Element by element.


def unary(input: Tensor) -> Tensor:
    """A function of one floating tensor that gives one of the same shape, dtype and memory order."""
    floating(input)
    return same(input)


def activation(input: Tensor, *numbers: object, inplace: bool = False, **named: object) -> Tensor:
    """An activation with some numbers (`negative_slope`, `alpha`, …)."""
    sure(len(numbers) + len(named) <= 1 and all(map(is_number, (*numbers, *named.values()))))
    return unary(input)


def _activation(name: str | None = None) -> Rule:
    def rule(input: Tensor, *numbers: object, inplace: bool = False, **named: object) -> Tensor:
        sure(isinstance(inplace, bool) and set(named) <= {name} and (name is not None or not numbers))
        return activation(input, *numbers, **named)

    return rule


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    sure(approximate in ("none", "tanh"))
    return unary(input)


def clamp(input: Tensor, min: object = None, max: object = None) -> Tensor:
    sure((min, max) != (None, None) and all(bound is None or is_number(bound) for bound in (min, max)))
    return unary(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    sure(is_number(min_val) and is_number(max_val) and min_val < max_val)
    return unary(input)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    sure(is_number(p) and 0 <= p <= 1)
    return unary(input)


def softmax(input: Tensor, dim: object, dtype: object = None) -> Tensor:
    floating(input)
    sure(dtype is None)
    axis(dim, max(input.dim(), 1))
    return made(input, input.shape)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    floating(input)
    place = axis(dim, input.dim())
    sure(input.shape[place] % 2 == 0 and input.is_contiguous())
    return made(input, (*input.shape[:place], input.shape[place] // 2, *input.shape[place + 1 :]))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    floating(input, weight)
    sure(weight.dim() == 1 and (weight.numel() == 1 or (input.dim() > 1 and weight.numel() == input.shape[1])))
    return same(input)


def normalize(input: Tensor, p: float = 2.0, dim: object = 1, eps: float = 1e-12) -> Tensor:
    floating(input)
    sure(is_number(p) and p > 0 and is_number(eps))
    axis(dim, input.dim())
    return same(input)


def converted(dtype: torch.dtype) -> Rule:
    """`x.float()` and its kin."""

    def rule(input: Tensor) -> Tensor:
        return input if input.dtype is dtype else same(input, dtype)

    return rule


def to(input: Tensor, dtype: torch.dtype) -> Tensor:
    sure(isinstance(dtype, torch.dtype) and not dtype.is_complex)
    return converted(dtype)(input)  # type: ignore[return-value]


# Two operands.


def arithmetic(input: object, other: object) -> Tensor:
    """`+ - *` and the like: two tensors of one dtype, or a floating tensor (or two whole numbers) with a Python number."""
    first, second = _operands(input, other)
    return _combined(first, second)


def division(input: object, other: object) -> Tensor:
    """`/`: whole numbers divided give torch's default dtype."""
    first, second = _operands(input, other)
    out = _combined(first, second)
    return out if out.dtype.is_floating_point else same(out, torch.get_default_dtype())


def power(input: object, exponent: object) -> Tensor:
    """`**` where the result is floating."""
    first, second = _operands(input, exponent)
    floating(*(operand for operand in (first, second) if isinstance(operand, Tensor)))
    return _combined(first, second)


def _operands(first: object, second: object) -> tuple[object, object]:
    tensors = [value for value in (first, second) if isinstance(value, Tensor)]
    numbers = [value for value in (first, second) if is_number(value)]
    sure(tensors and len(tensors) + len(numbers) == 2)
    dtypes = {tensor.dtype for tensor in tensors}
    sure(len(dtypes) == 1 and (all(d.is_floating_point for d in dtypes) or dtypes == {torch.int64}))
    sure(tensors[0].dtype.is_floating_point or all(map(is_int, numbers)))
    return first, second


def _combined(first: object, second: object) -> Tensor:
    """The result in the memory order of the first operand that has its shape."""
    tensors = [value for value in (first, second) if isinstance(value, Tensor)]
    shape = broadcast(*(tensor.shape for tensor in tensors))
    whole = [tensor for tensor in tensors if tuple(tensor.shape) == shape and dense(tensor)]
    return same(whole[0]) if whole else made(tensors[0], shape)


# Products.


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    floating(input, weight, bias)
    sure(weight.dim() == 2 and input.dim() > 0 and input.shape[-1] == weight.shape[1])
    sure(bias is None or bias.shape == weight.shape[:1])
    return made(input, (*input.shape[:-1], weight.shape[0]))


def matmul(input: Tensor, other: Tensor) -> Tensor:
    floating(input, other)
    sure(min(input.dim(), other.dim()) >= 2 and input.shape[-1] == other.shape[-2])
    return made(input, (*broadcast(input.shape[:-2], other.shape[:-2]), input.shape[-2], other.shape[-1]))


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    sure(input.dim() == mat2.dim() == 3 and input.shape[0] == mat2.shape[0])
    return matmul(input, mat2)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    sure(input.dim() == mat2.dim() == 2)
    return matmul(input, mat2)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    floating(input, vec2)
    sure(input.dim() == vec2.dim() == 1)
    return made(input, (*input.shape, *vec2.shape))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    floating(query, key, value)
    sure(query.dim() == key.dim() == value.dim() and 3 <= query.dim() <= 4)
    sure(query.shape[-1] == key.shape[-1] and key.shape[-2] == value.shape[-2])
    sure(query.shape[0] == key.shape[0] == value.shape[0] and key.shape[:-2] == value.shape[:-2])
    grouped = enable_gqa and query.dim() == 4 and query.shape[1] % key.shape[1] == 0
    sure(grouped or query.shape[:-2] == key.shape[:-2])
    sure(is_number(dropout_p) and 0 <= dropout_p <= 1 and (scale is None or is_number(scale)))
    _sure_of_mask(attn_mask, query, (*query.shape[:-1], key.shape[-2]), is_causal)
    return made(query, (*query.shape[:-1], value.shape[-1]))


def _sure_of_mask(mask: Tensor | None, query: Tensor, scores: Shape, is_causal: bool) -> None:
    if mask is not None:
        sure(not is_causal and mask.dtype in (torch.bool, query.dtype) and 2 <= mask.dim() <= len(scores))
        sure(broadcast(mask.shape, scores) == scores)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    sure(input.dtype in (torch.int64, torch.int32) and weight.dim() == 2 and max_norm is None)
    sure(padding_idx is None or (is_int(padding_idx) and -weight.shape[0] <= padding_idx < weight.shape[0]))
    return made(weight, (*input.shape, weight.shape[1]))


# Normalisations.


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    floating(input, weight, bias)
    shape = ints(normalized_shape, len(normalized_shape))
    sure(shape and tuple(input.shape[-len(shape) :]) == shape)
    sure(all(tensor is None or tuple(tensor.shape) == shape for tensor in (weight, bias)))
    return made(input, input.shape)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    return layer_norm(input, normalized_shape, weight)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    floating(input, weight, bias)
    sure(input.dim() >= 2 and is_int(num_groups) and num_groups > 0 and input.shape[1] % num_groups == 0)
    sure(math.prod(input.shape) > num_groups)
    sure(all(tensor is None or tensor.shape == input.shape[1:2] for tensor in (weight, bias)))
    return following(input, input.shape)


# Windows.


def _convolution(
    count: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    groups: int = 1,
) -> Tensor:
    floating(input, weight, bias)
    sure(input.dim() == weight.dim() == count + 2 and is_int(groups) and groups > 0)
    sure(input.shape[1] == weight.shape[1] * groups and weight.shape[0] % groups == 0)
    sure(bias is None or bias.shape == weight.shape[:1])
    out = windows.convolution(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    return following(input, (input.shape[0], weight.shape[0], *out))


def _max_pool(
    count: int,
    input: Tensor,
    kernel_size: object,
    stride: object = None,
    padding: object = 0,
    dilation: object = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    floating(input)
    sure(input.dim() == count + 2)
    out = windows.pool(input.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    values = following(input, (*input.shape[:2], *out))
    return (values, same(values, torch.int64)) if return_indices else values


def _avg_pool(
    count: int,
    input: Tensor,
    kernel_size: object,
    stride: object = None,
    padding: object = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    floating(input)
    sure(input.dim() == count + 2 and (divisor_override is None or (is_int(divisor_override) and divisor_override)))
    out = windows.pool(input.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    return following(input, (*input.shape[:2], *out))


def _adaptive_avg_pool(count: int, input: Tensor, output_size: object) -> Tensor:
    floating(input)
    sure(input.dim() == count + 2)
    return following(input, (*input.shape[:2], *windows.adaptive(input.shape[2:], output_size)))


def _adaptive_max_pool(
    count: int, input: Tensor, output_size: object, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    values = _adaptive_avg_pool(count, input, output_size)
    return (values, same(values, torch.int64)) if return_indices else values


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    floating(input)
    sure(value is None or is_number(value))
    return following(input, windows.padded(input.shape, pad, mode))


def interpolate(
    input: Tensor,
    size: object = None,
    scale_factor: object = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    floating(input)
    sure(not recompute_scale_factor and not antialias)
    out = windows.resampled(input.shape[2:], size, scale_factor, mode, align_corners)
    return following(input, (*input.shape[:2], *out))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    floating(input)
    sure(input.dim() >= 3 and is_int(upscale_factor) and upscale_factor > 0)
    *batch, channels, height, width = input.shape
    sure(channels % upscale_factor**2 == 0)
    out = (channels // upscale_factor**2, height * upscale_factor, width * upscale_factor)
    return made(input, (*batch, *out))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    floating(input)
    sure(input.dim() >= 3 and is_int(downscale_factor) and downscale_factor > 0)
    *batch, channels, height, width = input.shape
    sure(height % downscale_factor == 0 and width % downscale_factor == 0)
    out = (channels * downscale_factor**2, height // downscale_factor, width // downscale_factor)
    return made(input, (*batch, *out))


def unfold(input: Tensor, kernel_size: object, dilation: object = 1, padding: object = 0, stride: object = 1) -> Tensor:
    floating(input)
    sure(input.dim() == 4 and padding not in ("same", "valid"))
    window, count = windows.unfolded(input.shape[2:], kernel_size, dilation, padding, stride)
    return made(input, (input.shape[0], input.shape[1] * window, count))


# Reductions, joins, views that must copy, constants.


def mean(input: Tensor, dim: object = None, keepdim: bool = False) -> Tensor:
    """mean, sum, amax, amin."""
    floating(input)
    sure(isinstance(keepdim, bool) and dim != () and dim != [])
    reduced = axes(dim, input.dim())
    kept = [1 if place in reduced else size for place, size in enumerate(input.shape)]
    return made(input, kept if keepdim else [n for place, n in enumerate(input.shape) if place not in reduced])


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    sure(isinstance(tensors, tuple | list) and tensors and len({tensor.dtype for tensor in tensors}) == 1)
    out = windows.joined([tuple(tensor.shape) for tensor in tensors], dim)
    alike = all(following(tensor, tensor.shape).stride() == tensor.stride() for tensor in tensors)
    return following(tensors[0], out) if alike else made(tensors[0], out)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    sure(isinstance(tensors, tuple | list) and tensors)
    sure(len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1)
    shape = tensors[0].shape
    place = axis(dim, len(shape) + 1)
    return made(tensors[0], (*shape[:place], len(tensors), *shape[place:]))


def contiguous(input: Tensor) -> Tensor:
    return input if input.is_contiguous() else made(input, input.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """torch.flatten; a memory order that cannot be viewed so is copied first."""
    sure(input.dim() > 0)
    first, last = axis(start_dim, input.dim()), axis(end_dim, input.dim())
    sure(first <= last)
    return reshape(input, (*input.shape[:first], math.prod(input.shape[first : last + 1]), *input.shape[last + 1 :]))


def reshape(input: Tensor, *shape: object) -> Tensor:
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    known = math.prod(size for size in sizes if size != -1)  # type: ignore[misc]
    sure(all(is_int(size) and size >= -1 for size in sizes) and sizes.count(-1) <= 1 and known > 0)  # type: ignore[operator]
    sure(input.numel() % known == 0 if -1 in sizes else input.numel() == known)
    try:
        return input.view(sizes)  # type: ignore[arg-type]
    except RuntimeError:
        return made(input, input.shape).view(sizes)  # type: ignore[arg-type]


def arange(*bounds: object, step: object = 1, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    if len(bounds) == 3:
        *bounds, step = bounds  # type: ignore[assignment]
    return torch.empty(windows.stepped(tuple(bounds), step), dtype=dtype or torch.int64, device="meta")


def filled(*size: object, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    """zeros, ones."""
    sizes = size[0] if len(size) == 1 and isinstance(size[0], tuple | list) else size
    return torch.empty(ints(sizes, len(sizes)), dtype=dtype, device="meta")  # type: ignore[arg-type]


def full(size: Sequence[int], fill_value: object, *, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
    sure(isinstance(size, tuple | list) and (is_number(fill_value) or isinstance(fill_value, bool)))
    own = {bool: torch.bool, int: torch.int64, float: torch.get_default_dtype()}[type(fill_value)]
    return torch.empty(ints(size, len(size)), dtype=dtype or own, device="meta")


_UNARY = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "square",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sigmoid",
    "erf",
    "erfc",
    "reciprocal",
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "sign",
    "neg",
    "negative",
    "abs",
    "absolute",
    "softsign",
    "tanhshrink",
    "logsigmoid",
    "detach",
    "clone",
]
_ACTIVATIONS: Mapping[str, str | None] = {
    **dict.fromkeys(("relu", "relu6", "silu", "mish", "hardswish", "hardsigmoid", "selu")),
    "elu": "alpha",
    "celu": "alpha",
    "leaky_relu": "negative_slope",
}
_DROPOUTS = ("dropout", "alpha_dropout")
_DTYPES = {
    "float": torch.float32,
    "half": torch.float16,
    "double": torch.float64,
    "bfloat16": torch.bfloat16,
    "long": torch.int64,
    "int": torch.int32,
    "bool": torch.bool,
}
_POOLS = {
    "max_pool{}d": _max_pool,
    "avg_pool{}d": _avg_pool,
    "adaptive_avg_pool{}d": _adaptive_avg_pool,
    "adaptive_max_pool{}d": _adaptive_max_pool,
    "conv{}d": _convolution,
}
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_UNARY, unary),
    **{name: _activation(number) for name, number in _ACTIVATIONS.items()},
    **dict.fromkeys(_DROPOUTS, dropout),
    **{name: converted(dtype) for name, dtype in _DTYPES.items()},
    **{name.format(count): partial(rule, count) for name, rule in _POOLS.items() for count in (1, 2, 3)},
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), softmax),
    **dict.fromkeys(("add", "sub", "mul", "multiply", "subtract", "maximum", "minimum"), arithmetic),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), division),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), mean),
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    **dict.fromkeys(("zeros", "ones"), filled),
    "clamp": clamp,
    "clip": clamp,
    "hardtanh": hardtanh,
    "gelu": gelu,
    "glu": glu,
    "prelu": prelu,
    "pow": power,
    "normalize": normalize,
    "to": to,
    "matmul": matmul,
    "bmm": bmm,
    "mm": mm,
    "outer": outer,
    "linear": linear,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "embedding": embedding,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "pad": pad,
    "unfold": unfold,
    "interpolate": interpolate,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "stack": stack,
    "contiguous": contiguous,
    "flatten": flatten,
    "reshape": reshape,
    "arange": arange,
    "full": full,
}
"""Short name of a function or method → its rule."""
