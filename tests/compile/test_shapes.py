"""Law: where a shape rule answers, torch on the meta device gives the same sizes, dtypes and nesting.

Seeded tables of layers and calls, valid and not; a rule may be silent, but may never answer where torch raises.
"""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archscope.compile.shapes import function_output, layer_output
from archscope.compile.shapes.function_rules import FUNCTION_RULES as FUNCTIONS
from archscope.compile.shapes.layers import LAYER_RULES as LAYERS
from archscope.torch_layers.signatures import constructor_signature

SEEDS = {False: 20, True: 200}
"""How many times each table of cases is drawn: for the sample of a law, and for all of it."""
Case = tuple[str, tuple, dict]


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def outline(result: object) -> object:
    """Return what is compared: shape and dtype of every tensor, and how they are nested."""
    if isinstance(result, tuple | list):
        return tuple(map(outline, result))
    return (tuple(result.shape), result.dtype) if isinstance(result, torch.Tensor) else result


def outline_by_torch(call: Callable[[], object]) -> object:
    """Return the outline of torch's result on meta, or None if it raises."""
    with torch.no_grad(), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return outline(call())
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, AssertionError):
            return None


def full_arguments(cls: type, given: dict) -> dict:
    return {name: given.get(name, p.default) for name, p in constructor_signature(cls).parameters.items()}


# Layers.


def spatial(r: random.Random, count: int, channels: int) -> torch.Tensor:
    return meta(r.randint(1, 3), channels, *(r.randint(1, 12) for _ in range(count)))


def size(r: random.Random, count: int, low: int, high: int) -> object:
    """Return an integer or a tuple, sometimes of the wrong length."""
    if r.random() < 0.6:
        return r.randint(low, high)
    return tuple(r.randint(low, high) for _ in range(count if r.random() < 0.9 else count + 1))


def convolutions(r: random.Random) -> Iterator[Case]:
    for count in (1, 2, 3):
        groups = r.choice((1, 1, 2, 3))
        channels = groups * r.randint(1, 3)
        given = {
            "in_channels": channels,
            "out_channels": groups * r.randint(1, 3),
            "kernel_size": size(r, count, 1, 4),
            "stride": size(r, count, 1, 3),
            "dilation": size(r, count, 1, 2),
            "groups": groups,
        }
        wrong = channels + (r.random() < 0.1)
        padding = r.choice(("same", "valid", size(r, count, 0, 3), size(r, count, 0, 3)))
        yield f"Conv{count}d", (spatial(r, count, wrong),), {**given, "padding": padding}
        more = {"padding": size(r, count, 0, 2), "output_padding": size(r, count, 0, 2)}
        yield f"ConvTranspose{count}d", (spatial(r, count, wrong),), {**given, **more}


def pools(r: random.Random) -> Iterator[Case]:
    for count in (1, 2, 3):
        x = spatial(r, count, 2)
        stride = r.choice((None, size(r, count, 1, 4)))
        given = {"kernel_size": size(r, count, 1, 5), "stride": stride, "padding": size(r, count, 0, 2)}
        given["ceil_mode"] = r.random() < 0.5
        yield f"AvgPool{count}d", (x,), given
        more = {"dilation": size(r, count, 1, 3), "return_indices": r.random() < 0.3}
        yield f"MaxPool{count}d", (x,), {**given, **more}
        target = r.choice((r.randint(1, 8), tuple(r.choice((None, 1, 5)) for _ in range(count))))
        yield f"AdaptiveAvgPool{count}d", (x,), {"output_size": target}
        yield f"AdaptiveMaxPool{count}d", (x,), {"output_size": target, "return_indices": r.random() < 0.3}


def norms(r: random.Random) -> Iterator[Case]:
    for count in (1, 2, 3):
        width = r.randint(1, 4)
        x = spatial(r, count, width)
        for name in (f"BatchNorm{count}d", f"InstanceNorm{count}d"):
            yield name, (x,), {"num_features": width + (r.random() < 0.1), "affine": r.random() < 0.7}
        yield f"Dropout{count}d", (x,), {"p": r.random()}
        groups = r.randint(1, 3)
        y = spatial(r, count, groups * width)
        yield "GroupNorm", (y,), {"num_groups": groups, "num_channels": groups * width}
    yield "BatchNorm1d", (meta(r.randint(1, 2), 3),), {"num_features": 3}
    shape = tuple(r.randint(1, 4) for _ in range(r.randint(1, 2)))
    x = meta(r.randint(1, 3), *shape)
    for name in ("LayerNorm", "RMSNorm"):
        yield name, (x,), {"normalized_shape": r.choice((shape, shape[-1], list(shape), 5))}


