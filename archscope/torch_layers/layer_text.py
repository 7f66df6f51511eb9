"""Arguments in short, as tables show them: `64, 7×7, stride 2, pad 3`.

format_layer_arguments: of a layer in a spec. describe_layer: of a live module. format_block_arguments: of a block.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from inspect import Parameter
from operator import attrgetter

import torch
from torch import nn

from archscope import units
from archscope.spec.spec_values import SpecValue
from archscope.torch_layers.signatures import constructor_signature, torch_layers

_ALWAYS_SHOWN = {"Dropout": "p", "Dropout1d": "p", "Dropout2d": "p", "Dropout3d": "p"}
_SHOWN_WITHOUT_NAME = {
    "LeakyReLU": "negative_slope",
    "PReLU": "num_parameters",
    "GELU": "approximate",
    "ELU": "alpha",
    "CELU": "alpha",
    "AlphaDropout": "p",
    "Flatten": "start_dim",
}
_NEVER_SHOWN = (
    "bias",
    "inplace",
    "batch_first",
    "in_channels",
    "in_features",
    "input_size",
    "num_channels",
    "embed_dim",
)
_NEVER_SHOWN_BY_LAYER = dict.fromkeys(
    ("TransformerEncoderLayer", "TransformerDecoderLayer", "Transformer"), ("d_model",)
)
_PHRASES = {
    "num_layers": "{} layers",
    "num_heads": "{} heads",
    "nhead": "{} heads",
    "num_groups": "{} groups",
    "padding": "pad {}",
    "output_padding": "output pad {}",
    "padding_mode": "{}",
    "mode": "{}",
    "nonlinearity": "{}",
    "activation": "{}",
    "scale_factor": "×{}",
}
PLAIN_WORD = re.compile(r"[A-Za-z_][\w.-]*")
"""Words that are shown without quotes."""
_NEVER_COLLAPSED = ("normalized_shape", "unflattened_size", "cutoffs")
"""Arguments with entries of different meaning, so that (8, 8) is not the same as 8."""


def format_layer_arguments(name: str, arguments: Mapping[str, object]) -> str:
    """Return a layer's arguments in short, `64, 7×7, stride 2, pad 3`, without defaults and input widths."""
    cls = torch_layers().get(name)
    if cls is None:
        return ", ".join(_format_phrase(key, value) for key, value in arguments.items())
    hidden = (*_NEVER_SHOWN, *_NEVER_SHOWN_BY_LAYER.get(name, ()))
    shown = []
    for parameter in constructor_signature(cls).parameters.values():
        value = _collapse_equal(parameter.name, arguments.get(parameter.name, parameter.default))
        if parameter.name not in hidden and not _is_default(name, parameter, value, arguments):
            shown.append(_format_argument(name, parameter, value))
    return ", ".join(shown)


def format_block_arguments(arguments: Iterable[tuple[str, object]], required: Collection[str]) -> str:
    """Return a block's arguments in short: required ones without names, others with: `128, stride 2`. A flag is
    shown by its name if it is true, else with its value: `grid False`."""
    return ", ".join(
        format_argument_value(value) if name in required and value is not None and not isinstance(value, bool)
        else format_named_argument(name, value)
        for name, value in arguments
    )  # fmt: skip


def format_named_argument(name: str, value: object) -> str:
    """Return an argument of a block by its name; it has no phrases, since authors choose the names."""
    words = name.replace("_", " ")
    return _format_flag(words, value=value) if isinstance(value, bool) else f"{words} {format_argument_value(value)}"


def _format_flag(words: str, *, value: bool) -> str:
    if value:
        return words
    return f"{words} False" if words.startswith(("no ", "not ")) else f"no {words}"


