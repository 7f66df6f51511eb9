"""Shape rules of layers, most of them by the rule of the function that the layer calls.

LAYER_RULES: class name → rule(constructor's arguments, *inputs, **options of the call) → tensor or tuple; raises NoRule
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from archscope.compile.shapes import function_rules, images, pointwise, products_and_norms, reshape
from archscope.compile.shapes.guards import (
    axis_index,
    empty_contiguous,
    empty_in_layout,
    empty_like,
    floating_dtype,
    guard,
    guard_default_dtype,
    int_tuple,
    is_finite_number,
    is_int,
)

Arguments = Mapping[str, object]
ShapeRule = Callable[..., object]


def _function_rule(function: ShapeRule, *names: str) -> ShapeRule:
    """Return the function's rule, called with the layer's arguments of these names."""

    def rule(arguments: Arguments, x: Tensor) -> object:
        return function(x, **{name: arguments[name] for name in names})

    return rule


def _unary(_: Arguments, x: Tensor) -> Tensor:
    return pointwise.unary(x)


def _identity(_: Arguments, x: Tensor) -> Tensor:
    return x


def _number_rule(*names: str) -> ShapeRule:
    """Return the rule of an activation whose arguments must be numbers."""

    def rule(arguments: Arguments, x: Tensor) -> Tensor:
        guard(all(is_finite_number(arguments[name]) for name in names))
        return pointwise.unary(x)

    return rule


def _prelu(arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    count = arguments["num_parameters"]
    guard(is_int(count) and (count == 1 or (x.dim() > 1 and count == x.shape[1])))
    return empty_like(x)


def _dropout(rank: int | None, arguments: Arguments, x: Tensor) -> Tensor:
    guard(rank in (None, x.dim()))
    return pointwise.dropout(x, p=arguments["p"])  # type: ignore[arg-type]


# ------------------------------------------------------------ convolutions, norms, linear
def _convolution(count: int, arguments: Arguments, x: Tensor) -> Tensor:
    channels, kernel = _conv_channels(count, arguments, x)
    padding = arguments["padding"]
    guard(arguments["padding_mode"] == "zeros")
    sizes = images.conv_sizes(x.shape[2:], kernel, arguments["stride"], padding, arguments["dilation"])
    return empty_in_layout(x, (x.shape[0], channels, *sizes))


def _conv_transpose(count: int, arguments: Arguments, x: Tensor) -> Tensor:
    channels, kernel = _conv_channels(count, arguments, x)
    names = ("stride", "padding", "output_padding", "dilation")
    sizes = images.conv_transpose_sizes(x.shape[2:], kernel, *(arguments[name] for name in names))
    return empty_in_layout(x, (x.shape[0], channels, *sizes))


def _conv_channels(count: int, arguments: Arguments, x: Tensor) -> tuple[int, tuple[int, ...]]:
    """Return output channels and kernel of a convolution whose input fits."""
    guard_default_dtype(x)
    entering, leaving, groups = int_tuple([arguments[name] for name in ("in_channels", "out_channels", "groups")], 3)
    guard(x.dim() == count + 2 and x.shape[1] == entering and min(leaving, groups) > 0)
    guard(entering % groups == 0 and leaving % groups == 0)
    return leaving, int_tuple(arguments["kernel_size"], count)


def _batch_norm(ranks: tuple[int, ...], arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    guard(x.dim() in ranks and x.shape[1] == arguments["num_features"])
    guard(x.numel() > x.shape[1])  # in training, one value per channel is an error
    return empty_like(x)


def _instance_norm(rank: int, arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    guard(x.dim() == rank and x.shape[1] == arguments["num_features"] and math.prod(x.shape[2:]) > 1)
    return empty_in_layout(x, x.shape)


def _group_norm(arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    guard(x.dim() >= 2 and x.shape[1] == arguments["num_channels"])
    return products_and_norms.group_norm(x, arguments["num_groups"])  # type: ignore[arg-type]


def _layer_norm(arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    shape = arguments["normalized_shape"]
    return products_and_norms.layer_norm(x, [shape] if is_int(shape) else shape)  # type: ignore[arg-type,list-item]


def _linear(arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    entering, leaving = int_tuple([arguments["in_features"], arguments["out_features"]], 2)
    guard(x.dim() > 0 and x.shape[-1] == entering and leaving > 0)
    return empty_contiguous(x, (*x.shape[:-1], leaving))


def _bilinear(arguments: Arguments, a: Tensor, b: Tensor) -> Tensor:
    guard_default_dtype(a, b)
    guard(a.dim() == b.dim() > 0 and a.shape[:-1] == b.shape[:-1] and is_int(arguments["out_features"]))
    guard((a.shape[-1], b.shape[-1]) == (arguments["in1_features"], arguments["in2_features"]))
    return empty_contiguous(a, (*a.shape[:-1], arguments["out_features"]))  # type: ignore[arg-type]


def _embedding(arguments: Arguments, x: Tensor) -> Tensor:
    rows, columns = int_tuple([arguments["num_embeddings"], arguments["embedding_dim"]], 2)
    guard(x.dtype in (torch.int64, torch.int32) and rows > 0 and columns > 0 and arguments["max_norm"] is None)
    return torch.empty((*x.shape, columns), device="meta")


# ------------------------------------------------------------ shape changers
def _pad(count: int, mode: str, arguments: Arguments, x: Tensor) -> Tensor:
    guard(x.dim() == count + 2)
    return images.pad(x, int_tuple(arguments["padding"], 2 * count), mode)


def _unflatten(arguments: Arguments, x: Tensor) -> Tensor:
    sizes, dim = arguments["unflattened_size"], axis_index(arguments["dim"], x.dim())
    guard(isinstance(sizes, tuple | list))
    sizes = int_tuple(sizes, len(sizes))  # type: ignore[arg-type]
    guard(min(sizes) > 0 and math.prod(sizes) == x.shape[dim])
    return x.unflatten(dim, sizes)


def _upsampling(mode: str, align: bool | None, arguments: Arguments, x: Tensor) -> Tensor:
    guard(x.dim() == 4)
    size, scale = arguments["size"], arguments["scale_factor"]
    return images.interpolate(x, size=size, scale_factor=scale, mode=mode, align_corners=align)


def _channel_shuffle(arguments: Arguments, x: Tensor) -> Tensor:
    floating_dtype(x)
    groups = arguments["groups"]
    guard(is_int(groups) and x.dim() > 2 and groups > 0 and x.shape[1] % groups == 0)  # type: ignore[operator]
    return empty_contiguous(x, x.shape)


# ------------------------------------------------------------ sequences
def _recurrent(states: int, arguments: Arguments, x: Tensor) -> object:
    """Return out, h (or out, (h, c)) of RNN, GRU, LSTM; see the Outputs section of torch.nn.LSTM."""
    guard_default_dtype(x)
    hidden, layers, projected = int_tuple(
        [arguments["hidden_size"], arguments["num_layers"], arguments.get("proj_size", 0)], 3
    )
    guard(x.dim() == 3 and x.shape[2] == arguments["input_size"] and 0 <= projected < hidden and layers > 0)
    both, first = 2 if arguments["bidirectional"] else 1, bool(arguments["batch_first"])
    length, batch = (x.shape[1], x.shape[0]) if first else (x.shape[0], x.shape[1])
    out = empty_contiguous(x, (length, batch, both * (projected or hidden)))
    h, c = (empty_contiguous(x, (layers * both, batch, width)) for width in (projected or hidden, hidden))
    return (out.transpose(0, 1) if first else out), (h if states == 1 else (h, c))


def _recurrent_cell(states: int, arguments: Arguments, x: Tensor) -> object:
    guard_default_dtype(x)
    hidden = arguments["hidden_size"]
    guard(is_int(hidden) and hidden > 0 and x.dim() == 2 and x.shape[1] == arguments["input_size"])  # type: ignore[operator]
    out = [empty_contiguous(x, (x.shape[0], hidden)) for _ in range(states)]  # type: ignore[arg-type]
    return out[0] if states == 1 else tuple(out)


def _attention(
    arguments: Arguments,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    need_weights: bool = True,
    average_attn_weights: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Return (attention, weights or None) of torch.nn.MultiheadAttention without masks."""
    guard_default_dtype(query, key, value)
    width, heads = int_tuple([arguments["embed_dim"], arguments["num_heads"]], 2)
    widths = (width, arguments["kdim"] or width, arguments["vdim"] or width)
    guard(query.dim() == key.dim() == value.dim() == 3 and heads > 0 and width % heads == 0)
    guard(tuple(tensor.shape[2] for tensor in (query, key, value)) == widths and key.shape[:2] == value.shape[:2])
    guard(not arguments["add_bias_kv"] and not arguments["add_zero_attn"])
    batch, length = (0, 1) if arguments["batch_first"] else (1, 0)
    guard(query.shape[batch] == key.shape[batch])
    averaged = () if average_attn_weights else (heads,)
    shape = (query.shape[batch], *averaged, query.shape[length], key.shape[length])
    return empty_contiguous(query, query.shape), empty_contiguous(query, shape) if need_weights else None


