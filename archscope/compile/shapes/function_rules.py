"""The shape rules of functions by name. A rule has the parameters of the torch function and returns its result.

FUNCTION_RULES: short name → rule(*args, **kwargs) → tensor or tuple; raises NoRule (or TypeError, for other parameters)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from archscope.compile.shapes import images, pointwise, products_and_norms, reshape
from archscope.ops.dtypes import DTYPE_ALIASES

ShapeRule = Callable[..., object]

_UNARY = """
    exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    sigmoid erf erfc reciprocal floor ceil round trunc frac sign neg negative abs absolute softsign tanhshrink
    logsigmoid detach clone
"""
_ACTIVATIONS: Mapping[str, str] = {
    **dict.fromkeys(("relu", "relu6", "silu", "mish", "hardswish", "hardsigmoid", "selu"), ""),
    "elu": "alpha",
    "celu": "alpha",
    "leaky_relu": "negative_slope",
}
_CASTS = (*DTYPE_ALIASES, "bfloat16", "bool")
"""Methods that convert to the dtype of their name."""
_SPATIAL: Mapping[str, ShapeRule] = {
    "conv{}d": images.convolution,
    "max_pool{}d": images.max_pool,
    "avg_pool{}d": images.avg_pool,
    "adaptive_avg_pool{}d": images.adaptive_avg_pool,
    "adaptive_max_pool{}d": images.adaptive_max_pool,
}
_RULES_NAMED_AS_TORCH: tuple[ShapeRule, ...] = (
    *(
        pointwise.clamp,
        pointwise.hardtanh,
        pointwise.gelu,
        pointwise.glu,
        pointwise.prelu,
        pointwise.normalize,
        pointwise.to,
    ),
    *(
        products_and_norms.linear,
        products_and_norms.matmul,
        products_and_norms.bmm,
        products_and_norms.mm,
        products_and_norms.outer,
        products_and_norms.embedding,
    ),
    *(
        products_and_norms.scaled_dot_product_attention,
        products_and_norms.layer_norm,
        products_and_norms.rms_norm,
        products_and_norms.group_norm,
    ),
    *(images.pad, images.interpolate, images.pixel_shuffle, images.pixel_unshuffle, images.unfold),
    *(reshape.stack, reshape.contiguous, reshape.flatten, reshape.reshape),
    *(reshape.arange, reshape.full),
)
FUNCTION_RULES: Mapping[str, ShapeRule] = {
    **{rule.__name__: rule for rule in _RULES_NAMED_AS_TORCH},
    **dict.fromkeys(_UNARY.split(), pointwise.unary),
    **{name: pointwise.activation_rule(number) for name, number in _ACTIVATIONS.items()},
    **{name: pointwise.cast_rule(getattr(torch, name)) for name in _CASTS},
    **{name.format(count): partial(rule, count) for name, rule in _SPATIAL.items() for count in (1, 2, 3)},
    "clip": pointwise.clamp,
    "pow": pointwise.power,
    **dict.fromkeys(("dropout", "alpha_dropout"), pointwise.dropout),
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), pointwise.softmax),
    **dict.fromkeys(("add", "sub", "mul", "multiply", "subtract"), pointwise.arithmetic),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), pointwise.division),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), reshape.reduction),
    **dict.fromkeys(("cat", "concat", "concatenate"), reshape.cat),
    **dict.fromkeys(("zeros", "ones"), reshape.zeros_or_ones),
}
"""Short name of a function or method → its rule."""