def _is_default(name: str, parameter: Parameter, value: object, arguments: Mapping[str, object]) -> bool:
    if value is Parameter.empty:
        return True
    if parameter.name == "stride" and parameter.default is None:  # a pool's stride is its kernel size
        return value in (None, _collapse_equal("kernel_size", arguments.get("kernel_size")))
    if parameter.name in ("kdim", "vdim"):
        return value in (None, arguments.get("embed_dim"))
    if _ALWAYS_SHOWN.get(name) == parameter.name:
        return False
    plain = isinstance(value, int | float | bool | str)
    return value is parameter.default or (plain and value == parameter.default)


def _format_argument(name: str, parameter: Parameter, value: object) -> str:
    if parameter.name == "kernel_size" and "Pool" not in name and isinstance(value, int) and name[-2:-1].isdigit():
        return "×".join([str(value)] * int(name[-2]))
    bare = (parameter.default is Parameter.empty and parameter.name not in _PHRASES) or parameter.name == "kernel_size"
    if bare or parameter.name in (_ALWAYS_SHOWN.get(name), _SHOWN_WITHOUT_NAME.get(name)):
        return _format_sizes(name, parameter.name, value)
    return _format_phrase(parameter.name, value, layer=name)


def _format_phrase(name: str, value: object, *, layer: str = "") -> str:
    if isinstance(value, bool):
        return _format_flag(name.replace("_", " "), value=value)
    return _PHRASES.get(name, name.replace("_", " ") + " {}").format(_format_sizes(layer, name, value))


def _collapse_equal(name: str, value: object) -> object:
    """Return the common entry of a tuple of equal entries, if it means the same: (3, 3) → 3 for a kernel."""
    if not isinstance(value, tuple | list) or not value:
        return value
    same = len(value) == 1 or (name not in _NEVER_COLLAPSED and all(entry == value[0] for entry in value))
    return value[0] if same else value


def _format_sizes(layer: str, name: str, value: object) -> str:
    """Return sizes along two or three axes as `3×5`, other lists in brackets."""
    axes = layer and not ("Pad" in layer and name == "padding") and name != "cutoffs"
    if axes and isinstance(value, tuple | list) and 2 <= len(value) <= 3 and all(type(entry) is int for entry in value):
        return units.format_shape([int(entry) for entry in value])
    return format_argument_value(value, brackets="()" if layer else "[]")


def format_argument_value(value: object, *, brackets: str = "[]") -> str:
    """Return the text of a plain value, a list of values, a value of a spec, or the name of a class or function."""
    if isinstance(value, float):
        return units.format_decimal(value)
    if isinstance(value, tuple | list):
        inside = ", ".join(format_argument_value(entry, brackets=brackets) for entry in value)
        return f"{brackets[0]}{inside}{brackets[1]}"
    if isinstance(value, str):
        return value if PLAIN_WORD.fullmatch(value) and value not in ("True", "False", "None") else repr(value)
    if isinstance(value, nn.Module):
        return type(value).__name__
    if isinstance(value, SpecValue):
        return value.short_text()
    return str(getattr(value, "__name__", value))


_MODULE_ATTRIBUTES = {
    "d_model": "self_attn.embed_dim",
    "nhead": "self_attn.num_heads",
    "dim_feedforward": "linear1.out_features",
    "norm_first": "norm_first",
}


def describe_layer(module: nn.Module) -> str:
    """Return the arguments of a live torch.nn module in short, read from its attributes."""
    cls: type = type(module)
    if torch_layers().get(cls.__name__) is not cls:
        return ""
    return format_layer_arguments(cls.__name__, dict(_read_arguments(module)))


def _read_arguments(module: nn.Module) -> Iterable[tuple[str, object]]:
    cls: type = type(module)
    for parameter in constructor_signature(cls).parameters.values():
        path = _MODULE_ATTRIBUTES.get(parameter.name, parameter.name)
        try:
            value = attrgetter(path)(module)
        except AttributeError:
            continue
        if not isinstance(value, torch.Tensor | nn.Module) and not callable(value):
            yield parameter.name, value