def _encoder_layer(arguments: Arguments, x: Tensor) -> Tensor:
    guard_default_dtype(x)
    width, heads, hidden = int_tuple([arguments[name] for name in ("d_model", "nhead", "dim_feedforward")], 3)
    guard(x.dim() == 3 and x.shape[2] == width and heads > 0 and width % heads == 0 and hidden > 0)
    return empty_contiguous(x, x.shape)


_UNARY_LAYERS = "ReLU ReLU6 SiLU Mish Hardswish Hardsigmoid SELU Sigmoid Tanh Softsign Tanhshrink LogSigmoid"
_NUMBER_ARGUMENTS = {
    "ELU": ("alpha",),
    "CELU": ("alpha",),
    "LeakyReLU": ("negative_slope",),
    "Hardtanh": ("min_val", "max_val"),
    "Softplus": ("beta", "threshold"),
    "Hardshrink": ("lambd",),
    "Softshrink": ("lambd",),
    "Threshold": ("threshold", "value"),
    "RReLU": ("lower", "upper"),
}
_MAX_POOL_ARGUMENTS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG_POOL_ARGUMENTS = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_PAD_MODES = {
    "ZeroPad": "constant",
    "ConstantPad": "constant",
    "ReflectionPad": "reflect",
    "ReplicationPad": "replicate",
    "CircularPad": "circular",
}
_INTERPOLATE_ARGUMENTS = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")


