"""Rules of layers, most of them by the rule of the function that the layer calls.

RULES: class name → rule(constructor's arguments, *inputs, **options of the call) → tensor or tuple; raises Unsure
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from archscope.compile.shapes import arrangement, functions, images, pointwise, products, windows
from archscope.compile.shapes.certain import (
    axis,
    floating,
    following,
    ints,
    is_int,
    is_number,
    made,
    same,
    sure,
    weighted,
)

Arguments = Mapping[str, object]
Rule = Callable[..., object]


def _by(function: Rule, *names: str) -> Rule:
    """The function's rule, called with the arguments of these names."""

    def rule(arguments: Arguments, x: Tensor) -> object:
        return function(x, **{name: arguments[name] for name in names})

    return rule


def _unary(_: Arguments, x: Tensor) -> Tensor:
    return pointwise.unary(x)


def _identity(_: Arguments, x: Tensor) -> Tensor:
    return x


def _numbered(*names: str) -> Rule:
    """An activation whose arguments have to be numbers."""

    def rule(arguments: Arguments, x: Tensor) -> Tensor:
        sure(all(is_number(arguments[name]) for name in names))
        return pointwise.unary(x)

    return rule


def _prelu(arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    count = arguments["num_parameters"]
    sure(is_int(count) and (count == 1 or (x.dim() > 1 and count == x.shape[1])))
    return same(x)


def _dropout(rank: int | None, arguments: Arguments, x: Tensor) -> Tensor:
    sure(rank in (None, x.dim()))
    return pointwise.dropout(x, p=arguments["p"])  # type: ignore[arg-type]


# Convolutions, norms, linear.


def _convolution(count: int, arguments: Arguments, x: Tensor) -> Tensor:
    channels, kernel = _channels(count, arguments, x)
    padding = arguments["padding"]
    sure(arguments["padding_mode"] == "zeros")
    sizes = windows.convolution(x.shape[2:], kernel, arguments["stride"], padding, arguments["dilation"])
    return following(x, (x.shape[0], channels, *sizes))


def _transposed(count: int, arguments: Arguments, x: Tensor) -> Tensor:
    channels, kernel = _channels(count, arguments, x)
    names = ("stride", "padding", "output_padding", "dilation")
    sizes = windows.transposed(x.shape[2:], kernel, *(arguments[name] for name in names))
    return following(x, (x.shape[0], channels, *sizes))


def _channels(count: int, arguments: Arguments, x: Tensor) -> tuple[int, tuple[int, ...]]:
    """Output channels and kernel of a convolution whose input fits."""
    weighted(x)
    entering, leaving, groups = ints([arguments[name] for name in ("in_channels", "out_channels", "groups")], 3)
    sure(x.dim() == count + 2 and x.shape[1] == entering and min(leaving, groups) > 0)
    sure(entering % groups == 0 and leaving % groups == 0)
    return leaving, ints(arguments["kernel_size"], count)


def _batch_norm(ranks: tuple[int, ...], arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    sure(x.dim() in ranks and x.shape[1] == arguments["num_features"])
    sure(x.numel() > x.shape[1])  # one value per channel is an error in training
    return same(x)


def _instance_norm(rank: int, arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    sure(x.dim() == rank and x.shape[1] == arguments["num_features"] and math.prod(x.shape[2:]) > 1)
    return following(x, x.shape)


def _group_norm(arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    sure(x.dim() >= 2 and x.shape[1] == arguments["num_channels"])
    return products.group_norm(x, arguments["num_groups"])  # type: ignore[arg-type]


def _layer_norm(arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    shape = arguments["normalized_shape"]
    return products.layer_norm(x, [shape] if is_int(shape) else shape)  # type: ignore[arg-type,list-item]


def _linear(arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    entering, leaving = ints([arguments["in_features"], arguments["out_features"]], 2)
    sure(x.dim() > 0 and x.shape[-1] == entering and leaving > 0)
    return made(x, (*x.shape[:-1], leaving))


def _bilinear(arguments: Arguments, a: Tensor, b: Tensor) -> Tensor:
    weighted(a, b)
    sure(a.dim() == b.dim() > 0 and a.shape[:-1] == b.shape[:-1] and is_int(arguments["out_features"]))
    sure((a.shape[-1], b.shape[-1]) == (arguments["in1_features"], arguments["in2_features"]))
    return made(a, (*a.shape[:-1], arguments["out_features"]))  # type: ignore[arg-type]


def _embedding(arguments: Arguments, x: Tensor) -> Tensor:
    rows, columns = ints([arguments["num_embeddings"], arguments["embedding_dim"]], 2)
    sure(x.dtype in (torch.int64, torch.int32) and rows > 0 and columns > 0 and arguments["max_norm"] is None)
    return torch.empty((*x.shape, columns), device="meta")


# Shape changers.


def _pad(count: int, mode: str, arguments: Arguments, x: Tensor) -> Tensor:
    sure(x.dim() == count + 2)
    return images.pad(x, ints(arguments["padding"], 2 * count), mode)


def _unflatten(arguments: Arguments, x: Tensor) -> Tensor:
    sizes, dim = arguments["unflattened_size"], axis(arguments["dim"], x.dim())
    sure(isinstance(sizes, tuple | list))
    sizes = ints(sizes, len(sizes))  # type: ignore[arg-type]
    sure(min(sizes) > 0 and math.prod(sizes) == x.shape[dim])
    return x.unflatten(dim, sizes)


def _upsampling(mode: str, align: bool | None, arguments: Arguments, x: Tensor) -> Tensor:
    sure(x.dim() == 4)
    size, scale = arguments["size"], arguments["scale_factor"]
    return images.interpolate(x, size=size, scale_factor=scale, mode=mode, align_corners=align)


def _channel_shuffle(arguments: Arguments, x: Tensor) -> Tensor:
    floating(x)
    groups = arguments["groups"]
    sure(is_int(groups) and x.dim() > 2 and groups > 0 and x.shape[1] % groups == 0)  # type: ignore[operator]
    return made(x, x.shape)


# Sequences.


def _recurrent(states: int, arguments: Arguments, x: Tensor) -> object:
    """out, h (or out, (h, c)) of RNN, GRU, LSTM; see the Outputs section of torch.nn.LSTM."""
    weighted(x)
    hidden, layers, projected = ints(
        [arguments["hidden_size"], arguments["num_layers"], arguments.get("proj_size", 0)], 3
    )
    sure(x.dim() == 3 and x.shape[2] == arguments["input_size"] and 0 <= projected < hidden and layers > 0)
    both, first = 2 if arguments["bidirectional"] else 1, bool(arguments["batch_first"])
    length, batch = (x.shape[1], x.shape[0]) if first else (x.shape[0], x.shape[1])
    out = made(x, (length, batch, both * (projected or hidden)))
    h, c = (made(x, (layers * both, batch, width)) for width in (projected or hidden, hidden))
    return (out.transpose(0, 1) if first else out), (h if states == 1 else (h, c))


def _cell(states: int, arguments: Arguments, x: Tensor) -> object:
    weighted(x)
    hidden = arguments["hidden_size"]
    sure(is_int(hidden) and hidden > 0 and x.dim() == 2 and x.shape[1] == arguments["input_size"])  # type: ignore[operator]
    out = [made(x, (x.shape[0], hidden)) for _ in range(states)]  # type: ignore[arg-type]
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
    """(attention, weights or None) of torch.nn.MultiheadAttention without masks."""
    weighted(query, key, value)
    width, heads = ints([arguments["embed_dim"], arguments["num_heads"]], 2)
    widths = (width, arguments["kdim"] or width, arguments["vdim"] or width)
    sure(query.dim() == key.dim() == value.dim() == 3 and heads > 0 and width % heads == 0)
    sure(tuple(tensor.shape[2] for tensor in (query, key, value)) == widths and key.shape[:2] == value.shape[:2])
    sure(not arguments["add_bias_kv"] and not arguments["add_zero_attn"])
    batch, length = (0, 1) if arguments["batch_first"] else (1, 0)
    sure(query.shape[batch] == key.shape[batch])
    averaged = () if average_attn_weights else (heads,)
    shape = (query.shape[batch], *averaged, query.shape[length], key.shape[length])
    return made(query, query.shape), made(query, shape) if need_weights else None


def _encoder_layer(arguments: Arguments, x: Tensor) -> Tensor:
    weighted(x)
    width, heads, hidden = ints([arguments[name] for name in ("d_model", "nhead", "dim_feedforward")], 3)
    sure(x.dim() == 3 and x.shape[2] == width and heads > 0 and width % heads == 0 and hidden > 0)
    return made(x, x.shape)


_PLAIN = "ReLU ReLU6 SiLU Mish Hardswish Hardsigmoid SELU Sigmoid Tanh Softsign Tanhshrink LogSigmoid"
_NUMBERED = {
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
_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
_PADS = {
    "ZeroPad": "constant",
    "ConstantPad": "constant",
    "ReflectionPad": "reflect",
    "ReplicationPad": "replicate",
    "CircularPad": "circular",
}
_RESAMPLED = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")


def _spatial(count: int) -> Mapping[str, Rule]:
    """The layers that come in one, two and three dimensions."""
    pools = functions.RULES
    return {
        f"Conv{count}d": partial(_convolution, count),
        f"ConvTranspose{count}d": partial(_transposed, count),
        f"BatchNorm{count}d": partial(_batch_norm, (2, 3) if count == 1 else (count + 2,)),
        f"InstanceNorm{count}d": partial(_instance_norm, count + 2),
        f"Dropout{count}d": partial(_dropout, count + 2),
        f"MaxPool{count}d": _by(pools[f"max_pool{count}d"], *_MAX),
        f"AvgPool{count}d": _by(pools[f"avg_pool{count}d"], *_AVG, *(("divisor_override",) if count > 1 else ())),
        f"AdaptiveAvgPool{count}d": _by(pools[f"adaptive_avg_pool{count}d"], "output_size"),
        f"AdaptiveMaxPool{count}d": _by(pools[f"adaptive_max_pool{count}d"], "output_size", "return_indices"),
        **{
            f"{name}{count}d": partial(_pad, count, mode)
            for name, mode in (*_PADS.items(), ("CircularPad", "circular"))
        },
    }


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_PLAIN.split(), _unary),
    **{name: _numbered(*names) for name, names in _NUMBERED.items()},
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin"), _by(pointwise.softmax, "dim")),
    **{name: rule for count in (1, 2, 3) for name, rule in _spatial(count).items()},
    **dict.fromkeys(("Dropout", "AlphaDropout"), partial(_dropout, None)),
    **dict.fromkeys(("LayerNorm", "RMSNorm"), _layer_norm),
    "Identity": _identity,
    "GELU": _by(pointwise.gelu, "approximate"),
    "GLU": _by(pointwise.glu, "dim"),
    "PReLU": _prelu,
    "GroupNorm": _group_norm,
    "Linear": _linear,
    "Bilinear": _bilinear,
    "Embedding": _embedding,
    "Flatten": _by(arrangement.flatten, "start_dim", "end_dim"),
    "Unflatten": _unflatten,
    "Upsample": _by(images.interpolate, *_RESAMPLED),
    "UpsamplingNearest2d": partial(_upsampling, "nearest", None),
    "UpsamplingBilinear2d": partial(_upsampling, "bilinear", True),
    "ChannelShuffle": _channel_shuffle,
    "PixelShuffle": _by(images.pixel_shuffle, "upscale_factor"),
    "PixelUnshuffle": _by(images.pixel_unshuffle, "downscale_factor"),
    "Unfold": _by(images.unfold, "kernel_size", "dilation", "padding", "stride"),
    "RNN": partial(_recurrent, 1),
    "GRU": partial(_recurrent, 1),
    "LSTM": partial(_recurrent, 2),
    "RNNCell": partial(_cell, 1),
    "GRUCell": partial(_cell, 1),
    "LSTMCell": partial(_cell, 2),
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _encoder_layer,
}
"""Class name in torch.nn → its rule."""
