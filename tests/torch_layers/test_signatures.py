"""Arguments bind as in PyTorch, and where inferable ones are left out, without them."""

from __future__ import annotations

import inspect

import pytest
from torch import nn

from archscope.torch_layers.signatures import (
    ALLOWED_RANKS,
    INFERRED_ARGUMENTS,
    REFUSED_MODULES,
    BindError,
    bind_constructor,
    constructor_signature,
    torch_layers,
)


def test_every_module_of_torch_is_a_layer_or_refused_with_help():
    modules = {name for name, thing in vars(nn).items() if isinstance(thing, type) and issubclass(thing, nn.Module)}
    assert set(torch_layers()) | set(REFUSED_MODULES) == modules
    assert not set(torch_layers()) & set(REFUSED_MODULES)
    assert all(REFUSED_MODULES.values())


@pytest.mark.parametrize("table", [INFERRED_ARGUMENTS, ALLOWED_RANKS])
def test_the_tables_name_layers_that_exist(table):
    assert set(table) <= set(torch_layers())


@pytest.mark.parametrize("name", INFERRED_ARGUMENTS)
def test_what_is_inferred_is_an_argument(name):
    parameters = constructor_signature(torch_layers()[name]).parameters
    assert all(argument in parameters for argument, _, _ in INFERRED_ARGUMENTS[name])


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_signatures_are_those_torch_documents(name):
    documented = inspect.getdoc(getattr(nn, name)).partition("(")[2].partition(")")[0]
    mine = constructor_signature(getattr(nn, name)).parameters.values()
    shown = ",".join(str(p).replace(" ", "") for p in mine)
    assert documented.replace(" ", "") == f"{shown},device=None,dtype=None"


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_take_what_their_signature_says(name):
    cls = getattr(nn, name)
    given = {key: 4 if p.default is p.empty else p.default for key, p in constructor_signature(cls).parameters.items()}
    assert cls(**given, device="meta").hidden_size == 4


def test_no_signature_has_an_argument_of_the_whole_net():
    for name, cls in torch_layers().items():
        for parameter in constructor_signature(cls).parameters.values():
            assert parameter.name not in ("self", "device", "dtype"), name
            assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD), name


CONV = {"out_channels": 64, "kernel_size": 7}
BOUND = [
    ("Conv2d", (3, 64, 7), {}, {"in_channels": 3, **CONV}, ()),
    ("Conv2d", (64, 7), {}, CONV, ("in_channels",)),
    ("Conv2d", (), CONV, CONV, ("in_channels",)),
    ("Conv2d", (64,), {"kernel_size": 7}, CONV, ("in_channels",)),
    ("Conv2d", (64, 7), {"stride": 2}, {**CONV, "stride": 2}, ("in_channels",)),
    ("Conv2d", (), {"in_channels": 3, **CONV}, {"in_channels": 3, **CONV}, ()),
    ("Conv2d", (3, 64, 7, 2, 3), {}, {"in_channels": 3, **CONV, "stride": 2, "padding": 3}, ()),
    ("BatchNorm2d", (), {}, {}, ("num_features",)),
    ("BatchNorm2d", (64,), {}, {"num_features": 64}, ()),
    ("BatchNorm2d", (), {"eps": 1e-3}, {"eps": 1e-3}, ("num_features",)),
    ("GroupNorm", (32,), {}, {"num_groups": 32}, ("num_channels",)),
    ("GroupNorm", (32, 64), {}, {"num_groups": 32, "num_channels": 64}, ()),
    ("Linear", (10,), {}, {"out_features": 10}, ("in_features",)),
    ("Linear", (5, 10), {}, {"in_features": 5, "out_features": 10}, ()),
    ("LSTM", (256,), {"num_layers": 2}, {"hidden_size": 256, "num_layers": 2}, ("input_size",)),
    ("LSTM", (256, 2), {}, {"input_size": 256, "hidden_size": 2}, ()),
    ("MultiheadAttention", (12,), {"batch_first": True}, {"num_heads": 12, "batch_first": True}, ("embed_dim",)),
    ("LayerNorm", (), {"eps": 1e-6}, {"eps": 1e-6}, ("normalized_shape",)),
    ("Bilinear", (5,), {}, {"out_features": 5}, ("in1_features", "in2_features")),
    ("Bilinear", (), {"in1_features": 2, "out_features": 5}, {"in1_features": 2, "out_features": 5}, ("in2_features",)),
    ("Transformer", (), {"nhead": 4}, {"nhead": 4}, ("d_model",)),
    ("ReLU", (), {}, {}, ()),
    ("Identity", (54,), {"unused": 1}, {}, ()),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "arguments", "inferred"), BOUND)
def test_arguments_bind(name, args, kwargs, arguments, inferred):
    bound = bind_constructor(getattr(nn, name), args, kwargs)
    assert (bound.arguments, bound.inferred) == (arguments, inferred)


def test_where_pytorch_binds_this_binds_the_same():
    for name, args, kwargs, arguments, _ in BOUND:
        if name in ("LSTM", "Identity"):  # torch's own signatures are *args
            continue
        try:
            theirs = inspect.signature(getattr(nn, name)).bind(*args, **kwargs).arguments
        except TypeError:
            continue
        assert theirs == arguments


CONV_HELP = "Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0, …)"
NEEDS_OUT = "Conv2d needs out_channels"
LINEAR_HELP = "Linear(in_features, out_features, bias=True)"
WRONG = [
    (
        *("Conv2d", (64,), {"kernal_size": 3}, "unknown", "kernal_size", "Conv2d has no argument 'kernal_size'"),
        f"did you mean 'kernel_size'?   {CONV_HELP}",
    ),
    ("Conv2d", (64, 3), {"zzz": 3}, "unknown", "zzz", "Conv2d has no argument 'zzz'", CONV_HELP),
    ("Conv2d", (), {}, "missing", "out_channels", "Conv2d needs out_channels and kernel_size", CONV_HELP),
    ("Conv2d", (3,), {"out_channels": 8}, "missing", "kernel_size", "Conv2d needs kernel_size", CONV_HELP),
    (
        "Conv2d",
        (),
        {"in_channels": 3, "kernel_size": 1},
        "missing",
        "out_channels",
        "Conv2d needs out_channels",
        CONV_HELP,
    ),
    (
        "Linear",
        (),
        {},
        "missing",
        "out_features",
        "Linear needs out_features",
        "Linear(in_features, out_features, bias=True)",
    ),
    (
        *("Conv2d", (64, 3, 1), {"in_channels": 3}, "twice", "in_channels"),
        *("Conv2d gets in_channels twice: by position (64) and by name", CONV_HELP),
    ),
    (
        *("ReLU", (True, 1), {}, "many", ""),
        *("ReLU takes at most 1 argument by position, but 2 are given", "ReLU(inplace=False)"),
    ),
    ("Tanh", (1,), {}, "many", "", "Tanh takes no arguments, but 1 is given", "Tanh()"),
    (
        *("Linear", (10,), {"dtype": "float16"}, "unknown", "dtype", "Linear has no argument 'dtype'"),
        "leave it out: --dtype chooses it for the whole net",
    ),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "kind", "argument", "message", "help"), WRONG)
def test_arguments_that_do_not_bind_are_refused_with_help(name, args, kwargs, kind, argument, message, help):
    with pytest.raises(BindError) as caught:
        bind_constructor(getattr(nn, name), args, kwargs)
    error = caught.value
    assert (error.kind, error.name, error.message, error.help) == (kind, argument, message, help)