def _spatial_rules(count: int) -> Mapping[str, ShapeRule]:
    """Return the rules of layers that exist for one, two and three dimensions."""
    pools = function_rules.FUNCTION_RULES
    return {
        f"Conv{count}d": partial(_convolution, count),
        f"ConvTranspose{count}d": partial(_conv_transpose, count),
        f"BatchNorm{count}d": partial(_batch_norm, (2, 3) if count == 1 else (count + 2,)),
        f"InstanceNorm{count}d": partial(_instance_norm, count + 2),
        f"Dropout{count}d": partial(_dropout, count + 2),
        f"MaxPool{count}d": _function_rule(pools[f"max_pool{count}d"], *_MAX_POOL_ARGUMENTS),
        f"AvgPool{count}d": _function_rule(
            pools[f"avg_pool{count}d"], *_AVG_POOL_ARGUMENTS, *(("divisor_override",) if count > 1 else ())
        ),
        f"AdaptiveAvgPool{count}d": _function_rule(pools[f"adaptive_avg_pool{count}d"], "output_size"),
        f"AdaptiveMaxPool{count}d": _function_rule(
            pools[f"adaptive_max_pool{count}d"], "output_size", "return_indices"
        ),
        **{
            f"{name}{count}d": partial(_pad, count, mode)
            for name, mode in (*_PAD_MODES.items(), ("CircularPad", "circular"))
        },
    }


LAYER_RULES: Mapping[str, ShapeRule] = {
    **dict.fromkeys(_UNARY_LAYERS.split(), _unary),
    **{name: _number_rule(*names) for name, names in _NUMBER_ARGUMENTS.items()},
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin"), _function_rule(pointwise.softmax, "dim")),
    **{name: rule for count in (1, 2, 3) for name, rule in _spatial_rules(count).items()},
    **dict.fromkeys(("Dropout", "AlphaDropout"), partial(_dropout, None)),
    **dict.fromkeys(("LayerNorm", "RMSNorm"), _layer_norm),
    "Identity": _identity,
    "GELU": _function_rule(pointwise.gelu, "approximate"),
    "GLU": _function_rule(pointwise.glu, "dim"),
    "PReLU": _prelu,
    "GroupNorm": _group_norm,
    "Linear": _linear,
    "Bilinear": _bilinear,
    "Embedding": _embedding,
    "Flatten": _function_rule(reshape.flatten, "start_dim", "end_dim"),
    "Unflatten": _unflatten,
    "Upsample": _function_rule(images.interpolate, *_INTERPOLATE_ARGUMENTS),
    "UpsamplingNearest2d": partial(_upsampling, "nearest", None),
    "UpsamplingBilinear2d": partial(_upsampling, "bilinear", True),
    "ChannelShuffle": _channel_shuffle,
    "PixelShuffle": _function_rule(images.pixel_shuffle, "upscale_factor"),
    "PixelUnshuffle": _function_rule(images.pixel_unshuffle, "downscale_factor"),
    "Unfold": _function_rule(images.unfold, "kernel_size", "dilation", "padding", "stride"),
    "RNN": partial(_recurrent, 1),
    "GRU": partial(_recurrent, 1),
    "LSTM": partial(_recurrent, 2),
    "RNNCell": partial(_recurrent_cell, 1),
    "GRUCell": partial(_recurrent_cell, 1),
    "LSTMCell": partial(_recurrent_cell, 2),
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _encoder_layer,
}
"""Class name in torch.nn → its rule."""