def activations(r: random.Random) -> Iterator[Case]:
    shape = tuple(r.randint(1, 4) for _ in range(r.randint(1, 4)))
    dtype = r.choice((torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.int64))
    x = meta(*shape, dtype=dtype)
    plain = "ReLU ReLU6 SiLU Mish Hardswish Hardsigmoid SELU Sigmoid Tanh Softsign Tanhshrink LogSigmoid Identity ELU"
    for name in f"{plain} CELU LeakyReLU Hardtanh Softplus Hardshrink Softshrink RReLU Dropout AlphaDropout".split():
        yield name, (x,), {}
    yield "Threshold", (x,), {"threshold": 0.1, "value": r.choice((0, 20.0))}
    yield "GELU", (x,), {"approximate": r.choice(("none", "tanh"))}
    for name in ("Softmax", "LogSoftmax", "Softmin", "GLU"):
        yield name, (x,), {"dim": r.randint(-4, 3)}
    yield "PReLU", (x,), {"num_parameters": r.choice((1, 1, 2, 3))}
    yield "Flatten", (x,), {"start_dim": r.randint(0, 2), "end_dim": r.randint(-2, 3)}
    yield "Unflatten", (meta(2, 4, 3),), {"dim": r.randint(-1, 2), "unflattened_size": r.choice(((2, 2), (4, 1), (3,)))}
    yield "Unflatten", (x,), {"dim": r.randint(-3, 2), "unflattened_size": r.choice(((2, 2), (1, 3), (2, 1), (4,)))}


