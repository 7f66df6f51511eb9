"""The rules of functions by name. A rule has the parameters of the torch function of its name and gives its result.

RULES: short name → rule(*args, **kwargs) → tensor or tuple; raises Unsure (or TypeError, for other parameters)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from archscope.compile.shapes import arrangement, images, pointwise, products

Rule = Callable[..., object]

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
_DTYPES = {
    "float": torch.float32,
    "half": torch.float16,
    "double": torch.float64,
    "bfloat16": torch.bfloat16,
    "long": torch.int64,
    "int": torch.int32,
    "bool": torch.bool,
}
_SPATIAL: Mapping[str, Rule] = {
    "conv{}d": images.convolution,
    "max_pool{}d": images.max_pool,
    "avg_pool{}d": images.avg_pool,
    "adaptive_avg_pool{}d": images.adaptive_avg_pool,
    "adaptive_max_pool{}d": images.adaptive_max_pool,
}
_NAMED: tuple[Rule, ...] = (
    *(
        pointwise.clamp,
        pointwise.hardtanh,
        pointwise.gelu,
        pointwise.glu,
        pointwise.prelu,
        pointwise.normalize,
        pointwise.to,
    ),
    *(products.linear, products.matmul, products.bmm, products.mm, products.outer, products.embedding),
    *(products.scaled_dot_product_attention, products.layer_norm, products.rms_norm, products.group_norm),
    *(images.pad, images.interpolate, images.pixel_shuffle, images.pixel_unshuffle, images.unfold),
    *(arrangement.stack, arrangement.contiguous, arrangement.flatten, arrangement.reshape),
    *(arrangement.arange, arrangement.full),
)
RULES: Mapping[str, Rule] = {
    **{rule.__name__: rule for rule in _NAMED},
    **dict.fromkeys(_UNARY.split(), pointwise.unary),
    **{name: pointwise.activation(number) for name, number in _ACTIVATIONS.items()},
    **{name: pointwise.converted(dtype) for name, dtype in _DTYPES.items()},
    **{name.format(count): partial(rule, count) for name, rule in _SPATIAL.items() for count in (1, 2, 3)},
    "clip": pointwise.clamp,
    "pow": pointwise.power,
    **dict.fromkeys(("dropout", "alpha_dropout"), pointwise.dropout),
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), pointwise.softmax),
    **dict.fromkeys(("add", "sub", "mul", "multiply", "subtract"), pointwise.arithmetic),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide"), pointwise.division),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), arrangement.reduction),
    **dict.fromkeys(("cat", "concat", "concatenate"), arrangement.cat),
    **dict.fromkeys(("zeros", "ones"), arrangement.filled),
}
"""Short name of a function or method → its rule."""