def images(r: random.Random) -> Iterator[Case]:
    for count in (1, 2, 3):
        x = spatial(r, count, r.randint(1, 3))
        for name in ("ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
            low = -1 if r.random() < 0.2 else 0
            padding = r.choice((r.randint(low, 3), tuple(r.randint(low, 3) for _ in range(2 * count))))
            yield f"{name}{count}d", (x,), {"padding": padding, **({"value": 0.5} if name == "ConstantPad" else {})}
    rank = r.randint(1, 3)
    x = spatial(r, rank, 2)
    for _ in range(3):
        mode = r.choice(("nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic", "trilinear"))
        scale = r.choice((2, 0.5, 1.7, 1 / 3, (2.0,) * rank, (1.5, 2.5)))
        sizes = {"scale_factor": scale} if r.random() < 0.7 else {"size": r.choice((7, (5,) * rank))}
        yield "Upsample", (x,), {**sizes, "mode": mode, "align_corners": r.choice((None, None, True, False))}
    y = spatial(r, 2, 2)
    yield "UpsamplingNearest2d", (y,), {"scale_factor": r.choice((2, 1.3))}
    yield "UpsamplingBilinear2d", (y,), {"size": r.choice((4, (3, 9)))}
    factor = r.randint(1, 3)
    yield "PixelShuffle", (spatial(r, 2, r.choice((4, 9, 12))),), {"upscale_factor": factor}
    yield "PixelUnshuffle", (spatial(r, 2, 2),), {"downscale_factor": factor}
    yield "ChannelShuffle", (spatial(r, 2, 6),), {"groups": r.randint(1, 4)}
    window = {"kernel_size": size(r, 2, 1, 4), "dilation": size(r, 2, 1, 2), "padding": size(r, 2, 0, 2)}
    yield "Unfold", (spatial(r, 2, 2),), {**window, "stride": size(r, 2, 1, 3)}


def sequences(r: random.Random) -> Iterator[Case]:
    width, hidden = r.randint(1, 5), r.randint(2, 5)
    x = meta(r.randint(1, 3), r.randint(1, 4), width)
    given = {"input_size": width + (r.random() < 0.1), "hidden_size": hidden, "num_layers": r.randint(1, 3)}
    given |= {"batch_first": r.random() < 0.5, "bidirectional": r.random() < 0.5}
    yield "LSTM", (x,), {**given, "proj_size": r.choice((0, 0, 1, hidden))}
    yield "GRU", (x,), given
    yield "RNN", (x,), {**given, "nonlinearity": r.choice(("tanh", "relu"))}
    for name in ("LSTMCell", "GRUCell", "RNNCell"):
        yield name, (meta(2, width),), {"input_size": given["input_size"], "hidden_size": hidden}
    yield "Linear", (x,), {"in_features": given["input_size"], "out_features": hidden}
    other = meta(*x.shape[:2], 3)
    yield "Bilinear", (x, other), {"in1_features": width, "in2_features": r.choice((3, 3, 4)), "out_features": 2}
    tokens = meta(2, 3, dtype=r.choice((torch.int64, torch.int32, torch.float32)))
    yield "Embedding", (tokens,), {"num_embeddings": 9, "embedding_dim": width}
    heads = r.randint(1, 3)
    model = heads * r.randint(1, 3) + (r.random() < 0.1)
    query, batch_first = meta(2, 3, model), r.random() < 0.5
    length, batch = r.randint(1, 4), r.choice((2, 2, 2, 3))
    key = meta(batch, length, model) if batch_first else meta(length, batch + 1, model)
    yield "MultiheadAttention", (query, key, key), {"embed_dim": model, "num_heads": heads, "batch_first": batch_first}
    yield "TransformerEncoderLayer", (query,), {"d_model": model, "nhead": heads, "dim_feedforward": 8}


TABLES = (convolutions, pools, norms, activations, images, sequences)


def cases(tables: tuple[Callable[[random.Random], Iterator[Case]], ...], seeds: int) -> Iterator[tuple[int, Case]]:
    for seed in range(seeds):
        for table in tables:
            yield from ((seed, case) for case in table(random.Random(seed)))


@pytest.mark.law
def test_a_layer_rule_says_what_torch_says(all_laws):
    answered: Counter[str] = Counter()
    for seed, (name, inputs, given) in cases(TABLES, SEEDS[all_laws]):
        cls = getattr(nn, name)
        ruled = layer_output(cls, full_arguments(cls, given), inputs)
        if ruled is not None:
            answered[name] += 1
            truth = outline_by_torch(lambda cls=cls, given=given, inputs=inputs: cls(**given).eval()(*inputs))
            assert outline(ruled) == truth, f"seed {seed}: {name}({given}) of {outline(inputs)}"
    assert set(LAYERS) == set(answered), f"no case for {set(LAYERS) - set(answered)}"
    assert min(answered.values()) > SEEDS[all_laws] / 10, answered.most_common()[-5:]


@pytest.mark.parametrize("options", [{}, {"need_weights": False}, {"average_attn_weights": False}])
def test_attention_nests_its_result_as_the_call_asks(options):
    x, cls, given = meta(2, 5, 8), nn.MultiheadAttention, {"embed_dim": 8, "num_heads": 2, "batch_first": True}
    ruled = layer_output(cls, full_arguments(cls, given), (x, x, x), options)
    assert ruled is not None
    assert outline(ruled) == outline_by_torch(lambda: cls(**given)(x, x, x, **options))


def test_a_masked_attention_is_left_to_torch():
    x, cls = meta(2, 5, 8), nn.MultiheadAttention
    arguments = full_arguments(cls, {"embed_dim": 8, "num_heads": 2})
    assert layer_output(cls, arguments, (x, x, x), {"attn_mask": meta(2, 2)}) is None


@pytest.mark.parametrize("x", [meta(0, 4), meta(2, 4, dtype=torch.float64), meta(2, 4, dtype=torch.complex64), 3])
def test_unusual_inputs_are_left_to_torch(x):
    assert layer_output(nn.Linear, full_arguments(nn.Linear, {"in_features": 4, "out_features": 2}), (x,)) is None


def test_a_user_class_with_the_name_of_a_layer_has_no_rule():
    class ReLU(nn.ReLU):
        pass

    assert layer_output(ReLU, {"inplace": False}, (meta(2),)) is None


# Functions.


def found(name: str) -> Callable:
    """Return a function by its short name: of torch.nn.functional, of torch or a method of tensors."""
    places = (F, torch, torch.Tensor)
    if name in ("float", "half", "double", "bfloat16", "long", "int", "bool"):
        return getattr(torch.Tensor, name)
    return torch.true_divide if name == "truediv" else next(getattr(p, name) for p in places if hasattr(p, name))


def pointwise_calls(r: random.Random) -> Iterator[Case]:
    shape = tuple(r.randint(1, 4) for _ in range(r.randint(0, 4)))
    x = meta(*shape, dtype=r.choice((torch.float32, torch.float32, torch.float16, torch.int64)))
    for name in FUNCTIONS:
        yield name, (x,), {}
    for name in ("softmax", "log_softmax", "softmin", "glu", "normalize"):
        yield name, (x,), {"dim": r.randint(-3, 3)}
    yield "gelu", (x,), {"approximate": "tanh"}
    yield "leaky_relu", (x, 0.2), {}
    yield "elu", (x,), {"alpha": 2}
    yield "dropout", (x, 0.3, False), {}
    for name in ("clamp", "clip"):
        yield name, (x,), r.choice(({"min": 0}, {"max": 2.5}, {"min": 0, "max": 1}))
    yield "hardtanh", (x, 0, 6), {}
    yield "prelu", (x, meta(r.randint(1, 3))), {}
    yield "to", (x, r.choice((torch.float64, torch.int32))), {}


def operand(r: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> object:
    if r.random() < 0.3:
        return r.choice((2, 0.5, -1, True, 3.0))
    cut = shape[r.randint(0, len(shape)) :]
    other = tuple(n if r.random() < 0.7 else r.choice((1, 1, n + 1)) for n in cut)
    return meta(*other, dtype=dtype if r.random() < 0.9 else torch.float64)


def arithmetic_calls(r: random.Random) -> Iterator[Case]:
    shape = tuple(r.randint(1, 4) for _ in range(r.randint(0, 4)))
    dtype = r.choice((torch.float32, torch.float32, torch.bfloat16, torch.int64, torch.int32))
    x, y = meta(*shape, dtype=dtype), operand(r, shape, dtype)
    for name in ["add", "sub", "mul", "multiply", "subtract", "div", "divide", "true_divide", "truediv", "pow"]:
        turned = r.random() < 0.4 and (isinstance(y, torch.Tensor) or name == "pow")
        yield name, ((y, x) if turned else (x, y)), {}


def product_calls(r: random.Random) -> Iterator[Case]:
    n, t, d, e = (r.randint(1, 4) for _ in range(4))
    off = r.random() < 0.1
    yield "linear", (meta(n, t, d), meta(e, d + off), r.choice((None, meta(e), meta(e + 1)))), {}
    yield "matmul", (meta(*r.choice(((), (n,), (1,))), t, d), meta(*r.choice(((), (n,), (2, n))), d + off, e)), {}
    yield "bmm", (meta(n, t, d), meta(n + off, d, e)), {}
    yield "mm", (meta(t, d), meta(d + off, e)), {}
    yield "outer", (meta(t), meta(e)), {}
    yield "embedding", (meta(n, t, dtype=torch.int64), meta(9, d)), {"padding_idx": r.choice((None, 0, 9))}
    yield "layer_norm", (meta(n, t, d), (d + off,), r.choice((None, meta(d)))), {}
    yield "rms_norm", (meta(n, t, d), [t, d]), {}
    yield "group_norm", (meta(n, 4, t, d), r.randint(1, 4), r.choice((None, meta(4)))), {}


def attention_calls(r: random.Random) -> Iterator[Case]:
    groups, heads, length, source, width, value = (r.randint(1, 3) for _ in range(6))
    gqa = r.random() < 0.5
    query = meta(2, heads * (groups if gqa else 1), length, width)
    key, val = meta(2, heads, source, width), meta(2, heads, source, value)
    mask = r.choice((None, None, meta(length, source), meta(length, source, dtype=torch.bool), meta(length, 7)))
    options = {"attn_mask": mask, "is_causal": r.random() < 0.3, **({"enable_gqa": True} if gqa else {})}
    yield "scaled_dot_product_attention", (query, key, val), options
    yield "scaled_dot_product_attention", (query[0], key[0], val[0]), {}
    yield "scaled_dot_product_attention", (query, key, meta(2, heads, source + 1, value)), {}


def image_calls(r: random.Random) -> Iterator[Case]:
    for count in (1, 2, 3):
        x = spatial(r, count, 4)
        weight = meta(r.randint(1, 3) * 2, r.choice((2, 4)), *(r.randint(1, 3) for _ in range(count)))
        bias, padding = r.choice((None, meta(weight.shape[0]))), r.choice(("same", size(r, count, 0, 2)))
        options = {"stride": size(r, count, 1, 3), "padding": padding, "groups": r.choice((1, 2))}
        yield f"conv{count}d", (x, weight, bias), options
        options = {"padding": r.randint(0, 1), "ceil_mode": r.random() < 0.5}
        yield f"max_pool{count}d", (x, size(r, count, 1, 3)), options
        yield f"avg_pool{count}d", (x, size(r, count, 1, 3), r.choice((None, 1, 2))), {}
        yield f"adaptive_avg_pool{count}d", (x, r.randint(1, 5)), {}
        yield f"adaptive_max_pool{count}d", (x, r.randint(1, 5)), {}
    x = spatial(r, 2, 4)
    pads = tuple(r.randint(-1, 3) for _ in range(2 * r.randint(1, 4)))
    yield "pad", (x, pads), {"mode": r.choice(("constant", "constant", "reflect", "replicate", "circular"))}
    yield "interpolate", (x,), {"scale_factor": r.choice((2, 0.4, 1.5)), "mode": r.choice(("nearest", "bilinear"))}
    yield "pixel_shuffle", (x, r.randint(1, 3)), {}
    yield "pixel_unshuffle", (x, r.randint(1, 3)), {}
    yield "unfold", (x, size(r, 2, 1, 3)), {"padding": r.randint(0, 1), "stride": r.randint(1, 2)}


def arranging_calls(r: random.Random) -> Iterator[Case]:
    shape = tuple(r.randint(1, 4) for _ in range(r.randint(1, 4)))
    x, rank = meta(*shape), len(shape)
    for name in ("mean", "sum", "amax", "amin"):
        dim = r.choice((r.randint(-rank, rank), tuple(r.randint(-rank, rank - 1) for _ in range(2)), ()))
        yield name, (x, dim), {"keepdim": True} if r.random() < 0.5 else {}
    place = r.randint(-rank - 1, rank)
    other = meta(*(n + (r.random() < 0.2) for n in shape))
    for name in ("cat", "concat", "concatenate", "stack"):
        yield name, ([x, r.choice((x, other))],), {"dim": place}
    for y in (x, x.transpose(0, -1)):
        yield "contiguous", (y,), {}
        yield "flatten", (y, *r.choice(((), (1,), (0, -2), (2, 1)))), {}
        yield "reshape", (y, r.choice(((-1,), (2, -1), (4, 1, -1), (x.numel(),), (-1, -1)))), {}


def constant_calls(r: random.Random) -> Iterator[Case]:
    device = {"device": "meta"}
    spans = (r.randint(1, 9),), (r.randint(-3, 3), r.randint(-3, 9)), (0, r.randint(1, 9), r.randint(1, 3)), (9, 0, -2)
    yield "arange", r.choice(spans), device
    yield "arange", (r.randint(1, 9),), {**device, "dtype": torch.float32}
    yield "arange", (2.5,), device
    sizes = tuple(r.randint(1, 4) for _ in range(r.randint(1, 3)))
    for name in ("zeros", "ones"):
        yield name, r.choice((sizes, (sizes,))), {**device, **r.choice(({}, {"dtype": torch.int64}))}
    yield "full", (sizes, r.choice((1, 0.5, True))), device


PLAIN_CALLS = (pointwise_calls, arithmetic_calls, product_calls, attention_calls)
CALLS = (*PLAIN_CALLS, image_calls, arranging_calls, constant_calls)


@pytest.mark.law
def test_a_function_rule_says_what_torch_says(all_laws):
    answered: Counter[str] = Counter()
    for seed, (name, args, kwargs) in cases(CALLS, SEEDS[all_laws]):
        ruled = function_output(name, args, kwargs)
        if ruled is not None:
            answered[name] += 1
            truth = outline_by_torch(lambda name=name, args=args, kwargs=kwargs: found(name)(*args, **kwargs))
            assert outline(ruled) == truth, f"seed {seed}: {name}{outline(args)} {kwargs}"
    assert set(FUNCTIONS) == set(answered), f"no case for {set(FUNCTIONS) - set(answered)}"
    assert min(answered.values()) > SEEDS[all_laws] / 10, answered.most_common()[-5:]


ODD = [(), (3,), (None,), ("x",), ([],), (meta(2, 4), None), (meta(2, 4), "y"), (meta(2, 4), [meta(2, 4)]), ([3], 0)]


@pytest.mark.parametrize("args", ODD, ids=str)
def test_odd_arguments_are_left_to_torch(args):
    for name in FUNCTIONS:
        ruled = function_output(name, args, {})
        assert ruled is None or outline(ruled) == outline_by_torch(lambda name=name: found(name)(*args)), name


def test_odd_inputs_of_layers_are_left_to_torch():
    x = meta(2, 4)
    for name in LAYERS:
        cls = getattr(nn, name)
        for inputs in ((), (x, None), (x, 3), (x, x, x, x), ([x],)):
            assert layer_output(cls, full_arguments(cls, {}), inputs) is None, name
    assert layer_output(nn.ReLU, {"inplace": False}, (x,), {"inplace": x}) is None


IMAGE = meta(2, 3, 5, 6)
TURNED = meta(2, 5, 6, 3).permute(0, 3, 1, 2)
TOKENS = meta(2, 3, 4).transpose(1, 2)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("relu", (TURNED,)),
        ("sigmoid", (TOKENS,)),
        ("relu", (meta(2, 8, 4)[:, ::2],)),
        ("add", (TURNED, IMAGE)),
        ("add", (IMAGE, TURNED)),
        ("mul", (meta(3, 1, 1), TURNED)),
        ("float", (TURNED.half(),)),
        ("softmax", (TURNED, 1)),
        ("linear", (TOKENS, meta(6, 3))),
        ("layer_norm", (TOKENS, (3,))),
        ("max_pool2d", (TURNED, 2)),
        ("pad", (TURNED, (1, 1))),
        ("interpolate", (TURNED, None, 2)),
        ("cat", ([TURNED, TURNED], 1)),
        ("flatten", (TURNED, 2)),
        ("flatten", (TURNED, 1)),
        ("reshape", (TURNED, (2, 3, 30))),
    ],
)
def test_the_memory_order_is_torchs_so_that_view_is_refused_where_torch_refuses_it(name, args):
    assert function_output(name, args, {}).stride() == found(name)(*args).stride()


NOTHING_LOADED = """
import sys, torch
from torch import nn
from archscope.compile.shapes import function_output, layer_output
from archscope.torch_layers.signatures import constructor_signature

def run(name, x, **given):
    cls = getattr(nn, name)
    given = {n: given.get(n, p.default) for n, p in constructor_signature(cls).parameters.items()}
    out = layer_output(cls, given, (x,))
    assert out is not None, name
    return out

x = torch.empty(2, 3, 32, 32, device="meta")
y = run("Conv2d", x, in_channels=3, out_channels=8, kernel_size=3, padding=1)
y = run("MaxPool2d", run("ReLU", run("BatchNorm2d", y, num_features=8)), kernel_size=2)
y = function_output("add", (y, y), {})
y = run("Linear", run("Flatten", y), in_features=8 * 16 * 16, out_features=10)
assert tuple(y.shape) == (2, 10)
q = torch.empty(2, 4, 5, 8, device="meta")
assert function_output("scaled_dot_product_attention", (q, q, q), {}) is not None
assert function_output("flatten", (q.transpose(1, 2), 1), {}) is not None
assert function_output("softmax", (q, -1), {}) is not None
print([name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""


def test_rules_load_neither_sympy_nor_dynamo():
    done = subprocess.run([sys.executable, "-c", NOTHING_LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
